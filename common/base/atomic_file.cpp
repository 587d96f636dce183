// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist {
namespace {

[[noreturn]] void fail(std::string_view action, const std::filesystem::path& path, int error_number) {
  const char* hint = "";
  if (error_number == ENOSPC || error_number == EDQUOT) {
    hint = "Free some space there, then run again with --resume.";
  } else if (error_number == EFBIG) {
    hint = "Raise the limit on file sizes (ulimit -f), then run again with --resume.";
  }
  throw StorageError(cat("cannot ", action, " ", path.string(), ": ", errno_text(error_number)), hint);
}

void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    fail("open the folder", folder, errno);
  }
  // Some network file systems refuse to sync a folder (EINVAL); the rename is then as durable as they make it.
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
  temporary_ += cat(".tmp-", ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail("create", temporary_, errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
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

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) {
    fail("sync", temporary_, errno);
  }
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail("put in place", path_, error_number);
  }
  sync_folder(path_);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
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
