// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace yolodist::data {

// A file of which a few places are looked at. Only regular files are opened; anything else (a folder, a pipe)
// counts as a problem, so that nothing waits on it.
class FileSource {
 public:
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource();
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // Why the file cannot be read; "" when it can.
  const std::string& problem() const { return problem_; }
  uint64_t size() const { return size_; }
  int64_t modified_ns() const { return modified_ns_; }  // since 1970
  // False when the range is not wholly there.
  bool read(uint64_t offset, std::span<uint8_t> into);

 private:
  int descriptor_ = -1;
  uint64_t size_ = 0;
  int64_t modified_ns_ = 0;
  std::string problem_;
  std::array<uint8_t, 4096> block_{};  // the block read last: headers are read a few bytes at a time
  uint64_t block_offset_ = 0;
  size_t block_bytes_ = 0;
};

}  // namespace yolodist::data
