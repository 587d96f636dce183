// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/data_set.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::config {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A set with images/train, images/val and a list file, in "set"; the yaml's text is the test's.
class DataSetTest : public testing::Test {
 protected:
  DataSetTest() {
    fs::create_directories(root_ / "images/train");
    fs::create_directories(root_ / "images/val");
    folder_.write("set/list.txt", "images/train/a.jpg\n");
  }

  fs::path yaml(const std::string& text) const { return folder_.write("set/data.yaml", text); }
  DataSet read(const std::string& text, bool single_cls = false) const {
    return read_data_set(yaml(text), single_cls);
  }
  std::string refusal(const std::string& text) const {
    return thrown<DataError>([&] { read(text); });
  }

  TemporaryFolder folder_;
  fs::path root_ = folder_ / "set";
};

const std::string splits = "train: images/train\nval: images/val\n";

TEST_F(DataSetTest, ReadsTheListForm) {
  const DataSet set = read("path: .\n" + splits + "nc: 2\nnames: ['cat', dog]\n");
  EXPECT_THAT(set.train, ElementsAre(root_ / "images/train"));
  EXPECT_THAT(set.val, ElementsAre(root_ / "images/val"));
  EXPECT_THAT(set.test, IsEmpty());
  EXPECT_THAT(set.names, ElementsAre("cat", "dog"));
  EXPECT_EQ(set.class_count(), 2);
  EXPECT_EQ(set.file, root_ / "data.yaml");
}

TEST_F(DataSetTest, ReadsTheMapFormInAnyOrder) {
  EXPECT_THAT(read(splits + "names:\n  1: dog\n  0: cat\n").names, ElementsAre("cat", "dog"));
}

TEST_F(DataSetTest, PathMayBeAbsentAbsoluteOrRelativeToTheYaml) {
  for (const std::string& path : {std::string(), "path: " + root_.string() + "\n",
                                  std::string("path: ../set\n"), std::string("path:\n")}) {
    EXPECT_THAT(read(path + splits + "names: [a]\n").train, ElementsAre(root_ / "images/train")) << path;
  }
}

TEST_F(DataSetTest, PathMayBeRelativeToTheWorkingFolder) {
  const fs::path before = fs::current_path();
  fs::create_directories(folder_ / "work/elsewhere/images/train");
  fs::create_directories(folder_ / "work/elsewhere/images/val");
  fs::current_path(folder_ / "work");
  const DataSet set = read("path: elsewhere\n" + splits + "names: [a]\n");
  fs::current_path(before);
  EXPECT_THAT(set.train, ElementsAre(folder_ / "work/elsewhere/images/train"));
}

TEST_F(DataSetTest, ParentFolderIsDroppedWhereItDoesNotExist) {
  const DataSet set =
      read("train: ../images/train\nval: ../images/val\nnames: [a]\nroboflow:\n  license: x\n");
  EXPECT_THAT(set.train, ElementsAre(root_ / "images/train"));
}

TEST_F(DataSetTest, ParentFolderIsKeptWhereItExists) {
  fs::create_directories(folder_ / "images/train");
  const DataSet set = read("train: ../images/train\nval: ../images/val\nnames: [a]\n");
  EXPECT_THAT(set.train, ElementsAre(folder_ / "images/train"));
}

TEST_F(DataSetTest, SplitsMayBeListsOfFoldersAndFiles) {
  const DataSet set =
      read("train: [images/train, list.txt]\nval:\n  - images/val\ntest: images/val\nnames: [a]\n");
  EXPECT_THAT(set.train, ElementsAre(root_ / "images/train", root_ / "list.txt"));
  EXPECT_THAT(set.test, ElementsAre(root_ / "images/val"));
}

TEST_F(DataSetTest, AMissingTestSplitIsNoError) {
  EXPECT_THAT(read(splits + "test: images/test\nnames: [a]\n").test, IsEmpty());
}

TEST_F(DataSetTest, WindowsFilesWork) {
  const DataSet set = read(
      "\xEF\xBB\xBFpath: .\r\ntrain: images\\train\r\nval: .\\images\\val\\  \r\nnames:\r\n  0: cat\r\n  1: "
      "a dog\r\n");
  EXPECT_THAT(set.train, ElementsAre(root_ / "images/train"));
  EXPECT_THAT(set.val, ElementsAre(root_ / "images/val"));
  EXPECT_THAT(set.names, ElementsAre("cat", "a dog"));
}

TEST_F(DataSetTest, SymbolicLinksAreNotResolved) {
  fs::create_directories(folder_ / "disk");
  fs::create_directory_symlink(folder_ / "disk", root_ / "images/linked");
  EXPECT_THAT(read("train: images/linked\nval: images/val\nnames: [a]\n").train,
              ElementsAre(root_ / "images/linked"));
}

TEST_F(DataSetTest, NamesOutsideAsciiWork) {
  EXPECT_THAT(read(splits + "names: [Fußgänger, 汽车, '🚗', yes, 007]\n").names,
              ElementsAre("Fußgänger", "汽车", "🚗", "yes", "007"));
}

TEST_F(DataSetTest, ARepeatedNameIsOnlyAWarning) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(read(splits + "names: [a, a]\n").class_count(), 2);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("two classes are called 'a'"));
}

TEST_F(DataSetTest, SingleClassIsCalledItem) {
  EXPECT_THAT(read(splits + "names: [a, b]\n", true).names, ElementsAre("item"));
  EXPECT_THAT(read(splits + "names: [only]\n", true).names, ElementsAre("only"));
}

TEST_F(DataSetTest, RefusesWrongNames) {
  EXPECT_THAT(refusal(splits), AllOf(HasSubstr("data.yaml"), HasSubstr("no class names")));
  EXPECT_THAT(refusal(splits + "names: []\n"), HasSubstr("data.yaml:3"));
  EXPECT_THAT(refusal(splits + "names: cat\n"), HasSubstr("data.yaml:3"));
  EXPECT_THAT(refusal(splits + "names: {0: a, 2: c}\n"),
              AllOf(HasSubstr("no class 1"), HasSubstr("data.yaml:3")));
  EXPECT_THAT(refusal(splits + "names: {-1: a, 0: c}\n"), HasSubstr("no class 0"));
  EXPECT_THAT(refusal(splits + "names:\n  0: a\n  b: c\n"),
              AllOf(HasSubstr("data.yaml:5"), HasSubstr("integer")));
  EXPECT_THAT(refusal(splits + "names:\n  - a\n  - [b]\n"),
              AllOf(HasSubstr("data.yaml:5"), HasSubstr("class 1")));
  EXPECT_THAT(refusal(splits + "names:\n  - a\n  -\n"), HasSubstr("class 1"));
}

TEST_F(DataSetTest, RefusesACountThatDisagrees) {
  EXPECT_THAT(refusal(splits + "nc: 3\nnames: [a]\n"),
              AllOf(HasSubstr("data.yaml:3"), HasSubstr("nc is 3"), HasSubstr("1 names")));
  EXPECT_THAT(refusal(splits + "nc: many\nnames: [a]\n"), HasSubstr("data.yaml:3"));
}

TEST_F(DataSetTest, NamesEveryPlaceTried) {
  const std::string message = refusal("train: images/train\nval: ../images/none\nnames: [a]\n");
  EXPECT_THAT(message, AllOf(HasSubstr("data.yaml:2"), HasSubstr("val path '../images/none'"),
                             HasSubstr((folder_ / "images/none").string()),
                             HasSubstr((root_ / "images/none").string()),
                             HasSubstr((fs::current_path() / "images/none").string())));
}

TEST_F(DataSetTest, SaysThatItDoesNotDownload) {
  EXPECT_THAT(refusal("train: none\nval: images/val\nnames: [a]\ndownload: https://example.org/a.zip\n"),
              HasSubstr("does not download"));
}

TEST_F(DataSetTest, RefusesMissingSplits) {
  EXPECT_THAT(refusal("val: images/val\nnames: [a]\n"), HasSubstr("no train path"));
  EXPECT_THAT(refusal("train: images/train\nval: []\nnames: [a]\n"),
              AllOf(HasSubstr("data.yaml:2"), HasSubstr("no val path")));
  EXPECT_THAT(refusal("train: {a: b}\nval: images/val\nnames: [a]\n"),
              AllOf(HasSubstr("data.yaml:1"), HasSubstr("a mapping")));
}

TEST_F(DataSetTest, RefusesFilesThatAreNoDataYaml) {
  EXPECT_THAT(thrown<DataError>([&] { read_data_set(root_ / "none.yaml", false); }), HasSubstr("none.yaml"));
  EXPECT_THAT(thrown<DataError>([&] { read_data_set(root_, false); }), HasSubstr("is a folder"));
  EXPECT_THAT(refusal("train: [a\n"), HasSubstr("not valid yaml"));
  EXPECT_THAT(refusal(""), HasSubstr("data.yaml"));
  EXPECT_THAT(refusal(std::string("\xff\xd8\xff\xe0\0\x10JFIF", 10)), HasSubstr("data.yaml"));
}

TEST(ShippedSample, Has16And8Pictures) {
  const DataSet set =
      read_data_set(fs::path(YOLODIST_SOURCE_DIR) / "share/yolodist/sample/sample.yaml", false);
  EXPECT_THAT(set.names, ElementsAre("vehicle"));
  const auto count = [](const fs::path& folder) {
    int pictures = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const fs::path label =
          folder.parent_path().parent_path() / "labels" / folder.filename() / entry.path().stem();
      pictures += entry.path().extension() == ".jpg" && fs::exists(label.string() + ".txt") ? 1 : 0;
    }
    return pictures;
  };
  EXPECT_EQ(count(set.train.front()), 16);
  EXPECT_EQ(count(set.val.front()), 8);
}

}  // namespace
}  // namespace yolodist::config
