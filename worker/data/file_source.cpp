// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

// Up to into.size() bytes; fewer at the end of the file or on an error.
size_t read_at(int descriptor, uint64_t offset, std::span<uint8_t> into) {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        ::pread(descriptor, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    done += static_cast<size_t>(got);
  }
  return done;
}

}  // namespace

FileSource::FileSource(const std::filesystem::path& path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    problem_ = errno_text(errno);
    return;
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) {
    problem_ = errno_text(errno);
  } else if (!S_ISREG(status.st_mode)) {
    problem_ = "not a regular file";
  } else {
    size_ = static_cast<uint64_t>(status.st_size);
    modified_ns_ = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  }
}

FileSource::~FileSource() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

bool FileSource::read(uint64_t offset, std::span<uint8_t> into) {
  if (!problem_.empty() || offset > size_ || into.size() > size_ - offset) {
    return false;
  }
  if (into.size() > block_.size()) {
    return read_at(descriptor_, offset, into) == into.size();
  }
  const bool is_in_block = offset >= block_offset_ && offset + into.size() <= block_offset_ + block_bytes_;
  if (!is_in_block) {
    block_offset_ = offset;
    block_bytes_ = read_at(descriptor_, offset, block_);
    if (block_bytes_ < into.size()) {
      return false;
    }
  }
  std::memcpy(into.data(), block_.data() + (offset - block_offset_), into.size());
  return true;
}

}  // namespace yolodist::data
