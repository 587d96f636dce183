// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Data sets as people have them, from the yaml to the index: where pictures and labels lie, what they are
// called, how they are written.
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "common/base/error.h"
#include "common/config/data_set.h"
#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/decode.h"
#include "worker/data/index.h"
#include "worker/data/picture_list.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class DataFormsTest : public testing::Test {
 protected:
  // A picture with one box of class 0.
  void add(const std::string& picture, const std::string& label) const {
    folder_.write_picture(picture, 20, 30);
    folder_.write(label, "0 .5 .5 .25 .5\n");
  }
  // The training pictures of a yaml in the folder.
  Index train(const std::string& text, const std::string& yaml = "data.yaml") const {
    const config::DataSet set = config::read_data_set(folder_.write(yaml, text), false);
    return build_index(set.train, {{set.class_count(), false, set.file}, 1});
  }
  // "name:boxes" of each picture, relative to the folder.
  std::vector<std::string> found(const Index& index) const {
    std::vector<std::string> rows;
    for (const Picture& picture : index.pictures) {
      rows.push_back(picture.path.lexically_relative(folder_.path()).string() + ":" +
                     std::to_string(picture.targets.size()));
    }
    return rows;
  }
  static std::string refusal(const std::function<void()>& action) {
    try {
      action();
    } catch (const DataError& error) {
      return error.one_line();
    }
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(DataFormsTest, FoldersBehindLinksKeepTheirLabels) {
  folder_.write_picture("disk/pictures/a.png", 20, 30);
  folder_.write("set/labels/train/a.txt", "0 .5 .5 .25 .5\n");
  fs::create_directories(folder_.path() / "set/images");
  fs::create_directory_symlink(folder_.path() / "disk/pictures", folder_.path() / "set/images/train");
  const std::string splits = "train: images/train\nval: images/train\nnames: [a]\n";
  EXPECT_THAT(found(train(splits, "set/data.yaml")), ElementsAre("set/images/train/a.png:1"));
  // The whole set behind a link, and the pictures one by one.
  fs::create_directory_symlink(folder_.path() / "set", folder_.path() / "linked");
  EXPECT_THAT(found(train("path: linked\n" + splits)), ElementsAre("linked/images/train/a.png:1"));
  fs::create_directories(folder_.path() / "single/images");
  fs::create_symlink(folder_.path() / "disk/pictures/a.png", folder_.path() / "single/images/b.png");
  folder_.write("single/labels/b.txt", "0 .5 .5 .25 .5\n");
  EXPECT_THAT(found(train("path: single\ntrain: images\nval: images\nnames: [a]\n")),
              ElementsAre("single/images/b.png:1"));
}

TEST_F(DataFormsTest, TheLastFolderCalledImagesIsReplaced) {
  add("images/set/images/train/a.png", "images/set/labels/train/a.txt");
  EXPECT_THAT(found(train("path: images/set\ntrain: images/train\nval: images/train\nnames: [a]\n")),
              ElementsAre("images/set/images/train/a.png:1"));
}

TEST_F(DataFormsTest, RoboflowFoldersWork) {
  add("train/images/a_jpg.rf.0f3.jpg", "train/labels/a_jpg.rf.0f3.txt");
  add("valid/images/b.jpg", "valid/labels/b.txt");
  EXPECT_THAT(
      found(train("train: ../train/images\nval: ../valid/images\n\nnc: 1\nnames: ['a']\n\nroboflow:\n  "
                  "workspace: w\n  version: 1\n  url: https://example.org\n")),
      ElementsAre("train/images/a_jpg.rf.0f3.jpg:1"));
}

TEST_F(DataFormsTest, NamesMayHaveSpacesBracketsAndAnyLetters) {
  const std::vector<std::string> names = {"a b (1)", "[x] {y}", "100%", "it's #1",
                                          "Straße",  "汽车",    "🚗",    "a.b.c"};
  for (const std::string& name : names) {
    add("my data [v2]/images/train set/" + name + ".png", "my data [v2]/labels/train set/" + name + ".txt");
  }
  const Index index =
      train("path: my data [v2]\ntrain: images/train set\nval: images/train set\nnames: [a]\n");
  EXPECT_EQ(index.pictures.size(), names.size());
  EXPECT_EQ(index.scan.found, static_cast<int64_t>(names.size()));
  for (const Picture& picture : index.pictures) {
    EXPECT_TRUE(load_picture(index, static_cast<int>(&picture - index.pictures.data()), 32, true, nullptr)
                    .is_readable);
  }
  std::string list;
  for (const std::string& name : names) {
    list += "./images/train set/" + name + ".png\r\n";
  }
  folder_.write("my data [v2]/train list.txt", list);
  EXPECT_EQ(train("path: my data [v2]\ntrain: train list.txt\nval: train list.txt\nnames: [a]\n").scan.found,
            static_cast<int64_t>(names.size()));
}

TEST_F(DataFormsTest, EndingsMayBeUpperCaseAndLabelsLieBesideThePictures) {
  add("pictures/A.JPG", "pictures/A.txt");
  add("pictures/b.Png", "pictures/b.txt");
  add("pictures/deep/c.TIFF", "pictures/deep/c.txt");
  EXPECT_THAT(found(train("train: pictures\nval: pictures\nnames: [a]\n")),
              ElementsAre("pictures/A.JPG:1", "pictures/b.Png:1", "pictures/deep/c.TIFF:1"));
}

TEST_F(DataFormsTest, SeveralFoldersListsAndPicturesMakeOneSplit) {
  add("one/images/a.png", "one/labels/a.txt");
  add("two/images/b.png", "two/labels/b.txt");
  add("three/images/c.png", "three/labels/c.txt");
  folder_.write("two/list.txt", "./images/b.png\n");
  EXPECT_THAT(
      found(train("train:\n  - one/images\n  - two/list.txt\n  - three/images/c.png\nval: one/images\n"
                  "names: {0: a}\n")),
      ElementsAre("one/images/a.png:1", "three/images/c.png:1", "two/images/b.png:1"));
}

TEST_F(DataFormsTest, AListMayHoldBareNames) {
  add("images/a.png", "labels/a.txt");
  add("images/b.png", "labels/b.txt");
  folder_.write("images/train.txt", "a.png\rb.png\rnone.png\r");  // an old Mac's line ends, too
  const Index index = train("train: images/train.txt\nval: images\nnames: [a]\n");
  EXPECT_THAT(found(index), ElementsAre("images/a.png:1", "images/b.png:1"));
  ASSERT_EQ(index.scan.left_out.size(), 1u);
  EXPECT_EQ(index.scan.left_out[0].path, "none.png");
}

TEST_F(DataFormsTest, AListOfAnotherMachineIsRefusedByItsFirstLine) {
  const fs::path list = fs::path(YOLODIST_SOURCE_DIR) / "../shared/data/tricky/windows_paths_train.txt";
  if (!fs::exists(list)) {
    GTEST_SKIP() << "the set of awkward pictures is not here";
  }
  add("images/a.png", "labels/a.txt");
  EXPECT_THAT(
      refusal([&] { train("train: " + fs::canonical(list).string() + "\nval: images\nnames: [a]\n"); }),
      AllOf(HasSubstr("none of the 12 pictures of "), HasSubstr("windows_paths_train.txt"),
            HasSubstr("D:/yolov5/VOCdevkit/VOC2007/JPEGImages/img00001.jpg: No such file")));
  // Mixed slashes that lead somewhere are followed.
  folder_.write("mixed.txt", "images\\a.png\n.\\images/a.png\r\n");
  EXPECT_THAT(found(train("train: mixed.txt\nval: images\nnames: [a]\n")),
              ElementsAre("images/a.png:1", "images/a.png:1"));
}

TEST_F(DataFormsTest, AFolderOfLabelsIsToldFromOneOfPictures) {
  add("images/val/a.png", "labels/val/a.txt");
  const config::DataSet set = config::read_data_set(
      folder_.write("data.yaml", "train: images/val\nval: labels/val\nnames: [a]\n"), false);
  EXPECT_THAT(refusal([&] { list_pictures(set.val); }),
              AllOf(HasSubstr("no pictures in " + (folder_.path() / "labels/val").string()),
                    HasSubstr("the pictures may be in " + (folder_.path() / "images/val").string())));
}

TEST_F(DataFormsTest, BackgroundsNeedNoLabelsAndLabelsNoPicture) {
  add("images/a.png", "labels/a.txt");
  folder_.write_picture("images/none.png", 20, 30);
  folder_.write_picture("images/empty.png", 20, 30);
  folder_.write("labels/empty.txt", "");
  folder_.write("labels/orphan.txt", "this is never read");
  const Index index = train("train: images\nval: images\nnames: [a]\n");
  EXPECT_THAT(found(index), ElementsAre("images/a.png:1", "images/empty.png:0", "images/none.png:0"));
  EXPECT_EQ(index.scan.missing, 1);
  EXPECT_EQ(index.scan.empty, 1);
  EXPECT_TRUE(index.scan.left_out.empty());
}

// What a label file holds, and what becomes of its picture: boxes, or a part of the reason why it is left
// out.
struct LabelForm {
  std::string text;
  int boxes;
  std::string reason;
};

TEST_F(DataFormsTest, LabelsInEveryFormAreReadOrNamed) {
  const std::vector<LabelForm> forms = {
      {"0 0.5 0.5 0.2 0.2", 1, ""},  // no line end
      {"\xEF\xBB\xBF"
       "0 .5 .5 .2 .2\r\n1 .5 .5 .2 .2  \t\r\n\r\n",
       2, ""},                                                   // byte order mark, CRLF, blanks
      {"0 .5 .5 .2 .2\r1 .5 .5 .2 .2\r0 .1 .1 .2 .2\r", 3, ""},  // CR alone
      {"0\t.5\t.5\t.2\t.2\n", 1, ""},
      {"0.0 5e-1 5E-1 +0.2 .2\n", 1, ""},
      {"0 .5 .5 0 .2\n", 1, ""},                                    // VOC boxes without area
      {"0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n", 1, ""},                    // a repeated row
      {"0 .1 .1 .9 .1 .5 .9\n1 .2 .2 .4 .2 .4 .4 .2 .4\n", 2, ""},  // polygons
      {"0,0.5,0.5,0.2,0.2\n", -1,
       "row 1: \"0,0.5,0.5,0.2,0.2\" is not a number; values are separated by spaces"},
      {"0, 0.5, 0.5, 0.2, 0.2\n", -1, "not commas"},
      {"0 .5 .5 .2\n", -1, "row 1: 4 columns"},
      {"cat .5 .5 .2 .2\n", -1, "row 1: \"cat\" is not a number"},
      {"0 -.01 .5 .2 .2\n", -1, "row 1: -0.01 is negative"},
      {"0 .5 .5 .2 1.01\n", -1, "row 1: 1.01 is over 1"},
      {"0 320 240 100 50\n", -1, "row 1: 320 is over 1"},
      {"0 .5 .5 .2 nan\n", -1, "not a number"},
      {std::string("\0\1\2", 3), -1, "row 1: "},
      {"<annotation><object>\n", -1, "is not a number"},
  };
  for (const LabelForm& form : forms) {
    SCOPED_TRACE(form.text);
    folder_.write_picture("images/a.png", 20, 30);
    folder_.write("labels/a.txt", form.text);
    const std::vector<fs::path> pictures = list_pictures({folder_.path() / "images"});
    const Index index = scan_range(pictures, 0, 1, {{2, false, "data.yaml"}, 1});
    if (form.boxes >= 0) {
      ASSERT_EQ(index.pictures.size(), 1u) << index.scan.left_out.at(0).text;
      EXPECT_EQ(index.pictures[0].targets.size(), static_cast<size_t>(form.boxes));
    } else {
      ASSERT_EQ(index.scan.left_out.size(), 1u);
      EXPECT_THAT(index.scan.left_out[0].text, AllOf(HasSubstr("labels/a.txt: "), HasSubstr(form.reason)));
    }
  }
}

TEST_F(DataFormsTest, AClassPastTheNamesStopsTheRun) {
  add("images/a.png", "labels/a.txt");
  folder_.write("labels/a.txt", "0 .5 .5 .2 .2\r\n\r\n90 .1 .1 .9 .1 .5 .9\r\n");  // a COCO category id
  EXPECT_THAT(refusal([&] { train("train: images\nval: images\nnames: [a, b]\n"); }),
              HasSubstr("labels/a.txt:3: class 90, data.yaml has 2 (0-1)"));
}

TEST_F(DataFormsTest, FilesThatAreNoPictureAreNamed) {
  add("images/a.png", "labels/a.txt");
  folder_.write("images/b.jpg", std::string("GIF89a\1\0\1\0\0\0\0;", 14));
  folder_.write("images/c.jpg", "<html>not found</html>");
  folder_.write("images/d.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  folder_.write("images/e.png", "");
  const Index index = train("train: images\nval: images\nnames: [a]\n");
  EXPECT_THAT(found(index), ElementsAre("images/a.png:1"));
  ASSERT_EQ(index.scan.left_out.size(), 4u);
  EXPECT_THAT(index.scan.left_out[0].text, HasSubstr("GIF"));
  for (const Scan::Remark& remark : index.scan.left_out) {
    EXPECT_NE(remark.text, "");
  }
}

// A picture whose ending does not fit is read by its content.
TEST_F(DataFormsTest, ThePicturesContentCountsNotItsEnding) {
  const fs::path png = folder_.write_picture("x.png", 20, 30);
  fs::create_directories(folder_.path() / "images");
  fs::rename(png, folder_.path() / "images/a.jpg");
  EXPECT_THAT(found(train("train: images\nval: images\nnames: [a]\n")), ElementsAre("images/a.jpg:0"));
}

TEST_F(DataFormsTest, EveryDepthAndChannelCountBecomesThreeBytesAPixel) {
  const cv::Mat deep(20, 30, CV_16UC3, cv::Scalar(0x1234, 0x5678, 0x9ABC));
  const cv::Mat deep_grey(20, 30, CV_16UC1, cv::Scalar(0x4321));
  const cv::Mat grey(20, 30, CV_8UC1, cv::Scalar(77));
  const cv::Mat clear(20, 30, CV_8UC4, cv::Scalar(10, 20, 30, 0));  // wholly transparent
  const std::vector<std::pair<std::string, cv::Vec3b>> expected = {
      {"clear.png", {10, 20, 30}},      {"deep.png", {0x12, 0x56, 0x9A}},
      {"deep.tif", {0x12, 0x56, 0x9A}}, {"deep_grey.png", {0x43, 0x43, 0x43}},
      {"grey.jpg", {77, 77, 77}},       {"grey.png", {77, 77, 77}},
      {"grey.tif", {77, 77, 77}}};
  folder_.write_picture("images/clear.png", clear);
  folder_.write_picture("images/deep.png", deep);
  folder_.write_picture("images/deep.tif", deep);
  folder_.write_picture("images/deep_grey.png", deep_grey);
  folder_.write_picture("images/grey.jpg", grey);
  folder_.write_picture("images/grey.png", grey);
  folder_.write_picture("images/grey.tif", grey);
  const Index index = train("train: images\nval: images\nnames: [a]\n");
  ASSERT_EQ(index.pictures.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const Picture& picture = index.pictures[i];
    EXPECT_EQ(picture.path.filename(), expected[i].first);
    EXPECT_EQ(picture.width_px, 30);
    const DecodeResult decoded = decode_picture(picture.path);
    ASSERT_TRUE(decoded.picture) << decoded.reason;
    EXPECT_EQ(cv::norm(*decoded.picture, cv::imread(picture.path.string(), cv::IMREAD_COLOR), cv::NORM_INF),
              0);
    EXPECT_EQ(decoded.picture->at<cv::Vec3b>(10, 10), expected[i].second) << expected[i].first;
  }
}

// The camera was held upright: the picture and its labels are those of the turned picture.
TEST_F(DataFormsTest, ExifTurnsAJpeg) {
  cv::Mat image(20, 40, CV_8UC3, cv::Scalar(0, 0, 0));
  image.rowRange(0, 10).setTo(cv::Scalar(255, 255, 255));
  std::vector<uint8_t> jpeg;
  cv::imencode(".jpg", image, jpeg);
  const std::string exif(
      "\xFF\xE1\0\x22"
      "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  folder_.write("images/a.jpg", std::string(jpeg.begin(), jpeg.begin() + 2) + exif +
                                    std::string(jpeg.begin() + 2, jpeg.end()));
  const Index index = train("train: images\nval: images\nnames: [a]\n");
  ASSERT_EQ(index.pictures.size(), 1u);
  EXPECT_EQ(index.pictures[0].width_px, 20);
  EXPECT_EQ(index.pictures[0].height_px, 40);
  const cv::Mat loaded = load_picture(index, 0, 40, true, nullptr).image;
  ASSERT_EQ(loaded.size(), cv::Size(20, 40));
  EXPECT_GT(loaded.at<cv::Vec3b>(20, 15)[0], 200);  // what was above is right now
  EXPECT_LT(loaded.at<cv::Vec3b>(20, 5)[0], 50);
}

}  // namespace
}  // namespace yolodist::data
