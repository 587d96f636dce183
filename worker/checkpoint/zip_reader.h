// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace yolodist::checkpoint {

// The CRC-32 of zip files (polynomial 0xEDB88320, reflected). Continues from `crc`, which is 0 at the start.
uint32_t crc32(const void* data, size_t bytes, uint32_t crc = 0);

// One stored (not compressed) record of a zip file.
struct ZipRecord {
  uint64_t offset_bytes = 0;  // of the record's local header
  uint64_t size_bytes = 0;
  uint32_t crc = 0;
};

// Reads zip files whose records are stored uncompressed, which is what PyTorch writes; zip64 included. Trusts
// nothing in the file: every offset and size is held against the file's own size, and all records together
// are not larger than the file. Every failure is a DataError that names the file and says what it is instead.
class ZipReader {
 public:
  explicit ZipReader(std::filesystem::path path);
  ~ZipReader();
  ZipReader(const ZipReader&) = delete;
  ZipReader& operator=(const ZipReader&) = delete;

  const std::filesystem::path& path() const { return path_; }
  uint64_t file_bytes() const { return file_bytes_; }
  const std::map<std::string, ZipRecord, std::less<>>& records() const { return records_; }
  // Compressed or encrypted records, which records() leaves out.
  uint64_t left_out_count() const { return left_out_count_; }
  // nullptr if there is none of that name.
  const ZipRecord* find(std::string_view name) const;

  // Reads the whole record into `to`, which has room for record.size_bytes, and checks it against its CRC. (A
  // CRC of zero means that the writer left it out.)
  void read(const ZipRecord& record, void* to) const;
  std::string read_text(const ZipRecord& record) const;

 private:
  void read_directory();
  void read_entries(const std::string& directory, uint64_t count);
  void read_at(uint64_t offset_bytes, void* to, size_t bytes) const;
  [[noreturn]] void fail(std::string_view what) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t file_bytes_ = 0;
  std::map<std::string, ZipRecord, std::less<>> records_;
  uint64_t left_out_count_ = 0;
};

}  // namespace yolodist::checkpoint
