// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/picture_list.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/unit/worker/data/temporary_folder.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// Relative to the folder.
std::vector<std::string> names(const std::vector<fs::path>& paths, const fs::path& folder) {
  std::vector<std::string> result;
  for (const fs::path& path : paths) {
    const std::string text = path.string(), prefix = folder.string() + "/";
    result.push_back(text.rfind(prefix, 0) == 0 ? text.substr(prefix.size()) : text);
  }
  return result;
}

TEST(ListPictures, WalksFoldersAndSortsByText) {
  TemporaryFolder folder;
  for (const char* name :
       {"images/b/1.jpg", "images/b-2/1.JPG", "images/a.Png", "images/.hidden.jpg", "images/.cache/x.jpg",
        "images/notes.txt", "images/no_extension", "images/c.gif"}) {
    folder.write(name, "x");
  }
  EXPECT_THAT(names(list_pictures({folder.path() / "images"}), folder.path()),
              ElementsAre("images/a.Png", "images/b-2/1.JPG", "images/b/1.jpg"));
}

TEST(ListPictures, FollowsLinksAndStopsAtCircles) {
  TemporaryFolder folder;
  folder.write("real/a.jpg", "x");
  fs::create_directory(folder.path() / "images");
  fs::create_directory_symlink(folder.path() / "real", folder.path() / "images/linked");
  fs::create_directory_symlink(folder.path() / "images", folder.path() / "images/circle");
  fs::create_symlink(folder.path() / "nowhere", folder.path() / "images/dangling");
  EXPECT_THAT(names(list_pictures({folder.path() / "images"}), folder.path()),
              ElementsAre("images/linked/a.jpg"));
}

TEST(ListPictures, ReadsListFiles) {
  TemporaryFolder folder;
  folder.write("lists/images/plain.jpg", "x");
  folder.write("lists/images/dot.jpg", "x");
  folder.write("lists/images/back.jpg", "x");
  const fs::path absolute = folder.write("elsewhere/abs.jpg", "x");
  const fs::path list = folder.write(
      "lists/train.txt", "\xEF\xBB\xBF./images/dot.jpg\r\n\r\nimages/plain.jpg  \r\n" + absolute.string() +
                             "\nimages\\back.jpg\n./readme.md\ngone/missing.jpg\n" + absolute.string());
  const std::vector<std::string> found = names(list_pictures({list}), folder.path());
  EXPECT_THAT(found, ElementsAre("elsewhere/abs.jpg", "elsewhere/abs.jpg", "lists/images/back.jpg",
                                 "lists/images/dot.jpg", "lists/images/plain.jpg", "gone/missing.jpg"));
}

TEST(ListPictures, MixesKindsOfEntries) {
  TemporaryFolder folder;
  folder.write("a/1.jpg", "x");
  const fs::path single = folder.write("2.webp", "x");
  const fs::path list = folder.write("l.txt", "./a/1.jpg\n");
  EXPECT_THAT(names(list_pictures({folder.path() / "a", list, single}), folder.path()),
              ElementsAre("2.webp", "a/1.jpg", "a/1.jpg"));
}

std::string error_of(const std::vector<fs::path>& entries) {
  try {
    list_pictures(entries);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(ListPictures, NamesWhatIsWrong) {
  TemporaryFolder folder;
  folder.write("labels/a.txt", "0 .5 .5 .1 .1");
  const std::string labels = (folder.path() / "labels").string();
  EXPECT_EQ(error_of({folder.path() / "labels"}), "no pictures in " + labels);
  EXPECT_THAT(error_of({folder.path() / "gone"}), HasSubstr("gone: no such file or folder"));
  EXPECT_THAT(error_of({folder.write("data.bin", std::string("a.jpg\0\1", 7))}), HasSubstr("nor a list"));
}

}  // namespace
}  // namespace yolodist::data
