// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/train_loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/memory/meter.h"
#include "worker/telemetry/console.h"
#include "worker/telemetry/metrics_jsonl.h"
#include "worker/telemetry/results_csv.h"
#include "worker/train/checkpointing.h"
#include "worker/train/early_stopping.h"
#include "worker/train/injected_shortage.h"
#include "worker/train/link_recovery.h"
#include "worker/train/lost_data.h"
#include "worker/train/recovery.h"
#include "worker/train/rows.h"
#include "worker/train/run_pictures.h"
#include "worker/train/sampling.h"
#include "worker/train/saving.h"
#include "worker/train/shard_loader.h"
#include "worker/train/stragglers.h"
#include "worker/train/train_step.h"
#include "worker/train/update.h"
#include "worker/train/validation.h"

namespace yolodist::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What one call of train() keeps beside the Training: clocks, the open files of rank 0, and the way back.
struct Session {
  Training& t;
  const LaunchLink& link;
  std::optional<telemetry::MetricsLog> metrics;    // rank 0
  std::optional<telemetry::ResultsLog> results{};  // rank 0
  std::optional<Sampling> sampling{};              // of this rank's memory; ends before metrics
  std::optional<Checkpointing> checkpoints{};      // likewise
  StepSnapshot before_step;
  WorstRank worst;
  StragglerWatch stragglers{t.world_size, {}, Clock::now()};
  bool is_first_iteration = true;  // of this attempt
  Clock::time_point start = Clock::now();
  double seconds_before = 0;  // trained by earlier attempts
};

// The console gets the first only: some at the start are usual, while the loss scale settles.
void record_skip(Session& s, const std::optional<TakenStep>& step) {
  if (!s.metrics || !step || !step->is_skipped) {
    return;
  }
  const std::string detail = cat(
      "the step of iteration ", step->iteration, " was skipped, since its fp16 gradients were not finite (",
      s.t.state.skipped_steps, " so far); the loss scale is now ", step->loss_scale);
  if (s.t.state.skipped_steps == 1) {
    log::info(detail);
  }
  s.metrics->add(telemetry::EventRow{s.t.attempt, step->iteration, "step_skipped", detail});
}

// Before each save: what the state does not know yet.
void complete_state(Session& s) {
  record_skip(s, take_step_outcome(s.t));
  s.t.state.seconds = s.seconds_before + seconds_since(s.start);
}

// Files that only people look at: training goes on without them.
template <typename Write>
void spare(const Write& write) {
  try {
    write();
  } catch (const StorageError& error) {
    log::warning(error.what());
  }
}

IterationPlan plan_iteration(const Training& t) {
  const EpochCut cut = cut_of_batch(t, t.state.batch);
  IterationPlan plan{.picture_count = cut.picture_count,
                     .group_sizes = cut.group_sizes,
                     .groups_of_rank = cut.groups_of_rank,
                     .settings = t.schedule->at(t.state.epoch, t.state.batch),
                     .shape = shape_of_batch(t, t.state.batch)};
  plan.makes_step = t.iteration() - t.state.last_step_iteration >= plan.settings.accumulate;
  return plan;
}

bool limit_reached(const Training& t) {
  const config::TrainOptions& options = t.options;
  return (options.max_steps > 0 && t.state.step >= options.max_steps) ||
         (options.max_iterations > 0 && t.iteration() >= options.max_iterations);
}

void record_iteration(Session& s, const IterationPlan& plan, const IterationResult& result, double seconds) {
  Training& t = s.t;
  protocol::Progress progress;
  progress.epoch = t.state.epoch;
  progress.iteration = t.iteration();
  progress.step = t.state.step;
  s.link.send_progress(progress);
  if (!s.metrics) {
    return;
  }
  s.metrics->add(row_of_iteration(t, plan, result, seconds));
}

// One epoch as far as this attempt has to do with it.
struct EpochClock {
  Clock::time_point start = Clock::now();
  int first_batch = 0;  // those before were done by an earlier attempt
};

telemetry::Progress console_progress(const Session& s, int64_t instances, const EpochClock& clock) {
  const Training& t = s.t;
  const double n = std::max(t.state.epoch_iterations, 1);
  return {.epoch = t.state.epoch,
          .epochs = t.options.epochs,
          .memory_bytes = t.device.is_cpu() ? s.worst.peak_bytes : memory::read(t.device).reserved_bytes,
          .box = t.state.epoch_sum.box / n,
          .obj = t.state.epoch_sum.objectness / n,
          .cls = t.state.epoch_sum.classes / n,
          .instances = instances,
          .imgsz_px = t.imgsz_px,
          .done = t.state.batch,
          .total = t.batches_an_epoch(),
          .done_before = clock.first_batch,
          .elapsed_s = seconds_since(clock.start),
          .worst_peak_bytes = s.worst.peak_bytes,
          .worst_budget_bytes = s.worst.budget_bytes,
          .worst_rank = t.world_size > 1 ? s.worst.rank : -1};
}

// How an epoch ended.
enum class EpochEnd { complete, limit, stopped, gave_up, data_lost };

std::vector<GroupBatch> next_groups(ShardLoader& loader) {
  const memory::PhaseScope phase(memory::Phase::data);
  return loader.next();
}

// Something that happened, for rank 0's files and console.
void record_event(Session& s, const std::string& event, const std::string& detail) {
  if (s.metrics) {
    log::info(detail);
    s.metrics->add(telemetry::EventRow{s.t.attempt, s.t.iteration(), event, detail});
  }
}

void name_stragglers(Session& s, const std::vector<RankReport>& ranks) {
  std::vector<double> own_ms;
  for (const RankReport& rank : ranks) {
    own_ms.push_back(rank.ready_ms);
  }
  for (const StragglerWatch::Late& late : s.stragglers.add(own_ms, Clock::now())) {
    record_event(s, "straggler", line_of(late, s.t.hosts));
  }
}

// One iteration and its place in the books. Returns the votes of all ranks; nothing when memory ran out or
// devices lost each other: then the run is back where the step began.
std::optional<Votes> iterate(Session& s, ShardLoader& loader, int64_t& instances) {
  Training& t = s.t;
  const auto begin = Clock::now();
  s.sampling->running(t.iteration());
  // An unfinished step ends at an epoch's border, too.
  if (std::exchange(s.is_first_iteration, false) || t.state.batch == 0 ||
      t.state.last_step_iteration == t.iteration() - 1) {
    s.before_step.take(t);
  }
  const IterationPlan plan = plan_iteration(t);
  const std::vector<GroupBatch> groups = next_groups(loader);
  const bool data_lost = !t.decode_failures->lost().empty();
  if (!data_lost) {
    spare([&] { draw_batch(t, groups); });
  }
  const Votes wishes{.stop = !s.link.stop_reason().empty(),
                     .checkpoint = plan.makes_step && s.checkpoints->is_due(),
                     .give_up = s.checkpoints->must_end(),
                     .data_lost = data_lost};
  const IterationResult result = run_iteration(t, plan, groups, wishes);
  if (result.votes.data_lost) {
    return result.votes;
  }
  if (result.lost_link) {
    record_event(s, "devices_reconnected", answer_lost_link(t, s.before_step, result));
  }
  if (result.ran_out) {
    record_event(s, "out_of_memory", answer_shortage(t, s.before_step, result, groups));
  }
  if (result.lost_link || result.ran_out) {
    return std::nullopt;
  }
  s.worst = worst_rank(t, result.ranks);
  name_stragglers(s, result.ranks);
  record_skip(s, result.known_step);
  record_iteration(s, plan, result, seconds_since(begin));
  instances = result.target_count;
  if (std::isfinite(result.losses.total())) {  // not so: a skipped step of fp16
    t.state.epoch_sum.box += result.losses.box;
    t.state.epoch_sum.objectness += result.losses.objectness;
    t.state.epoch_sum.classes += result.losses.classes;
    ++t.state.epoch_iterations;
  }
  if (plan.makes_step) {
    t.state.last_step_iteration = t.iteration();
    ++t.state.step;
  }
  ++t.state.batch;
  return result.votes;
}

EpochEnd run_epoch(Session& s) {
  Training& t = s.t;
  if (t.is_leader()) {
    log::info("");
    log::info(telemetry::epoch_header());
  }
  const EpochClock clock{.start = Clock::now(), .first_batch = t.state.batch};
  auto loader = std::make_unique<ShardLoader>(t);
  int64_t instances = 0;
  EpochEnd end = EpochEnd::complete;
  while (true) {
    if (limit_reached(t)) {
      end = EpochEnd::limit;
      break;
    }
    if (t.state.batch >= t.batches_an_epoch()) {
      break;
    }
    const std::optional<Votes> votes = iterate(s, *loader, instances);
    if (!votes) {
      loader.reset();  // before the next one takes memory
      loader = std::make_unique<ShardLoader>(t);
      continue;
    }
    if (votes->data_lost) {
      end = EpochEnd::data_lost;
      break;
    }
    if (t.is_leader()) {
      log::progress(telemetry::progress_line(console_progress(s, instances, clock)));
    }
    if (votes->stop) {
      end = EpochEnd::stopped;
      break;
    }
    if (votes->give_up) {
      end = EpochEnd::gave_up;
      break;
    }
    if (votes->checkpoint) {
      complete_state(s);
      s.checkpoints->save({});
    }
  }
  if (t.is_leader()) {
    log::info(telemetry::progress_line(console_progress(s, instances, clock)));
  }
  return end;
}

// Ends between two iterations. What the unfinished optimizer step has gathered is saved with it.
void save_unfinished(Session& s) {
  Training& t = s.t;
  const bool step_is_unfinished = t.state.last_step_iteration != t.iteration() - 1;
  if (step_is_unfinished) {
    collect_gradients(t);
  }
  complete_state(s);
  s.checkpoints->save_finally({.with_gradients = step_is_unfinished});
}

constexpr const char* lost_data_hint = "Mount or put back what is missing, then run again with --resume.";

// All ranks end when the pictures of one have gone: what was trained until then is saved, and nothing is
// trained, or judged, on grey pictures instead. Collective.
void require_data(Session& s) {
  const Training& t = s.t;
  const std::string lost = lost_data(t);
  if (lost.empty()) {
    return;
  }
  record_event(s, "data_lost", lost);
  std::string saved =
      cat("the state before iteration ", t.iteration(), " is saved in ", t.run.weights_last().string());
  try {
    save_unfinished(s);
  } catch (const RunTakenOver&) {
    throw;
  } catch (const StorageError& error) {
    saved = error.what();
  }
  throw StorageError(cat(lost, "; ", saved), lost_data_hint);
}

void print_validation(const Training& t, const ValidationReport& report, bool per_class) {
  if (t.is_leader()) {
    for (const std::string& line : eval::table(report.metrics, t.data_set.names, per_class)) {
      log::info(line);
    }
  }
}

// Where memory runs out on this rank, it goes on with fewer pictures a forward.
ValidationReport validate_within_memory(Session& s, const model::Model& model) {
  Training& t = s.t;
  const memory::PhaseScope phase(memory::Phase::validation);
  t.injected->enter(memory::Phase::validation, t.iteration() - 1);
  ValidationJob job = validation_job(t);
  job.on_shortage = [&s, &t](int pictures) {
    std::string line;
    const int fewer = answer_validation_shortage(t, pictures, line);
    if (s.metrics) {
      record_event(s, "out_of_memory", line);
      return fewer;
    }
    protocol::Progress progress;
    progress.epoch = t.state.epoch;
    progress.iteration = t.iteration();
    progress.step = t.state.step;
    progress.text = line;
    s.link.send_progress(progress);
    return fewer;
  };
  const ValidationReport report = validate(job, model);
  t.validation_pictures = job.pictures_a_forward;
  t.injected->give_back();
  return report;
}

void record_epoch(Session& s) {
  if (s.results) {
    s.results->add(row_of_epoch(s.t));
    spare([&] { s.results->flush(); });  // else with the next checkpoint
  }
}

void begin_next_epoch(Training& t) {
  ++t.state.epoch;
  t.state.batch = 0;
  t.state.epoch_sum = {};
  t.state.epoch_iterations = 0;
  // Gradients of an unfinished step are dropped at the epoch's border, on all ranks, as in YOLOv5.
  t.reducer->zero();
}

// Validation, results.csv, checkpoints. Returns whether this was the last epoch.
bool close_epoch(Session& s) {
  Training& t = s.t;
  const int epoch = t.state.epoch;
  const bool may_be_final = epoch + 1 >= t.options.epochs || may_stop_early(t);
  const bool validates = !t.options.no_val || may_be_final;
  if (validates) {
    const ValidationReport report = validate_within_memory(s, t.ema->model());
    require_data(s);
    t.state.last_validation = report.result;
    print_validation(t, report, /*per_class=*/false);
  }
  const double fitness = t.state.last_validation.fitness();
  const bool stop = stops_early(t, fitness);
  const bool is_best = validates && fitness >= t.state.best_fitness;
  t.state.best_fitness = std::max(t.state.best_fitness, fitness);
  record_epoch(s);
  begin_next_epoch(t);
  const bool is_final = stop || t.state.epoch >= t.options.epochs;
  if (!t.options.no_save || may_be_final) {
    SaveRequest request{.is_best = is_best};
    if (t.options.save_period > 0 && epoch % t.options.save_period == 0) {
      request.epoch_number = epoch;
    }
    complete_state(s);
    is_final ? s.checkpoints->save_finally(request) : s.checkpoints->save(request);
  }
  if (stop && t.is_leader()) {
    log::info(cat("Stopping early: no improvement in the last ", t.options.patience,
                  " epochs; the best was epoch ", t.state.stopper_epoch, ", kept as best.pt."));
  }
  return is_final;
}

// As YOLOv5 ends: the best model once more, with its classes.
void validate_best(Session& s) {
  Training& t = s.t;
  const std::filesystem::path file = t.run.weights_best();
  // Rank 0 alone writes; its word that the file is there also orders the others' reading after its writing.
  std::vector<int64_t> written = {t.is_leader() && std::filesystem::exists(file) ? 1 : 0};
  comm::all_reduce_max(*t.communicator, std::span<int64_t>(written),
                       Deadline::after(std::chrono::minutes(10)));
  if (written[0] == 0) {
    return;
  }
  // The average is saved; its memory takes the best one, so that the end needs no more than the training did.
  model::Model& best = t.ema->model();
  transfer(best, checkpoint::read_checkpoint(file), /*skip_anchors=*/false);
  if (t.is_leader()) {
    log::info(cat("\nValidating ", file.string(), "..."));
  }
  const ValidationReport report = validate_within_memory(s, best);
  if (const std::string lost = lost_data(t); !lost.empty()) {
    throw StorageError(cat(lost, "; the training is complete and saved, only its last validation is missing"),
                       lost_data_hint);
  }
  print_validation(t, report, /*per_class=*/true);
  spare([&] { draw_end(t, best, report); });
}

// For those who look on: nothing follows in this attempt.
void record_end(Session& s, const std::string& detail) {
  if (s.metrics) {
    s.metrics->add(telemetry::EventRow{s.t.attempt, s.t.iteration(), "end", detail});
  }
}

void announce_end(const Session& s, ExitCode code) {
  const Training& t = s.t;
  if (!t.is_leader()) {
    return;
  }
  if (code == ExitCode::state_saved) {
    log::info(cat("Stopped on request after iteration ", t.iteration(), ", step ", t.state.step, "."));
  }
  log::info(cat("Results saved to ", t.run.root.string()));
  if (code == ExitCode::ok && std::filesystem::exists(t.run.weights_best())) {
    log::info(cat("For YOLOv5's own detect.py, val.py and export.py: python3 ",
                  (config::share_folder() / "tools/to_yolov5.py").string(), " ",
                  t.run.weights_best().string()));
  }
}

}  // namespace

ExitCode train(Training& t, const LaunchLink& link) {
  Session s{.t = t,
            .link = link,
            .metrics = std::nullopt,
            .before_step = StepSnapshot(t),
            .worst = {},
            .seconds_before = t.state.seconds};
  if (t.is_leader()) {
    s.metrics.emplace(t.run.metrics_jsonl());
    s.results.emplace(t.run.results_csv());
    s.metrics->add(telemetry::EventRow{t.attempt, t.iteration(), "start", ""});
    spare([&] { draw_start(t); });
    log::info(telemetry::start_lines(t.imgsz_px, loader_threads(t) * t.world_size, t.run.root.string(),
                                     t.options.epochs));
  }
  s.sampling.emplace(t, link, s.metrics ? &*s.metrics : nullptr);
  s.checkpoints.emplace(t, s.metrics ? &*s.metrics : nullptr, s.results ? &*s.results : nullptr);
  while (t.state.epoch < t.options.epochs) {
    const EpochEnd end = run_epoch(s);
    if (end == EpochEnd::data_lost) {
      require_data(s);
    }
    if (end == EpochEnd::gave_up) {
      s.checkpoints->end_for_storage();
    }
    if (end != EpochEnd::complete) {
      save_unfinished(s);
      const ExitCode code = end == EpochEnd::stopped ? ExitCode::state_saved : ExitCode::ok;
      record_end(s, end == EpochEnd::stopped ? "stopped on request" : "limit of steps or iterations reached");
      announce_end(s, code);
      return code;
    }
    if (close_epoch(s)) {
      break;
    }
  }
  if (t.is_leader()) {
    log::info(telemetry::end_line(t.options.epochs, s.seconds_before + seconds_since(s.start)));
  }
  validate_best(s);
  record_end(s, "complete");
  announce_end(s, ExitCode::ok);
  return ExitCode::ok;
}

}  // namespace yolodist::train
