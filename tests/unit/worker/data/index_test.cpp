// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/index.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <opencv2/imgcodecs.hpp>

#include "common/base/error.h"
#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/picture_list.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

ScanOptions options(int threads = 2) {
  return {{3, false, "set.yaml"}, threads};
}

// A small set with one of everything.
struct MixedSet {
  TemporaryFolder folder;
  fs::path images = folder.path() / "images";

  MixedSet() {
    folder.write_picture("images/a_boxes.jpg", 40, 60);
    folder.write("labels/a_boxes.txt", "1 0.5 0.5 0.2 0.2\n0 0.25 0.5 0.1 0.1\n");
    folder.write_picture("images/b_empty.png", 40, 60);
    folder.write("labels/b_empty.txt", "\n");
    folder.write_picture("images/c_missing.bmp", 40, 60);
    folder.write_picture("images/d_badlabel.png", 40, 60);
    folder.write("labels/d_badlabel.txt", "1 0.5 0.5 1.2 0.2\n");
    folder.write("images/e_nothing.jpg", "");
    folder.write_picture("images/f_small.png", 9, 60);
    folder.write_picture("images/g_twice.png", 30, 20);
    folder.write("labels/g_twice.txt", "1 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n");
  }
};

TEST(BuildIndex, CountsAndLeavesOut) {
  const MixedSet set;
  const Index index = build_index({set.images}, options());
  EXPECT_EQ(index.scan.found, 2);
  EXPECT_EQ(index.scan.empty, 1);
  EXPECT_EQ(index.scan.missing, 1);
  ASSERT_EQ(index.scan.left_out.size(), 3u);
  EXPECT_EQ(index.scan.left_out[0].path.filename(), "d_badlabel.png");
  EXPECT_THAT(index.scan.left_out[0].text, HasSubstr("d_badlabel.txt: row 1: 1.2 is over 1"));
  EXPECT_EQ(index.scan.left_out[1].text, "empty file");
  EXPECT_THAT(index.scan.left_out[2].text, HasSubstr("60 x 9 pixels"));
  ASSERT_EQ(index.pictures.size(), 4u);
  EXPECT_EQ(index.pictures[0].path.filename(), "a_boxes.jpg");
  EXPECT_EQ(index.pictures[0].width_px, 60);
  EXPECT_EQ(index.pictures[0].height_px, 40);
  EXPECT_EQ(index.pictures[0].targets.size(), 2u);
  EXPECT_EQ(index.pictures[3].targets.size(), 1u);
  EXPECT_EQ(index.box_count(), 3);
  EXPECT_EQ(left_out_line(index.scan), "data: 3 of 7 pictures left out, see logs/data.txt");
  const std::string report = scan_report(index.scan, "train");
  EXPECT_THAT(report,
              HasSubstr("train: 7 pictures, 2 with boxes, 1 without a label file, 1 with an empty one"));
  EXPECT_THAT(report, HasSubstr("e_nothing.jpg: empty file\n"));
  EXPECT_THAT(report, HasSubstr("g_twice.png: 1 repeated label rows removed\n"));
}

TEST(BuildIndex, SaysNothingWhenNothingIsLeftOut) {
  Scan scan;
  scan.found = 3;
  EXPECT_EQ(left_out_line(scan), "");
}

TEST(ScanRange, PartsJoinToTheWhole) {
  const MixedSet set;
  const Index whole = build_index({set.images}, options(1));
  const std::vector<fs::path> paths = list_pictures({set.images});
  std::vector<Index> parts;
  parts.push_back(scan_range(paths, 0, 3, options()));
  parts.push_back(scan_range(paths, 3, paths.size() - 3, options(4)));
  const Index joined = join_parts(std::move(parts));
  ASSERT_EQ(joined.pictures.size(), whole.pictures.size());
  for (size_t i = 0; i < whole.pictures.size(); ++i) {
    EXPECT_EQ(joined.pictures[i].path, whole.pictures[i].path);
    EXPECT_EQ(joined.pictures[i].targets.size(), whole.pictures[i].targets.size());
  }
  EXPECT_EQ(scan_report(joined.scan, "val"), scan_report(whole.scan, "val"));
}

TEST(BuildIndex, NamesTheFirstClassOutOfRangeByPath) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"}) {
    folder.write_picture(std::string("images/") + name + ".png", 20, 20);
    folder.write(std::string("labels/") + name + ".txt",
                 name[0] == 'a' ? "0 .5 .5 .1 .1\n" : "9 .5 .5 .1 .1\n");
  }
  try {
    build_index({folder.path() / "images"}, options(3));
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("labels/b.txt:1: class 9, set.yaml has 3 (0-2)"));
  }
}

TEST(BuildIndex, FailsWhenNoPictureCanBeUsed) {
  TemporaryFolder folder;
  folder.write("images/a.jpg", "not a picture");
  try {
    build_index({folder.path() / "images"}, options());
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("none of the 1 pictures of " + (folder.path() / "images").string()));
    EXPECT_THAT(error.what(), HasSubstr("a.jpg: not a JPEG"));
  }
}

TEST(RequireBoxes, NamesWhereLabelsWereLookedFor) {
  TemporaryFolder folder;
  folder.write_picture("images/a.png", 20, 20);
  const Index index = build_index({folder.path() / "images"}, options());
  EXPECT_EQ(index.scan.missing, 1);
  try {
    require_boxes(index, {folder.path() / "images"});
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("labels/a.txt"));
  }
}

TEST(BuildIndex, KeepsAJpegWithoutEndMarkerAsItDecodesAndLeavesTheFileAlone) {
  TemporaryFolder folder;
  cv::Mat noise(64, 64, CV_8UC3);
  cv::randu(noise, 0, 255);
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", noise, bytes);
  const std::string cut(bytes.begin(), bytes.end() - 2);
  const fs::path file = folder.write("images/cut.jpg", cut);
  const Index index = build_index({folder.path() / "images"}, options());
  ASSERT_EQ(index.pictures.size(), 1u);
  EXPECT_EQ(index.pictures[0].width_px, 64);
  ASSERT_EQ(index.scan.notes.size(), 1u);
  EXPECT_THAT(index.scan.notes[0].text, HasSubstr("without its end marker"));
  EXPECT_EQ(fs::file_size(file), cut.size());
}

TEST(BuildIndex, KeepsAPictureNamedTwiceInAListTwice) {
  TemporaryFolder folder;
  folder.write_picture("images/a.png", 20, 20);
  const fs::path list = folder.write("train.txt", "./images/a.png\n./images/a.png\n./images/gone.png\n");
  const Index index = build_index({list}, options());
  EXPECT_EQ(index.pictures.size(), 2u);
  ASSERT_EQ(index.scan.left_out.size(), 1u);
  EXPECT_EQ(index.scan.left_out[0].text, "No such file or directory");
}

TEST(BuildIndex, DoesNotWaitOnAPipe) {
  TemporaryFolder folder;
  folder.write_picture("images/a.png", 20, 20);
  ASSERT_EQ(::mkfifo((folder.path() / "images/pipe.jpg").c_str(), 0600), 0);
  const Index index = build_index({folder.path() / "images"}, options());
  ASSERT_EQ(index.scan.left_out.size(), 1u);
  EXPECT_EQ(index.scan.left_out[0].text, "not a regular file");
}

}  // namespace
}  // namespace yolodist::data
