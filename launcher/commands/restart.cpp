// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/restart.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds agreement_limit{120};

std::optional<fs::file_time_type> time_of(const fs::path& file) {
  std::error_code error;
  const fs::file_time_type time = fs::last_write_time(file, error);
  return error ? std::nullopt : std::optional(time);
}

}  // namespace

bool is_worth_a_restart(int exit_code) {
  return exit_code > 128 || exit_code == to_int(ExitCode::internal) ||
         exit_code == to_int(ExitCode::peer_lost);
}

Restarts::Restarts(int most, const protocol::Start& run)
    : most_(most),
      run_(run),
      checkpoint_time_(time_of(run::RunDirectory{run.run_directory}.weights_last())) {}

bool Restarts::has_new_checkpoint() {
  const auto now = time_of(run::RunDirectory{run_.run_directory}.weights_last());
  const bool is_new = now != std::exchange(checkpoint_time_, now) && now.has_value();
  has_saved_ = has_saved_ || is_new;
  return is_new;
}

std::optional<protocol::Start> Restarts::next(mpi::Session& session, const supervise::Outcome& outcome) {
  if (most_ == 0 || run_.command != "train" || outcome.stop_was_asked ||
      !is_worth_a_restart(outcome.exit_code)) {
    return std::nullopt;
  }
  std::string text;
  if (session.rank() == 0) {
    count_ = has_new_checkpoint() ? 1 : count_ + 1;
    // Not simply what lies there: with --exist-ok that may be another run's, and --resume FILE meant that
    // file.
    const std::string checkpoint =
        has_saved_ ? run::RunDirectory{run_.run_directory}.weights_last().string() : run_.resume_checkpoint;
    text = nlohmann::json{{"count", count_}, {"checkpoint", checkpoint}}.dump();
  }
  const nlohmann::json decision = nlohmann::json::parse(
      mpi::broadcast_text(session, text, 0, Deadline::after(agreement_limit), "agreeing on a restart"));
  count_ = decision.at("count").get<int>();
  if (count_ > most_) {
    used_up_ = true;
    return std::nullopt;
  }
  ++run_.attempt;
  run_.resume_checkpoint = decision.at("checkpoint").get<std::string>();
  if (session.rank() == 0) {
    log::warning(cat(outcome.report ? cat("rank ", outcome.report->rank, " on ", outcome.report->host, ": ",
                                          outcome.report->what, "; ")
                                    : "",
                     "all workers start again ",
                     run_.resume_checkpoint.empty() ? "from the beginning, since there is no checkpoint yet"
                                                    : cat("from ", run_.resume_checkpoint),
                     " (restart ", count_, " of ", most_, " without a new checkpoint)"));
  }
  // Nobody begins the next attempt while another is still in the last one's loop and would drop its messages.
  mpi::barrier(session, Deadline::after(agreement_limit), "starting again together");
  return run_;
}

int Restarts::exit_code(const supervise::Outcome& outcome) const {
  return used_up_ ? to_int(ExitCode::peer_lost) : outcome.exit_code;
}

}  // namespace yolodist::commands
