// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/index_bytes.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/picture_list.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct SomePictures {
  TemporaryFolder folder;
  std::vector<fs::path> paths;

  SomePictures() {
    for (int i = 0; i < 7; ++i) {
      const std::string name = "p" + std::to_string(i);
      folder.write_picture("images/" + name + ".png", 20 + i, 30);
      if (i % 3 != 2) {
        folder.write("labels/" + name + ".txt", i == 1 ? "0 .1 .1 .5 .1 .3 .4\n2 .2 .2 .9 .9 .1 .8 .2 .2\n"
                                                       : "1 .5 .5 .25 .125\n1 .5 .5 .25 .125\n");
      }
    }
    folder.write("images/broken.jpg", "no picture");
    paths = list_pictures({folder.path() / "images"});
  }
};

const ScanOptions three_classes = {{3, false, "set.yaml"}, 1};

void expect_equal(const Index& a, const Index& b) {
  ASSERT_EQ(a.pictures.size(), b.pictures.size());
  for (size_t i = 0; i < a.pictures.size(); ++i) {
    const Picture &x = a.pictures[i], &y = b.pictures[i];
    EXPECT_EQ(x.path, y.path);
    EXPECT_EQ(x.label_path, y.label_path);
    EXPECT_EQ(x.width_px, y.width_px);
    EXPECT_EQ(x.height_px, y.height_px);
    EXPECT_EQ(x.file_bytes, y.file_bytes);
    EXPECT_EQ(x.modified_ns, y.modified_ns);
    ASSERT_EQ(x.targets.size(), y.targets.size());
    for (size_t k = 0; k < x.targets.size(); ++k) {
      EXPECT_EQ(x.targets[k].class_index, y.targets[k].class_index);
      EXPECT_EQ(x.targets[k].h, y.targets[k].h);
    }
    ASSERT_EQ(x.segments.size(), y.segments.size());
    for (size_t k = 0; k < x.segments.size(); ++k) {
      ASSERT_EQ(x.segments[k].size(), y.segments[k].size());
      EXPECT_EQ(x.segments[k].back().y, y.segments[k].back().y);
    }
  }
  EXPECT_EQ(scan_report(a.scan, "x"), scan_report(b.scan, "x"));
}

TEST(IndexBytes, LeadBack) {
  const SomePictures set;
  const Index index = scan_range(set.paths, 0, set.paths.size(), three_classes);
  EXPECT_GT(index.pictures.at(0).file_bytes, 0u);
  EXPECT_GT(index.pictures.at(0).modified_ns, 0);
  EXPECT_EQ(index.pictures.at(1).segments.size(), 2u);
  expect_equal(from_bytes(to_bytes(index)), index);
  expect_equal(from_bytes(to_bytes(Index{})), Index{});
}

TEST(IndexBytes, RefuseWhatWasCutShort) {
  const SomePictures set;
  const std::string bytes = to_bytes(scan_range(set.paths, 0, set.paths.size(), three_classes));
  for (size_t count = 0; count < bytes.size(); count += 7) {
    EXPECT_THROW(from_bytes(bytes.substr(0, count)), InternalError) << count;
  }
  EXPECT_THROW(from_bytes(bytes + "x"), InternalError);
}

TEST(ScanParts, JoinToTheScanOfAll) {
  const SomePictures set;
  const Index whole = scan_range(set.paths, 0, set.paths.size(), three_classes);
  for (const int ranks : {1, 2, 3, 20}) {
    std::vector<std::string> parts;
    for (int rank = 0; rank < ranks; ++rank) {
      parts.push_back(scan_part(set.paths, rank, ranks, three_classes));
    }
    expect_equal(join_scan_parts(parts), whole);
  }
}

TEST(ScanParts, CarryTheFirstErrorToEveryRank) {
  const SomePictures set;
  set.folder.write("labels/p3.txt", "5 .5 .5 .1 .1\n");
  set.folder.write("labels/p6.txt", "4 .5 .5 .1 .1\n");
  std::vector<std::string> parts;
  for (int rank = 0; rank < 4; ++rank) {
    parts.push_back(scan_part(set.paths, rank, 4, three_classes));
  }
  try {
    join_scan_parts(parts);
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("p3.txt:1: class 5, set.yaml has 3 (0-2)"));
    EXPECT_THAT(error.hint(), HasSubstr("Fix the label"));
  }
}

}  // namespace
}  // namespace yolodist::data
