// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/decode_failures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "common/base/text.h"
#include "tests/support/temporary_folder.h"
#include "worker/data/decode.h"

namespace yolodist::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class DecodeFailuresTest : public ::testing::Test {
 protected:
  Picture picture(const std::string& name) const {
    Picture made;
    made.path = folder_ / name;
    return made;
  }
  void fail(const std::string& name) { failures_.report(picture(name), "cannot be decoded"); }

  test::TemporaryFolder folder_;
  std::vector<std::string> named_;
  DecodeFailures failures_{[this](const Picture& failed, const std::string& reason) {
    named_.push_back(cat(failed.path.filename().string(), ": ", reason));
  }};
};

TEST_F(DecodeFailuresTest, NamesEachPictureOnceAndGoesOn) {
  folder_.write("a/1.jpg", "damaged");
  fail("a/1.jpg");
  fail("a/1.jpg");
  fail("a/gone.jpg");
  EXPECT_THAT(named_, ElementsAre("1.jpg: cannot be decoded", "gone.jpg: cannot be decoded"));
  EXPECT_EQ(failures_.count(), 2);
  EXPECT_EQ(failures_.lost(), "");
}

TEST_F(DecodeFailuresTest, AFolderThatIsGoneShowsAtOnce) {
  fail("unmounted/images/1.jpg");
  EXPECT_THAT(failures_.lost(), AllOf(HasSubstr((folder_ / "unmounted/images").string()),
                                      HasSubstr("cannot be opened (No such file or directory)")));
  fail("unmounted/images/2.jpg");
  EXPECT_TRUE(named_.empty()) << "its pictures are not named one by one";
}

TEST_F(DecodeFailuresTest, AnEmptyMountPointShowsAtOnce) {
  fs::create_directories(folder_ / "disk");
  fail("disk/1.jpg");
  EXPECT_THAT(failures_.lost(), AllOf(HasSubstr((folder_ / "disk").string()), HasSubstr("is empty")));
}

TEST_F(DecodeFailuresTest, ALinkCountsForTheFolderItLeadsTo) {
  folder_.write("list/other.jpg", "x");
  fs::create_symlink(folder_ / "disk/1.jpg", folder_ / "list/1.jpg");
  fail("list/1.jpg");
  EXPECT_THAT(failures_.lost(), HasSubstr((folder_ / "disk").string()));
}

TEST_F(DecodeFailuresTest, ManyInARowAreTheFoldersFault) {
  folder_.write("a/good.jpg", "x");
  for (size_t i = 1; i < DecodeFailures::failures_in_a_row; ++i) {
    fail(cat("a/", i, ".jpg"));
    fail(cat("a/", i, ".jpg"));  // the same picture again says nothing new
  }
  EXPECT_EQ(failures_.lost(), "");
  failures_.read_well(picture("b/good.jpg"));  // elsewhere
  fail("a/one more.jpg");
  EXPECT_THAT(failures_.lost(), AllOf(HasSubstr((folder_ / "a").string()), HasSubstr("8 pictures in a row")));
}

TEST_F(DecodeFailuresTest, APictureThatIsReadInBetweenEndsTheRow) {
  folder_.write("a/good.jpg", "x");
  for (size_t i = 0; i < 3 * DecodeFailures::failures_in_a_row; ++i) {
    fail(cat("a/", i, ".jpg"));
    if (i % 5 == 4) {
      failures_.read_well(picture("a/good.jpg"));
    }
  }
  EXPECT_EQ(failures_.lost(), "");
}

TEST_F(DecodeFailuresTest, AJpegThatWasCutShortAfterTheScanIsGrey) {
  const cv::Mat image(64, 64, CV_8UC3, cv::Scalar(10, 200, 30));
  const fs::path file = folder_.write("a.jpg", "");
  cv::imwrite(file.string(), image);
  Index index;
  index.pictures.push_back(picture("a.jpg"));
  index.pictures[0].width_px = index.pictures[0].height_px = 64;
  index.pictures[0].file_bytes = fs::file_size(file);
  EXPECT_TRUE(load_picture(index, 0, 64, true, &failures_).is_readable);
  const auto cut_bytes = fs::file_size(file) - 40;
  fs::resize_file(file, cut_bytes);
  EXPECT_TRUE(decode_picture(file).picture) << "a decoder makes something of it";
  EXPECT_FALSE(load_picture(index, 0, 64, true, &failures_).is_readable);
  EXPECT_THAT(named_, ElementsAre(cat("a.jpg: it has ", cut_bytes, " bytes, had ", cut_bytes + 40)));
}

}  // namespace
}  // namespace yolodist::data
