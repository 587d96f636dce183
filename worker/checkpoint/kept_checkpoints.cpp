// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/kept_checkpoints.h"

#include <unistd.h>

#include <cerrno>
#include <optional>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"

namespace yolodist::checkpoint {
namespace {

namespace fs = std::filesystem;

void move(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    throw StorageError(
        cat("cannot rename ", from.string(), " to ", to.filename().string(), ": ", errno_text(errno)));
  }
}

bool has_no_links(int error_number) {
  return error_number == EPERM || error_number == EOPNOTSUPP || error_number == ENOSYS ||
         error_number == EMLINK || error_number == EXDEV || error_number == EINVAL;
}

[[noreturn]] void fail(const std::vector<fs::path>& files, int error_number) {
  const std::string what = cat("cannot keep ", files[0].string(), " as ", files[1].filename().string(), ": ",
                               errno_text(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT) {
    throw NoRoom(what);
  }
  throw StorageError(what);
}

// The oldest kept one beside `last` whose bytes are its own.
std::optional<fs::path> oldest_that_frees(const fs::path& last) {
  std::error_code ignored;
  const std::vector<fs::path> files = run::kept_checkpoints(last);
  for (size_t i = files.size(); i-- > 1;) {
    if (fs::exists(files[i], ignored) && fs::hard_link_count(files[i], ignored) == 1) {
      return files[i];
    }
  }
  return std::nullopt;
}

}  // namespace

void keep_earlier(const fs::path& last) {
  const std::vector<fs::path> files = run::kept_checkpoints(last);
  std::error_code ignored;
  if (!fs::exists(last, ignored)) {
    return;
  }
  // After a kill between the link and the rename of the new one, the first is kept already.
  if (fs::equivalent(files[0], files[1], ignored)) {
    return;
  }
  for (size_t i = files.size() - 1; i > 1; --i) {
    move(files[i - 1], files[i]);
  }
  if (::link(files[0].c_str(), files[1].c_str()) == 0) {
    return;
  }
  if (!has_no_links(errno)) {
    fail(files, errno);
  }
  fs::path copy = files[1];
  copy += cat(".tmp-", ::getpid());
  std::error_code failure;
  fs::copy_file(files[0], copy, fs::copy_options::overwrite_existing, failure);
  if (failure) {
    fs::remove(copy, ignored);
    if (failure == std::errc::no_space_on_device) {
      return;  // an earlier one is a comfort, the new one is what counts
    }
    fail(files, failure.value());
  }
  move(copy, files[1]);
}

void write_making_room(const fs::path& file, const fs::path& last, const Checkpoint& checkpoint,
                       const std::function<void()>& before_rename, std::vector<fs::path>& given_up,
                       const std::function<void()>& require_ours) {
  const auto prepare = [&] {
    before_rename();
    if (file == last) {
      keep_earlier(last);
      before_rename();  // a copy may have taken long
    }
  };
  while (true) {
    try {
      write_checkpoint(file, checkpoint, prepare);
      return;
    } catch (const NoRoom&) {
      require_ours();
      const std::optional<fs::path> oldest = oldest_that_frees(last);
      std::error_code failure;
      if (!oldest || !fs::remove(*oldest, failure)) {
        throw;
      }
      given_up.push_back(*oldest);
    }
  }
}

fs::path make_last(const fs::path& file, const fs::path& last) {
  if (file == last) {
    return last;
  }
  std::error_code failure, ignored;
  fs::rename(file, last, failure);
  if (failure) {
    return file;
  }
  for (const fs::path& newer : run::kept_checkpoints(last)) {
    if (newer == file) {
      break;
    }
    if (newer != last) {
      fs::remove(newer, ignored);
    }
  }
  return last;
}

Readable read_newest(const fs::path& last) {
  std::vector<std::string> problems;
  for (const fs::path& file : run::kept_checkpoints(last)) {
    std::error_code ignored;
    if (file != last && !fs::exists(file, ignored)) {
      continue;
    }
    try {
      Checkpoint checkpoint = read_checkpoint(file);
      return {file, std::move(checkpoint), std::move(problems)};
    } catch (const DataError& error) {
      problems.push_back(error.one_line());
    }
  }
  throw DataError(cat("no checkpoint of the run can be read: ", join(problems, "; ")),
                  "Copy one of them from elsewhere, or start a new run.");
}

}  // namespace yolodist::checkpoint
