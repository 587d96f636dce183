// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Awkward pictures met in the field: each is read as OpenCV reads it, or left out with a reason; none
// crashes.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/decode.h"
#include "worker/data/index.h"
#include "worker/data/picture_header.h"
#include "worker/data/picture_list.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path shared = fs::path(YOLODIST_SOURCE_DIR) / ".." / "shared" / "data";

// What OpenCV itself makes of a file; empty when it refuses.
cv::Mat as_opencv_reads(const fs::path& path) {
  try {
    return cv::imread(path.string(), cv::IMREAD_COLOR);
  } catch (const cv::Exception&) {
    return {};
  }
}

void expect_same_as_opencv(const fs::path& path) {
  SCOPED_TRACE(path.string());
  const DecodeResult decoded = decode_picture(path);
  const cv::Mat expected = as_opencv_reads(path);
  ASSERT_EQ(decoded.picture.has_value(), !expected.empty()) << decoded.reason;
  if (!decoded.picture) {
    EXPECT_NE(decoded.reason, "");
    return;
  }
  ASSERT_EQ(decoded.picture->size(), expected.size());
  EXPECT_EQ(cv::norm(*decoded.picture, expected, cv::NORM_INF), 0);
  FileSource file(path);
  const PictureHeader header = read_picture_header(file);
  if (header.state == PictureHeader::State::sized) {
    EXPECT_EQ(header.width_px, expected.cols);
    EXPECT_EQ(header.height_px, expected.rows);
  }
}

TEST(Tricky, EveryPictureIsReadLikeOpenCvOrLeftOut) {
  if (!fs::exists(shared / "tricky")) {
    GTEST_SKIP() << "the set of awkward pictures is not here";
  }
  const std::vector<fs::path> paths = list_pictures({shared / "tricky"});
  EXPECT_EQ(paths.size(), 32u);
  for (const fs::path& path : paths) {
    expect_same_as_opencv(path);
  }
  const Index index = build_index({shared / "tricky"}, {{1, false, ""}, 2});
  EXPECT_EQ(index.scan.total(), static_cast<int64_t>(paths.size()));
  std::map<std::string, std::string> left_out;
  for (const Scan::Remark& remark : index.scan.left_out) {
    EXPECT_NE(remark.text, "");
    left_out[remark.path.filename().string()] = remark.text;
  }
  EXPECT_THAT(left_out["broken.png"], HasSubstr("97293039 x 1048810005"));
  EXPECT_EQ(left_out["empty.jpg"], "empty file");
  EXPECT_TRUE(left_out.contains("l2rgb_read.bmp"));
  EXPECT_THAT(left_out["orientation_rectangle.jpg"], HasSubstr("pixels, sides are 10 at least"));
  for (const Picture& picture : index.pictures) {
    const cv::Mat expected = as_opencv_reads(picture.path);
    EXPECT_EQ(picture.width_px, expected.cols) << picture.path;
    EXPECT_EQ(picture.height_px, expected.rows) << picture.path;
  }
}

TEST(Tricky, ExifTurnsTheSize) {
  if (!fs::exists(shared / "tricky")) {
    GTEST_SKIP() << "the set of awkward pictures is not here";
  }
  const std::map<std::string, std::array<int, 2>> sizes = {{"Landscape_6.jpg", {1800, 1200}},
                                                           {"Landscape_8.jpg", {1800, 1200}},
                                                           {"Portrait_6.jpg", {1200, 1800}},
                                                           {"Portrait_3.jpg", {1200, 1800}}};
  for (const auto& [name, size] : sizes) {
    FileSource file(shared / "tricky" / name);
    const PictureHeader header = read_picture_header(file);
    EXPECT_EQ(header.state, PictureHeader::State::sized) << name;
    EXPECT_EQ(header.width_px, size[0]) << name;
    EXPECT_EQ(header.height_px, size[1]) << name;
  }
}

TEST(Tricky, AListOfWindowsPathsIsNamedLineByLine) {
  if (!fs::exists(shared / "tricky")) {
    GTEST_SKIP() << "the set of awkward pictures is not here";
  }
  const std::vector<fs::path> paths = list_pictures({shared / "tricky" / "windows_paths_train.txt"});
  EXPECT_EQ(paths.size(), 12u);
  EXPECT_EQ(paths.front().string(), "D:/yolov5/VOCdevkit/VOC2007/JPEGImages/img00001.jpg");
  const Index index = scan_range(paths, 0, paths.size(), {{1, false, ""}, 2});
  EXPECT_EQ(index.scan.left_out.size(), 12u);
}

TEST(PictureHeader, RefusesForgedSizesBeforeDecoding) {
  TemporaryFolder folder;
  std::string png = "\x89PNG\r\n\x1A\n";
  png += std::string("\0\0\0\x0DIHDR\0\0\x80\0\0\0\x80\0\x08\x02\0\0\0", 21) + std::string(40, '\0');
  const fs::path large = folder.write("large.png", png);
  EXPECT_THAT(decode_picture(large).reason, HasSubstr("claims 32768 x 32768 pixels, the limit is"));
  png[18] = 0x20, png[22] = 0x20;  // 8192 x 8192 x 3 bytes out of 69
  EXPECT_THAT(decode_picture(folder.write("bomb.png", png)).reason, HasSubstr("bytes cannot hold"));
  const fs::path pfm = folder.write("a.pfm", "PF\n100000 100000\n-1.0\n");
  EXPECT_THAT(decode_picture(pfm).reason, HasSubstr("the limit is"));
  EXPECT_THAT(decode_picture(folder.write("a.jpg", "GIF89a...........")).reason, HasSubstr("GIF"));
  EXPECT_EQ(decode_picture(folder.path()).reason, "not a regular file");
}

TEST(PictureHeader, SizesEveryFormatItKnows) {
  TemporaryFolder folder;
  cv::Mat picture(37, 53, CV_8UC3);
  cv::randu(picture, 0, 255);
  for (const char* name : {"a.jpg", "a.png", "a.bmp", "a.webp", "a.tif"}) {
    const fs::path path = folder.write_picture(name, picture);
    expect_same_as_opencv(path);
    FileSource file(path);
    const PictureHeader header = read_picture_header(file);
    const bool is_tiff = std::string(name) == "a.tif";
    EXPECT_EQ(header.state, is_tiff ? PictureHeader::State::must_decode : PictureHeader::State::sized)
        << name;
  }
  const fs::path lossless = folder.path() / "lossless.webp";
  ASSERT_TRUE(cv::imwrite(lossless.string(), picture, {cv::IMWRITE_WEBP_QUALITY, 101}));
  expect_same_as_opencv(lossless);
}

// Damaged at random places: whatever comes of it, the program stands, and what is called sized has that size
// or cannot be decoded at all.
TEST(PictureHeader, StandsDamagedFiles) {
  TemporaryFolder folder;
  cv::Mat picture(24, 32, CV_8UC3);
  cv::randu(picture, 0, 255);
  std::mt19937 random(1);
  for (const char* extension : {".jpg", ".png", ".bmp", ".webp", ".tif"}) {
    std::vector<uint8_t> good;
    ASSERT_TRUE(cv::imencode(extension, picture, good));
    for (int round = 0; round < 60; ++round) {
      std::vector<uint8_t> bad = good;
      for (int i = 0; i < 3; ++i) {
        bad[random() % std::min<size_t>(bad.size(), 200)] = static_cast<uint8_t>(random());
      }
      if (round % 3 == 0) {
        bad.resize(random() % bad.size());
      }
      const fs::path path = folder.write("x", std::string(bad.begin(), bad.end()));
      const DecodeResult decoded = decode_picture(path);
      FileSource file(path);
      const PictureHeader header = read_picture_header(file);
      EXPECT_EQ(decoded.picture.has_value(), decoded.reason.empty());
      if (header.state == PictureHeader::State::sized && decoded.picture) {
        EXPECT_EQ(decoded.picture->size(), cv::Size(header.width_px, header.height_px)) << extension << round;
      }
    }
  }
}

TEST(PictureHeader, ReadsTheOrientationOfAPng) {
  TemporaryFolder folder;
  std::vector<uint8_t> png;
  cv::imencode(".png", cv::Mat(20, 40, CV_8UC3, cv::Scalar(1, 2, 3)), png);
  // A chunk eXIf with orientation 6 after the header chunk.
  const std::string exif(
      "\0\0\0\x1A"
      "eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      34);
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 4; i < exif.size(); ++i) {
    crc ^= static_cast<uint8_t>(exif[i]);
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
    }
  }
  crc = ~crc;
  std::string file(png.begin(), png.begin() + 33);
  file += exif;
  for (int shift = 24; shift >= 0; shift -= 8) {
    file += static_cast<char>(crc >> shift);
  }
  file.append(png.begin() + 33, png.end());
  expect_same_as_opencv(folder.write("turned.png", file));
}

}  // namespace
}  // namespace yolodist::data
