// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpointing.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <thread>
#include <utility>

#include "common/base/deadline.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/checkpoint/kept_checkpoints.h"
#include "worker/memory/budget.h"
#include "worker/train/saving.h"

namespace yolodist::train {
namespace {

namespace fs = std::filesystem;

// Without --checkpoint-every: each epoch and each 10 minutes.
constexpr std::chrono::minutes default_interval{10};
// A final checkpoint that cannot be written is tried again for so long.
constexpr std::chrono::seconds final_patience{5}, final_pause{1};

constexpr const char* storage_hint = "See to the storage, then run again with --resume.";

std::optional<std::chrono::seconds> age_of(const fs::path& file) {
  std::error_code failure;
  const fs::file_time_type time = fs::last_write_time(file, failure);
  if (failure) {
    return std::nullopt;
  }
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(fs::file_time_type::clock::now() - time);
  return std::max(age, std::chrono::seconds(0));
}

std::string age_text(std::chrono::seconds age) {
  return age < std::chrono::minutes(2) ? cat(age.count(), " s") : to_string(age);
}

}  // namespace

Checkpointing::Checkpointing(Training& training, telemetry::MetricsLog* metrics,
                             telemetry::ResultsLog* results)
    : training_(training),
      metrics_(metrics),
      results_(results),
      begun_step_(training.state.step),
      begun_iteration_(training.iteration()) {
  if (!training.is_leader()) {
    return;
  }
  const fs::path last = training.run.weights_last();
  const std::vector<fs::path> kept = run::kept_checkpoints(last);
  const bool is_fresh = training.iteration() == 0;  // what lies here is of a run that --exist-ok replaces
  if (is_fresh) {
    is_first_ = true;
    for (size_t i = 1; i < kept.size(); ++i) {
      std::error_code ignored;
      fs::remove(kept[i], ignored);
    }
  } else if (const auto age = age_of(last)) {
    written_ = Clock::now() - *age;
    written_iteration_ = training.iteration();
  }
  writer_ = std::make_unique<checkpoint::BackgroundWriter>(
      last, [this] { before_rename(); },
      [&training] { require_ownership(training.run, training.run_token); });
}

Checkpointing::~Checkpointing() {
  const memory::PhaseScope phase(memory::Phase::checkpoint);  // a slow disk is no stuck worker
  writer_.reset();
}

// On the writer's thread.
void Checkpointing::before_rename() {
  require_ownership(training_.run, training_.run_token);  // rows are the run's, too
  // Rows first: those after the checkpoint are cut off on resume, those before it would be missing for good.
  if (results_ != nullptr) {
    results_->flush();
  }
  if (metrics_ != nullptr) {
    metrics_->flush();
  }
  require_ownership(training_.run, training_.run_token);
  if (is_first_.exchange(false)) {
    std::error_code ignored;
    fs::remove(training_.run.weights_last(), ignored);
  }
}

bool Checkpointing::is_due() const {
  const config::TrainOptions& options = training_.options;
  if (!writer_ || options.no_save || writer_->is_busy()) {
    return false;
  }
  if (const int every = options.checkpoint_every_steps; every > 0) {
    // Not the remainder: a step that was passed over while one was being written is made up for.
    return (training_.state.step + 1) / every > begun_step_ / every;
  }
  const std::chrono::duration<double, std::ratio<60>> interval =
      options.checkpoint_every_minutes > 0
          ? std::chrono::duration<double, std::ratio<60>>(options.checkpoint_every_minutes)
          : default_interval;
  return Clock::now() - begun_ > interval;
}

bool Checkpointing::must_end() {
  if (writer_) {
    if (const auto outcome = writer_->take_outcome()) {
      take(*outcome);
    }
  }
  return ending_.has_value();
}

Checkpointing::Files Checkpointing::files_of(const SaveRequest& request,
                                             std::shared_ptr<const checkpoint::Checkpoint> state) {
  begun_ = Clock::now();
  begun_step_ = training_.state.step;
  begun_iteration_ = training_.iteration();
  if (request.is_best) {
    best_ = state;
  }
  Files files;
  if (best_) {
    files.push_back({training_.run.weights_best(), best_, /*is_needed_by_next=*/true});
  }
  if (request.epoch_number) {
    files.push_back({training_.run.weights_epoch(*request.epoch_number), state});
  }
  files.push_back({training_.run.weights_last(), std::move(state)});
  return files;
}

void Checkpointing::save(const SaveRequest& request) {
  if (!writer_) {
    return;
  }
  const memory::PhaseScope phase(memory::Phase::checkpoint);
  if (const auto outcome = writer_->wait_for_outcome()) {
    take(*outcome);
  }
  if (ending_) {
    return;
  }
  std::shared_ptr<const checkpoint::Checkpoint> state;
  try {
    state = std::make_shared<checkpoint::Checkpoint>(
        state_of(training_, request.with_gradients, Tensors::copies));
  } catch (const c10::OutOfMemoryError&) {
    memory::take_shortage();
    log::warning("the host has no memory for a copy of the state: training waits for its checkpoint");
    state =
        std::make_shared<checkpoint::Checkpoint>(state_of(training_, request.with_gradients, Tensors::views));
    writer_->start(files_of(request, std::move(state)));
    take(*writer_->wait_for_outcome());
    best_.reset();  // what is not written yet changes with the next step
    return;
  }
  writer_->start(files_of(request, std::move(state)));
}

void Checkpointing::write_now(const Files& files) {
  writer_->start(files);
  take(*writer_->wait_for_outcome());
}

void Checkpointing::save_finally(const SaveRequest& request) {
  if (writer_) {
    const memory::PhaseScope phase(memory::Phase::checkpoint);
    if (const auto outcome = writer_->wait_for_outcome()) {
      take(*outcome);
    }
    if (!ending_ || !ending_->is_taken_over) {
      ending_.reset();
      // Nothing moves meanwhile, so no copy is needed.
      const Files files = files_of(request, std::make_shared<checkpoint::Checkpoint>(
                                                state_of(training_, request.with_gradients, Tensors::views)));
      const Deadline deadline = Deadline::after(final_patience);
      write_now(files);
      while (!problem_.empty() && !(ending_ && ending_->is_taken_over) && !deadline.has_passed()) {
        std::this_thread::sleep_for(final_pause);
        write_now(files);
      }
      if (problem_.empty()) {
        ending_.reset();
      } else if (!ending_ || !ending_->is_taken_over) {
        ending_ =
            Ending{cat("the last checkpoint of the run cannot be written: ", problem_, "; ", last_good()),
                   storage_hint};
      }
    }
  }
  agree();
}

void Checkpointing::end_for_storage() {
  agree();
  throw InternalError("no rank says why the run has to end for its storage");
}

// Rank 0's word to all.
void Checkpointing::agree() {
  std::string mine;
  if (ending_) {
    mine = cat(ending_->is_taken_over ? "taken" : "failed", "\n", ending_->message, "\n", ending_->hint);
  }
  const std::vector<std::string> all =
      comm::all_gather_strings(*training_.communicator, mine, Deadline::after(peer_patience));
  if (all[0].empty()) {
    return;
  }
  const std::vector<std::string> parts = split(all[0], '\n');
  if (parts[0] == "taken") {
    throw RunTakenOver(parts[1], parts[2]);
  }
  throw StorageError(parts[1], parts[2]);
}

std::string Checkpointing::last_good() const {
  if (!written_) {
    return "there is no good checkpoint yet";
  }
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - *written_);
  return cat("the last good checkpoint is ", training_.run.weights_last().string(), " of iteration ",
             written_iteration_, ", ", age_text(age), " old");
}

void Checkpointing::warn(const std::string& line) {
  log::warning(line);
  if (metrics_ != nullptr) {
    metrics_->add(telemetry::EventRow{training_.attempt, training_.iteration(), "checkpoint_failed", line});
  }
}

void Checkpointing::take(const checkpoint::WriteOutcome& outcome) {
  for (const fs::path& file : outcome.given_up) {
    log::warning(cat("checkpoint: removed the earlier ", file.string(), " to make room for a new one"));
  }
  const auto is_written = [&outcome](const fs::path& file) {
    return std::find(outcome.written.begin(), outcome.written.end(), file) != outcome.written.end();
  };
  if (is_written(training_.run.weights_best())) {
    best_.reset();
  }
  const bool has_last = is_written(training_.run.weights_last());
  if (has_last) {
    problem_.clear();
    failures_ = 0;
    written_ = Clock::now();
    written_iteration_ = begun_iteration_;
  }
  if (!outcome.error) {
    return;
  }
  try {
    std::rethrow_exception(outcome.error);
  } catch (const RunTakenOver& error) {
    problem_ = error.what();
    ending_ = Ending{error.what(), error.hint(), /*is_taken_over=*/true};
  } catch (const StorageError& error) {
    if (has_last) {
      warn(cat("checkpoint: ", outcome.failed.filename().string(), " is left out: ", error.what()));
      return;
    }
    problem_ = error.what();
    ++failures_;
    const int most = training_.options.max_checkpoint_failures;
    warn(cat("checkpoint: ", problem_, " (failure ", failures_, " of at most ", most, " in a row); ",
             last_good()));
    if (failures_ >= most) {
      ending_ = Ending{cat(failures_, failures_ == 1 ? " checkpoint" : " checkpoints in a row",
                           " could not be written: ", problem_, "; ", last_good()),
                       storage_hint};
    }
  }
}

}  // namespace yolodist::train
