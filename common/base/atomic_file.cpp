// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/atomic_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist {
namespace {

constexpr std::string_view temporary_mark = ".tmp-";
constexpr const char* room_hint = "Free some space there, then run again with --resume.";

[[noreturn]] void fail(std::string_view action, const std::filesystem::path& path, int error_number) {
  const std::string what = cat("cannot ", action, " ", path.string(), ": ", errno_text(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT) {
    throw NoRoom(what, room_hint);
  }
  throw StorageError(what, error_number == EFBIG
                               ? "Raise the limit on file sizes (ulimit -f), then run again with --resume."
                               : "");
}

bool is_temporary(const std::string& name) {
  const size_t mark = name.rfind(temporary_mark);
  if (mark == std::string::npos || mark == 0) {
    return false;
  }
  const std::string_view pid = std::string_view(name).substr(mark + temporary_mark.size());
  return !pid.empty() && std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder =
      file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    fail("open the folder", folder, errno);
  }
  // Some network file systems refuse to sync a folder (EINVAL); the rename is then as durable as they make
  // it.
  const int result = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  if (result != 0 && error_number != EINVAL && error_number != ENOTSUP) {
    fail("sync the folder", folder, error_number);
  }
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += cat(temporary_mark, ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail("create", temporary_, errno);
  }
  is_there_ = true;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  if (is_there_) {
    ::unlink(temporary_.c_str());
  }
}

void AtomicFile::require_room(int64_t bytes) const {
  struct statvfs room {};
  // Some file systems know nothing of their size and say zero.
  if (::fstatvfs(descriptor_, &room) != 0 || room.f_blocks == 0) {
    return;
  }
  const auto blocks = static_cast<double>(::geteuid() == 0 ? room.f_bfree : room.f_bavail);
  const double free_bytes = blocks * static_cast<double>(room.f_frsize);
  if (free_bytes < static_cast<double>(bytes)) {
    throw NoRoom(
        cat("cannot write ", path_.string(), ": ", errno_text(ENOSPC), " (it takes ", to_string(Bytes{bytes}),
            ", ", to_string(Bytes{static_cast<int64_t>(free_bytes)}), " are free)"),
        room_hint);
  }
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      fail("write", temporary_, errno);
    }
    from += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::sync_and_close() {
  if (::fsync(descriptor_) != 0) {
    fail("sync", temporary_, errno);
  }
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) {
    fail("close", temporary_, errno);
  }
}

void AtomicFile::commit(const std::function<void()>& before_rename) {
  sync_and_close();
  if (before_rename) {
    before_rename();
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("put in place", path_, errno);
  }
  is_there_ = false;
  sync_folder(path_);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

int remove_temporaries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> left;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (is_temporary(entry.path().filename().string()) && entry.is_regular_file(ignored)) {
      left.push_back(entry.path());
    }
  }
  for (const std::filesystem::path& file : left) {
    std::filesystem::remove(file, ignored);
  }
  return static_cast<int>(left.size());
}

std::string read_file(const std::filesystem::path& path) {
  const auto refuse = [&](int error_number) {
    throw DataError(cat("cannot read ", path.string(), ": ", errno_text(error_number)));
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    refuse(errno);
  }
  std::string content;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got > 0) {
      content.append(buffer.data(), static_cast<size_t>(got));
    } else if (got == 0) {
      ::close(descriptor);
      return content;
    } else if (errno != EINTR) {
      const int error_number = errno;
      ::close(descriptor);
      refuse(error_number);
    }
  }
}

}  // namespace yolodist
