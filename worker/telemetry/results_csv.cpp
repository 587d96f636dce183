// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/results_csv.h"

#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "common/base/atomic_file.h"
#include "common/base/text.h"
#include "worker/telemetry/append.h"

namespace yolodist::telemetry {
namespace {

constexpr const char* kColumns[] = {"epoch",
                                    "train/box_loss",
                                    "train/obj_loss",
                                    "train/cls_loss",
                                    "metrics/precision",
                                    "metrics/recall",
                                    "metrics/mAP_0.5",
                                    "metrics/mAP_0.5:0.95",
                                    "val/box_loss",
                                    "val/obj_loss",
                                    "val/cls_loss",
                                    "x/lr0",
                                    "x/lr1",
                                    "x/lr2"};

std::string cell(double value) {
  // A NaN's sign bit would be printed as "-nan", which readers of the file do not know.
  return std::isnan(value) ? printf_string("%20s", "nan") : printf_string("%20.5g", value);
}

size_t comma_count(std::string_view line) {
  size_t count = 0;
  for (const char c : line) {
    count += c == ',' ? 1 : 0;
  }
  return count;
}

}  // namespace

std::string results_header() {
  std::string line;
  for (const char* column : kColumns) {
    line.append(line.empty() ? "" : ",").append(printf_string("%20s", column));
  }
  return line;
}

std::string results_row(const EpochResult& result) {
  std::string line = cell(result.epoch);
  for (const double value : {result.train_box, result.train_obj, result.train_cls, result.precision,
                             result.recall, result.map50, result.map, result.val_box, result.val_obj,
                             result.val_cls, result.lr[0], result.lr[1], result.lr[2]}) {
    line.append(",").append(cell(value));
  }
  return line;
}

void append_result(const std::filesystem::path& file, const EpochResult& result) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  const std::string header = error || size == 0 ? results_header() + "\n" : "";
  append_durably(file, header + results_row(result) + "\n");
}

void ResultsLog::add(const EpochResult& result) {
  const std::lock_guard lock(mutex_);
  pending_.push_back(result);
}

void ResultsLog::flush() {
  const std::lock_guard lock(mutex_);
  while (!pending_.empty()) {
    append_result(file_, pending_.front());
    pending_.erase(pending_.begin());
  }
}

void cut_results(const std::filesystem::path& file, int first_epoch_dropped) {
  if (!std::filesystem::exists(file)) {
    return;
  }
  const std::string content = read_file(file);
  std::string kept;
  size_t begin = 0;
  for (size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', begin)) {
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    if (kept.empty()) {
      kept = std::string(line) + "\n";  // the header
      continue;
    }
    const double epoch = std::strtod(std::string(line.substr(0, line.find(','))).c_str(), nullptr);
    if (comma_count(line) == std::size(kColumns) - 1 && epoch < first_epoch_dropped) {
      kept.append(line).append("\n");
    }
  }
  if (kept != content) {
    write_file_atomically(file, kept);
  }
}

}  // namespace yolodist::telemetry
