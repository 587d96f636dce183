// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/failure_report.h"

#include <algorithm>
#include <tuple>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"

namespace yolodist::run {
namespace {

// 0 explains most.
int specificity_rank(const FailureReport& report) {
  switch (static_cast<ExitCode>(report.exit_code)) {
    case ExitCode::internal:
      return 1;
    case ExitCode::peer_lost:
      return 2;
    case ExitCode::ok:
    case ExitCode::state_saved:
      return 3;
    default:
      return 0;
  }
}

}  // namespace

nlohmann::ordered_json to_json(const FailureReport& report) {
  nlohmann::ordered_json document = {
      {"schema", 1},         {"attempt", report.attempt},     {"rank", report.rank},
      {"host", report.host}, {"exit_code", report.exit_code}, {"phase", report.phase},
      {"what", report.what}, {"hint", report.hint},           {"time_ns", report.time_ns}};
  if (!report.memory.is_null()) {
    document["memory"] = report.memory;
  }
  if (!report.collectives.is_null()) {
    document["collectives"] = report.collectives;
  }
  return document;
}

FailureReport failure_report_from_json(const nlohmann::json& document, const std::string& where) {
  FailureReport report;
  try {
    document.at("attempt").get_to(report.attempt);
    document.at("rank").get_to(report.rank);
    document.at("host").get_to(report.host);
    document.at("exit_code").get_to(report.exit_code);
    document.at("phase").get_to(report.phase);
    document.at("what").get_to(report.what);
    document.at("hint").get_to(report.hint);
    document.at("time_ns").get_to(report.time_ns);
    report.memory = document.value("memory", nlohmann::json());
    report.collectives = document.value("collectives", nlohmann::json());
  } catch (const nlohmann::json::exception& failure) {
    throw DataError(cat(where, ": not a failure report: ", failure.what()));
  }
  return report;
}

void write_failure_report(const std::filesystem::path& file, const FailureReport& report) {
  if (file.has_parent_path()) {
    std::error_code failure;
    std::filesystem::create_directories(file.parent_path(), failure);
    if (failure) {
      throw StorageError(
          cat("cannot make the folder ", file.parent_path().string(), ": ", failure.message()));
    }
  }
  // What a signal or a library said may not be UTF-8; the report is written all the same.
  write_file_atomically(file,
                        to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

FailureReport read_failure_report(const std::filesystem::path& file) {
  const nlohmann::json document = nlohmann::json::parse(read_file(file), nullptr, false);
  if (document.is_discarded()) {
    throw DataError(cat(file.string(), ": not a failure report: it is not JSON"));
  }
  return failure_report_from_json(document, file.string());
}

const FailureReport* earliest_most_specific(const std::vector<FailureReport>& reports) {
  const auto order = [](const FailureReport& r) {
    return std::tuple(specificity_rank(r), r.time_ns, r.rank);
  };
  const auto best = std::min_element(reports.begin(), reports.end(),
                                     [&](const auto& a, const auto& b) { return order(a) < order(b); });
  return best == reports.end() ? nullptr : &*best;
}

}  // namespace yolodist::run
