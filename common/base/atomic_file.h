// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace yolodist {

// A file that appears whole or not at all: written beside `path` under a temporary name of this process, then
// fsync, rename and fsync of the folder. Destroyed without commit(), the temporary is removed and `path` is as it
// was. Throws StorageError naming the file and the reason (disk full, read-only, quota).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

// The whole content in one call.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Reads a whole file. Throws DataError naming it when it cannot be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace yolodist
