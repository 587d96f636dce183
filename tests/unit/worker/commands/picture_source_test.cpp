// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/picture_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ListSource : public ::testing::Test {
 protected:
  ListSource() {
    for (const char* name : {"b.JPG", "a.png", "a [1].jpg", ".hidden.jpg", "notes.md", "clip.mp4",
                             "deep/c.jpg", "deep/er/d.jpg", "deep/.dark/e.jpg", "img1.bmp", "img12.bmp"}) {
      folder_.write(name, "x");
    }
  }
  // The pictures of a source below the folder, as paths relative to it.
  std::vector<std::string> list(const std::string& source) {
    source_ = list_source((folder_ / source).string());
    std::vector<std::string> names;
    for (const auto& picture : source_.pictures) {
      names.push_back(std::filesystem::relative(picture, folder_.path()).string());
    }
    return names;
  }
  test::TemporaryFolder folder_;
  PictureSource source_;
};

TEST_F(ListSource, AFolderIsItsOwnPicturesSorted) {
  EXPECT_THAT(list("."), ElementsAre("a [1].jpg", "a.png", "b.JPG", "img1.bmp", "img12.bmp"));
  EXPECT_EQ(source_.others, 2) << "notes.md and clip.mp4";
}

TEST_F(ListSource, AFileIsTakenWhateverSignsItsNameHas) {
  EXPECT_THAT(list("a [1].jpg"), ElementsAre("a [1].jpg"));
  folder_.write("star*.jpg", "x");
  folder_.write("starling.jpg", "x");
  EXPECT_THAT(list("star*.jpg"), ElementsAre("star*.jpg"));
}

TEST_F(ListSource, PatternsFitNamesFoldersAndFoldersBelow) {
  EXPECT_THAT(list("*.bmp"), ElementsAre("img1.bmp", "img12.bmp"));
  EXPECT_THAT(list("img?.bmp"), ElementsAre("img1.bmp"));
  EXPECT_THAT(list("d*/*.jpg"), ElementsAre("deep/c.jpg"));
  EXPECT_THAT(list("**/*.jpg"), ElementsAre("a [1].jpg", "deep/c.jpg", "deep/er/d.jpg"));
  EXPECT_THAT(list("deep/**"), ElementsAre("deep/c.jpg", "deep/er/d.jpg"));
}

TEST_F(ListSource, AListNamesFilesFoldersAndPatterns) {
  folder_.write("list.txt",
                "a.png\r\n\n" + (folder_ / "deep").string() + "\n" + (folder_ / "img*").string() + "\n");
  EXPECT_THAT(list("list.txt"), ElementsAre("a.png", "deep/c.jpg", "img1.bmp", "img12.bmp"));
}

TEST_F(ListSource, SaysWhatIsMissing) {
  EXPECT_THAT(test::thrown<DataError>([&] { list("nowhere"); }), HasSubstr("nowhere: no such file"));
  EXPECT_THAT(test::thrown<DataError>([&] { list("*.tif"); }), HasSubstr("no pictures in"));
  folder_.write("list.txt", "gone.jpg\n");
  EXPECT_THAT(test::thrown<DataError>([&] { list("list.txt"); }), HasSubstr("gone.jpg"));
  folder_.write("empty/readme.md", "x");
  EXPECT_THAT(test::thrown<DataError>([&] { list("empty"); }), HasSubstr("no pictures in"));
}

}  // namespace
}  // namespace yolodist::commands
