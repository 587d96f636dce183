// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/picture_header.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/text.h"

namespace yolodist::data {
namespace {

using State = PictureHeader::State;

PictureHeader refused(std::string reason) {
  return {State::refused, 0, 0, std::move(reason)};
}

PictureHeader must_decode(std::string doubt = "") {
  return {State::must_decode, 0, 0, std::move(doubt)};
}

uint32_t big_endian(const uint8_t* bytes, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) {
    value = value << 8 | bytes[i];
  }
  return value;
}

uint32_t little_endian(const uint8_t* bytes, int count) {
  uint32_t value = 0;
  for (int i = count; i-- > 0;) {
    value = value << 8 | bytes[i];
  }
  return value;
}

template <size_t Count>
std::optional<std::array<uint8_t, Count>> bytes_at(FileSource& source, uint64_t offset) {
  std::array<uint8_t, Count> bytes{};
  if (!source.read(offset, bytes)) {
    return std::nullopt;
  }
  return bytes;
}

bool is_at(FileSource& source, uint64_t offset, std::string_view expected) {
  std::array<uint8_t, 16> bytes{};
  return source.read(offset, std::span(bytes).first(expected.size())) &&
         std::memcmp(bytes.data(), expected.data(), expected.size()) == 0;
}

// "" when the size may be opened.
std::string size_problem(int64_t width, int64_t height) {
  if (width <= 0 || height <= 0) {
    return cat("claims ", width, " x ", height, " pixels");
  }
  // Divided, not multiplied: a forged header may claim 2^31 on either side.
  if (width > max_picture_pixels / height) {
    return cat("claims ", width, " x ", height, " pixels, the limit is ", max_picture_pixels, " in all");
  }
  return "";
}

PictureHeader sized(int64_t width, int64_t height, int orientation = 1) {
  std::string problem = size_problem(width, height);
  if (!problem.empty()) {
    return refused(std::move(problem));
  }
  if (orientation >= 5 && orientation <= 8) {  // those four lay the picture on its side
    std::swap(width, height);
  }
  return {State::sized, static_cast<int>(width), static_cast<int>(height), ""};
}

// The limit holds for pictures that have to be decoded too.
PictureHeader limited(int64_t width, int64_t height, std::string doubt = "") {
  std::string problem = size_problem(width, height);
  return problem.empty() ? must_decode(std::move(doubt)) : refused(std::move(problem));
}

// The first directory of TIFF data (a TIFF file, or what EXIF holds), calling visit(tag, type, value) for
// entries whose value is a single short or long. False when it is no TIFF data.
template <typename Visit>
bool visit_tiff_entries(FileSource& source, uint64_t base, Visit visit) {
  const auto head = bytes_at<8>(source, base);
  if (!head) {
    return false;
  }
  const bool is_little = (*head)[0] == 'I' && (*head)[1] == 'I';
  if (!is_little && !((*head)[0] == 'M' && (*head)[1] == 'M')) {
    return false;
  }
  const auto number = [is_little](const uint8_t* bytes, int count) {
    return is_little ? little_endian(bytes, count) : big_endian(bytes, count);
  };
  if (number(head->data() + 2, 2) != 42) {
    return false;
  }
  const uint64_t directory = base + number(head->data() + 4, 4);
  const auto count = bytes_at<2>(source, directory);
  if (!count) {
    return false;
  }
  const uint32_t entries = number(count->data(), 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const auto entry = bytes_at<12>(source, directory + 2 + uint64_t{12} * i);
    if (!entry) {
      break;
    }
    const uint32_t type = number(entry->data() + 2, 2);
    if (type == 3 || type == 4) {  // SHORT, LONG
      visit(number(entry->data(), 2), number(entry->data() + 8, type == 3 ? 2 : 4));
    }
  }
  return true;
}

int exif_orientation(FileSource& source, uint64_t base) {
  int orientation = 1;
  visit_tiff_entries(source, base, [&](uint32_t tag, uint32_t value) {
    if (tag == 0x0112 && value >= 1 && value <= 8) {
      orientation = static_cast<int>(value);
    }
  });
  return orientation;
}

PictureHeader jpeg_header(FileSource& source) {
  constexpr uint64_t junk_limit_bytes = 65536;  // stray bytes between markers, which decoders skip
  uint64_t offset = 2, junk = 0;
  int64_t width = 0, height = 0;
  int orientation = 1;
  bool has_exif = false;
  while (true) {
    const auto prefix = bytes_at<2>(source, offset);
    if (!prefix || junk > junk_limit_bytes) {
      return must_decode("JPEG markers end before the picture begins");
    }
    const uint8_t marker = (*prefix)[1];
    if ((*prefix)[0] != 0xFF || marker == 0x00 || marker == 0xFF) {
      ++offset, ++junk;
      continue;
    }
    const bool has_no_length = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
    if (has_no_length) {
      offset += 2;
      continue;
    }
    if (marker == 0xD9) {
      return must_decode("JPEG ends before the picture begins");
    }
    const auto length_bytes = bytes_at<2>(source, offset + 2);
    if (!length_bytes || big_endian(length_bytes->data(), 2) < 2) {
      return must_decode("damaged JPEG marker");
    }
    const bool is_frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && width == 0) {
      const auto frame = bytes_at<5>(source, offset + 4);  // precision, height, width
      if (!frame) {
        return must_decode("damaged JPEG frame header");
      }
      height = big_endian(frame->data() + 1, 2);
      width = big_endian(frame->data() + 3, 2);
    } else if (marker == 0xE1 && !has_exif && is_at(source, offset + 4, std::string_view("Exif\0\0", 6))) {
      has_exif = true;
      orientation = exif_orientation(source, offset + 10);
    } else if (marker == 0xDA) {
      break;
    }
    offset += 2 + big_endian(length_bytes->data(), 2);
  }
  if (width == 0 || height == 0) {
    return must_decode("JPEG without a size in its header");
  }
  PictureHeader header = sized(width, height, orientation);
  const auto tail = bytes_at<2>(source, source.size() - 2);
  if (header.state == State::sized && (!tail || (*tail)[0] != 0xFF || (*tail)[1] != 0xD9)) {
    return must_decode("JPEG without its end marker: cut short, or with bytes after its end");
  }
  return header;
}

PictureHeader png_header(FileSource& source) {
  if (!is_at(source, 8, std::string_view("\0\0\0\x0DIHDR", 8))) {
    const auto claimed = bytes_at<8>(source, 16);
    return refused(claimed ? cat("PNG without a header chunk (read as one it would claim ",
                                 big_endian(claimed->data(), 4), " x ", big_endian(claimed->data() + 4, 4),
                                 " pixels)")
                           : "PNG without a header chunk");
  }
  const auto fields = bytes_at<10>(source, 16);  // width, height, depth, colour type
  if (!fields) {
    return refused("PNG cut short in its header");
  }
  const int64_t width = big_endian(fields->data(), 4), height = big_endian(fields->data() + 4, 4);
  std::string problem = size_problem(width, height);
  if (!problem.empty()) {
    return refused(std::move(problem));
  }
  constexpr std::array<int, 7> channels = {1, 0, 3, 1, 2, 0, 4};  // by colour type
  const int colour_type = (*fields)[9];
  const int bits = colour_type < 7 ? channels[static_cast<size_t>(colour_type)] * (*fields)[8] : 0;
  // Deflate makes at most 1032 bytes from one.
  if (static_cast<uint64_t>(width) * static_cast<uint64_t>(height) * static_cast<uint64_t>(bits) / 8 / 1032 >
      source.size()) {
    return refused(
        cat("claims ", width, " x ", height, " pixels, which ", source.size(), " bytes cannot hold"));
  }
  int orientation = 1;
  uint64_t offset = 8;
  while (true) {
    const auto chunk = bytes_at<8>(source, offset);
    const uint64_t length = chunk ? big_endian(chunk->data(), 4) : 0;
    if (!chunk || offset + 12 + length > source.size()) {
      return must_decode("PNG cut short");
    }
    const std::string_view type(reinterpret_cast<const char*>(chunk->data()) + 4, 4);
    if (type == "eXIf") {
      orientation = exif_orientation(source, offset + 8);
    } else if (type == "IEND") {
      return sized(width, height, orientation);
    }
    offset += 12 + length;
  }
}

PictureHeader webp_header(FileSource& source) {
  const auto head = bytes_at<30>(source, 0);
  if (!head) {
    return must_decode("WebP cut short");
  }
  const uint8_t* bytes = head->data();
  const std::string_view chunk(reinterpret_cast<const char*>(bytes) + 12, 4);
  int64_t width = 0, height = 0;
  bool is_plain = true;
  if (chunk == "VP8 " && bytes[23] == 0x9D && bytes[24] == 0x01 && bytes[25] == 0x2A) {
    width = little_endian(bytes + 26, 2) & 0x3FFF;
    height = little_endian(bytes + 28, 2) & 0x3FFF;
  } else if (chunk == "VP8L" && bytes[20] == 0x2F) {
    const uint32_t packed = little_endian(bytes + 21, 4);
    width = (packed & 0x3FFF) + 1;
    height = (packed >> 14 & 0x3FFF) + 1;
  } else if (chunk == "VP8X") {
    width = int64_t{little_endian(bytes + 24, 3)} + 1;
    height = int64_t{little_endian(bytes + 27, 3)} + 1;
    is_plain = (bytes[20] & (0x02 | 0x08)) == 0;  // animated, or EXIF: what a decoder makes of it differs
  } else {
    return must_decode("unknown kind of WebP");
  }
  if (uint64_t{little_endian(bytes + 4, 4)} + 8 > source.size()) {
    return limited(width, height, "WebP cut short");
  }
  return is_plain ? sized(width, height) : limited(width, height);
}

PictureHeader bmp_header(FileSource& source) {
  const auto head = bytes_at<34>(source, 0);
  if (!head) {
    return refused("BMP cut short in its header");
  }
  const uint8_t* bytes = head->data();
  if (little_endian(bytes + 14, 4) < 40) {
    return must_decode();  // the oldest form, with a 12-byte header
  }
  const auto width = static_cast<int32_t>(little_endian(bytes + 18, 4));
  const auto height = static_cast<int32_t>(little_endian(bytes + 22, 4));
  const int64_t rows = std::llabs(int64_t{height});  // negative: stored from the top
  const uint32_t bits = little_endian(bytes + 28, 2), compression = little_endian(bytes + 30, 4);
  PictureHeader header = sized(width, rows);
  if (header.state != State::sized) {
    return header;
  }
  if (compression != 0) {
    return must_decode();
  }
  const uint64_t row_bytes = (static_cast<uint64_t>(width) * bits + 31) / 32 * 4;
  if (little_endian(bytes + 10, 4) + row_bytes * static_cast<uint64_t>(rows) > source.size()) {
    return refused(cat("BMP cut short: claims ", width, " x ", rows, " pixels, which ", source.size(),
                       " bytes cannot hold"));
  }
  return header;
}

// TIFF is decoded once: strips, orientation and bit depths have too many forms to be sure from the header.
PictureHeader tiff_header(FileSource& source) {
  int64_t width = 0, height = 0;
  visit_tiff_entries(source, 0, [&](uint32_t tag, uint32_t value) {
    width = tag == 256 ? value : width;
    height = tag == 257 ? value : height;
  });
  return width > 0 && height > 0 ? limited(width, height) : must_decode("TIFF without a size");
}

// "PF" or "Pf", then width and height in decimal.
PictureHeader pfm_header(FileSource& source) {
  std::vector<uint8_t> bytes(std::min<uint64_t>(source.size(), 64));
  if (!source.read(0, bytes)) {
    return refused("cannot be read");
  }
  const std::string text(bytes.begin() + 2, bytes.end());
  char* end = nullptr;
  const long long width = std::strtoll(text.c_str(), &end, 10);
  const long long height = std::strtoll(end, nullptr, 10);
  return limited(width, height);
}

}  // namespace

PictureHeader read_picture_header(FileSource& source) {
  if (source.size() == 0) {
    return refused("empty file");
  }
  if (is_at(source, 0, "\xFF\xD8\xFF")) {
    return jpeg_header(source);
  }
  if (is_at(source, 0, "\x89PNG\r\n\x1A\n")) {
    return png_header(source);
  }
  if (is_at(source, 0, "RIFF") && is_at(source, 8, "WEBP")) {
    return webp_header(source);
  }
  if (is_at(source, 0, "BM")) {
    return bmp_header(source);
  }
  if (is_at(source, 0, std::string_view("II*\0", 4)) || is_at(source, 0, std::string_view("MM\0*", 4))) {
    return tiff_header(source);
  }
  if (is_at(source, 0, "PF") || is_at(source, 0, "Pf")) {
    return pfm_header(source);
  }
  if (is_at(source, 0, "GIF8")) {
    return refused("a GIF under another name");
  }
  return refused("not a JPEG, PNG, BMP, TIFF, WebP or PFM picture");
}

}  // namespace yolodist::data
