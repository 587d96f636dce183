// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/append.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::telemetry {
namespace {

constexpr const char* kHint = "Free some space or check the permissions, then resume";

enum class Durability { none, synced };

void append_text(const std::filesystem::path& file, std::string_view text, Durability durability) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    throw StorageError(cat(file.string(), ": cannot open for appending: ", errno_text(errno)), kHint);
  }
  struct stat before = {};
  const bool is_file = ::fstat(descriptor, &before) == 0 && S_ISREG(before.st_mode);
  int error = 0;
  while (!text.empty() && error == 0) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  // Pipes and terminals cannot be synced; nothing is lost there.
  if (durability == Durability::synced && error == 0 && ::fsync(descriptor) != 0 && errno != EINVAL &&
      errno != EROFS) {
    error = errno;
  }
  // Half a line would spoil the next one, and what is not sure to be there comes again.
  if (error != 0 && is_file && ::ftruncate(descriptor, before.st_size) != 0) {
    error = errno;
  }
  if (::close(descriptor) != 0 && error == 0 && errno != EINTR) {
    error = errno;
  }
  if (error != 0) {
    throw StorageError(cat(file.string(), ": cannot append: ", errno_text(error)), kHint);
  }
}

}  // namespace

void append(const std::filesystem::path& file, std::string_view text) {
  append_text(file, text, Durability::none);
}

void append_durably(const std::filesystem::path& file, std::string_view text) {
  append_text(file, text, Durability::synced);
}

}  // namespace yolodist::telemetry
