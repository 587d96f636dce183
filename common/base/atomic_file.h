// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/error.h"

namespace yolodist {

// The file system has no room left for this: full, or its quota is used up.
class NoRoom : public StorageError {
 public:
  using StorageError::StorageError;
};

// A file that appears whole or not at all: written beside `path` under a temporary name of this process, then
// fsync, rename and fsync of the folder. Destroyed without commit(), the temporary is removed and `path` is
// as it was. Throws StorageError naming the file and the reason (read-only, file size limit), NoRoom when it
// is that.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Throws NoRoom when so many bytes do not fit, as far as the file system says, so that nothing is begun in
  // vain.
  void require_room(int64_t bytes) const;
  // `before_rename` is called when all is written and synced, immediately before the file takes its place;
  // what it throws is thrown on, and `path` stays as it was.
  void commit(const std::function<void()>& before_rename = nullptr);

 private:
  void sync_and_close();
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool is_there_ = false;  // the temporary
};

// The whole content in one call.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Removes what killed processes left of AtomicFile in this folder: NAME.tmp-PID. What cannot be removed
// stays. Returns how many there were.
int remove_temporaries(const std::filesystem::path& folder);

// Reads a whole file. Throws DataError naming it when it cannot be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace yolodist
