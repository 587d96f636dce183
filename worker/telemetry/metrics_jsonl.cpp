// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/metrics_jsonl.h"

#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/telemetry/append.h"

namespace yolodist::telemetry {
namespace {

// Text that is not UTF-8 (a path in a message) must not lose the row.
std::string one_line(const nlohmann::ordered_json& document) {
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_kept(std::string_view line, int64_t first_iteration_dropped) {
  const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
  if (!row.is_object()) {
    return false;
  }
  if (row.value("type", nlohmann::json()) == "event") {
    return true;
  }
  const auto iteration = row.find("iteration");
  return iteration == row.end() || !iteration->is_number_integer() ||
         iteration->get<int64_t>() < first_iteration_dropped;
}

}  // namespace

std::string metrics_line(const IterationRow& row) {
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankState& rank : row.ranks) {
    ranks.push_back({{"rank", rank.rank},
                     {"allocated_bytes", rank.allocated_bytes},
                     {"peak_bytes", rank.peak_bytes},
                     {"reserved_bytes", rank.reserved_bytes},
                     {"ready_ms", rank.ready_ms}});
  }
  nlohmann::ordered_json document;
  document["type"] = "iteration";
  document["attempt"] = row.attempt;
  document["epoch"] = row.epoch;
  document["iteration"] = row.iteration;
  document["step"] = row.step;
  document["imgsz"] = row.imgsz_px;
  document["global_batch"] = row.global_batch;
  document["loss"] =
      nlohmann::ordered_json{{"box", row.box}, {"obj", row.obj}, {"cls", row.cls}, {"total", row.total}};
  document["lr"] = row.lr;
  document["images_per_s"] = row.images_per_s;
  document["ranks"] = std::move(ranks);
  return one_line(document);
}

std::string metrics_line(const EventRow& row) {
  nlohmann::ordered_json document;
  document["type"] = "event";
  document["attempt"] = row.attempt;
  document["iteration"] = row.iteration;
  document["event"] = row.event;
  document["detail"] = row.detail;
  return one_line(document);
}

std::string metrics_line(const SampleRow& row) {
  nlohmann::ordered_json document;
  document["type"] = "sample";
  document["attempt"] = row.attempt;
  document["time_s"] = row.time_s;
  document["rank"] = row.rank;
  document["iteration"] = row.iteration;
  document["allocated_bytes"] = row.allocated_bytes;
  document["peak_bytes"] = row.peak_bytes;
  document["reserved_bytes"] = row.reserved_bytes;
  document["host_bytes"] = row.host_bytes;
  document["phase"] = row.phase;
  if (row.device_used_bytes) {
    document["device_used_bytes"] = *row.device_used_bytes;
  }
  if (row.other_processes_bytes) {
    document["other_processes_bytes"] = *row.other_processes_bytes;
  }
  return one_line(document);
}

MetricsLog::~MetricsLog() {
  try {
    flush();
  } catch (const Error& error) {
    log::warning(error.one_line());
  }
}

void MetricsLog::add_line(const std::string& line) {
  const std::lock_guard lock(pending_mutex_);
  pending_.append(line).append("\n");
}

void MetricsLog::add(const IterationRow& row) {
  add_line(metrics_line(row));
}

void MetricsLog::add(const EventRow& row) {
  add_line(metrics_line(row));
}

void MetricsLog::add(const SampleRow& row) {
  add_line(metrics_line(row));
}

// With write_mutex_ held.
template <typename Append>
void MetricsLog::write(const Append& append_to) {
  std::string rows;
  {
    const std::lock_guard lock(pending_mutex_);
    rows.swap(pending_);
  }
  try {
    append_to(file_, rows);
  } catch (...) {
    const std::lock_guard lock(pending_mutex_);
    pending_.insert(0, rows);
    throw;
  }
}

void MetricsLog::publish() {
  const std::lock_guard writing(write_mutex_);
  write([this](const auto& file, const std::string& rows) {
    if (!rows.empty()) {
      append(file, rows);
      has_unsynced_ = true;
    }
  });
}

void MetricsLog::flush() {
  const std::lock_guard writing(write_mutex_);
  write([this](const auto& file, const std::string& rows) {
    if (!rows.empty() || has_unsynced_) {
      append_durably(file, rows);
      has_unsynced_ = false;
    }
  });
}

void cut_metrics(const std::filesystem::path& file, int64_t first_iteration_dropped) {
  if (!std::filesystem::exists(file)) {
    return;
  }
  const std::string content = read_file(file);
  std::string kept;
  size_t begin = 0;
  for (size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', begin)) {
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    if (is_kept(line, first_iteration_dropped)) {
      kept.append(line).append("\n");
    }
  }
  if (kept != content) {
    write_file_atomically(file, kept);
  }
}

}  // namespace yolodist::telemetry
