// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/decode_failures.h"

#include "common/base/text.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

// Where the picture lies, or should: of a link, where it leads to.
fs::path folder_of(const fs::path& picture) {
  std::error_code failure;
  const fs::path target = fs::read_symlink(picture, failure);
  const fs::path file = failure ? picture : picture.parent_path() / target;
  return file.parent_path();
}

// "" when the folder is there and has something in it.
std::string trouble_of(const fs::path& folder) {
  std::error_code failure;
  const fs::directory_iterator first(folder, failure);
  // Pictures can be read in a folder that may not be listed.
  if (failure == std::errc::permission_denied) {
    return "";
  }
  if (failure) {
    return cat("cannot be opened (", failure.message(), ")");
  }
  return first == fs::directory_iterator() ? "is empty" : "";
}

}  // namespace

void DecodeFailures::report(const Picture& picture, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!lost_.empty()) {
    return;
  }
  const fs::path folder = folder_of(picture.path);
  if (const std::string trouble = trouble_of(folder); !trouble.empty()) {
    lost_ = cat("the pictures' folder ", folder.string(), " ", trouble);
    return;
  }
  if (named_.insert(picture.path).second && callback_) {
    callback_(picture, reason);
  }
  std::set<fs::path>& row = in_a_row_[folder];
  row.insert(picture.path);
  has_rows_ = true;
  if (row.size() >= failures_in_a_row) {
    lost_ = cat("of the pictures' folder ", folder.string(), " nothing can be read any more (", row.size(),
                " pictures in a row, the last: ", reason, ")");
  }
}

void DecodeFailures::read_well(const Picture& picture) {
  if (!has_rows_.load(std::memory_order_relaxed)) {
    return;
  }
  const std::lock_guard lock(mutex_);
  in_a_row_.erase(folder_of(picture.path));
  has_rows_ = !in_a_row_.empty();
}

int DecodeFailures::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(named_.size());
}

std::string DecodeFailures::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace yolodist::data
