// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/recovery.h"

#include <c10/core/GradMode.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/memory_report.h"
#include "worker/memory/meter.h"
#include "worker/memory/nvml.h"
#include "worker/train/injected_shortage.h"
#include "worker/train/numbered_report.h"
#include "worker/train/planning.h"

namespace yolodist::train {
namespace {

using nlohmann::json;
using Role = model_spec::StateEntry::Role;

constexpr std::chrono::seconds end_patience{60};
constexpr size_t most_holders = 12;

json holders_of(const Training& t, const memory::Shortage& shortage) {
  json holders = json::array();
  for (const memory::Holder& holder : shortage.holders) {
    if (holders.size() == most_holders) {
      break;
    }
    const bool has_layer =
        holder.layer >= 0 && static_cast<size_t>(holder.layer) < t.model->spec.layers.size();
    holders.push_back({{"kind", memory::name_of(holder.kind)},
                       {"layer", holder.layer},
                       {"name", has_layer ? cat("model.", holder.layer, " ",
                                                t.model->spec.layers[static_cast<size_t>(holder.layer)].block)
                                          : ""},
                       {"bytes", holder.bytes}});
  }
  return holders;
}

json actual_of(const memory::Shortage& shortage) {
  std::map<std::string, int64_t> kinds;
  for (const memory::Holder& holder : shortage.holders) {
    kinds[memory::name_of(holder.kind)] += holder.bytes;
  }
  return kinds;
}

// Of the plan's rungs those that need less than what has just failed.
json remedies_of(const plan::Plan& plan, int64_t failed_bytes) {
  json remedies = json::array();
  for (const plan::Rung& rung : plan.rungs) {
    if (rung.allocator_bytes >= failed_bytes) {
      continue;
    }
    remedies.push_back({{"change", rung.change},
                        {"allocator_bytes", rung.allocator_bytes},
                        {"fits", rung.fits},
                        {"slowdown", rung.slowdown},
                        {"is_exact", rung.is_exact}});
  }
  return remedies;
}

// All that this rank knows of its shortage.
json describe(const Training& t, const memory::Shortage& shortage, const std::vector<std::string>& pictures) {
  const plan::RankPlan& own = t.plan.ranks[static_cast<size_t>(t.rank)];
  json memory;
  memory["phase"] = memory::name_of(shortage.mark.phase);
  memory["epoch"] = t.state.epoch;
  memory["iteration"] = t.iteration();
  memory["layer"] = shortage.mark.layer;
  memory["piece"] = shortage.piece;
  memory["shape"] = shortage.mark.shape;
  memory["dtype"] = precision_name(t);
  memory["requested_bytes"] = shortage.requested_bytes;
  memory["held_bytes"] = shortage.held_bytes;
  memory["budget_bytes"] = shortage.budget_bytes;
  memory["free_bytes"] = std::max<int64_t>(0, shortage.budget_bytes - shortage.held_bytes);
  memory["holders"] = holders_of(t, shortage);
  if (const auto card = memory::CardReader(t.device_uuid).read()) {
    memory["device_used_bytes"] = card->used_bytes;
    memory["device_bytes"] = card->total_bytes;
    memory["reserved_bytes"] = memory::read(t.device).reserved_bytes;
    if (card->others_bytes) {
      memory["other_processes_bytes"] = *card->others_bytes;
    }
  }
  memory["plan"] = terms_json(own.estimate.terms);
  memory["plan_bytes"] = own.estimate.allocator_bytes;
  memory["actual"] = actual_of(shortage);
  memory["pictures"] = pictures;
  for (const memory::Phase phase : {memory::Phase::forward, memory::Phase::loss, memory::Phase::backward}) {
    memory["phase_peaks"][memory::name_of(phase)] = t.phase_peaks.of(phase);  // 0: did not get through
  }
  memory["remedies"] = remedies_of(t.plan, own.estimate.allocator_bytes);
  memory["rank"] = t.rank;
  memory["host"] = t.hosts.at(static_cast<size_t>(t.rank));
  // Held although no iteration runs: what the plan does not know of.
  memory["excess_bytes"] =
      std::max<int64_t>(0, memory::read(t.device).current_bytes - own.estimate.state_bytes);
  return memory;
}

std::vector<std::string> paths_of(const Training& t, const std::vector<GroupBatch>& groups) {
  std::vector<std::string> paths;
  for (const GroupBatch& group : groups) {
    for (const int picture : group.pictures) {
      paths.push_back(t.train_pictures.pictures[static_cast<size_t>(picture)].path);
    }
  }
  return paths;
}

json ranks_of(const Training& t, const std::vector<RankReport>& reports) {
  json ranks = json::array();
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    ranks.push_back({{"rank", rank},
                     {"host", t.hosts.at(rank)},
                     {"current_bytes", reports[rank].current_bytes},
                     {"peak_bytes", reports[rank].peak_bytes},
                     {"budget_bytes", t.plan.ranks[rank].device.budget_bytes},
                     {"ran_out", reports[rank].ran_out}});
  }
  return ranks;
}

// "rank 1 ran out of memory in backward of model.4.m.0.cv2 (asked 12.5 MiB, 3.1 MiB of 400 MiB free)".
std::string headline(const json& memory) {
  const std::string piece = memory.at("piece").get<std::string>();
  return cat("rank ", memory.at("rank").get<int>(), " ran out of memory in ",
             memory.at("phase").get<std::string>(), piece.empty() ? "" : cat(" of ", piece), " (asked ",
             to_string(Bytes{memory.at("requested_bytes").get<int64_t>()}), ", ",
             to_string(Bytes{memory.at("free_bytes").get<int64_t>()}), " of ",
             to_string(Bytes{memory.at("budget_bytes").get<int64_t>()}), " free)");
}

void write_report(const Training& t, const json& memory) {
  write_numbered_report([&t](int number) { return t.run.memory_report(t.attempt, t.rank, number); }, memory);
}

// A plan that asks less of every rank that ran out; nothing when there is none.
std::optional<plan::Plan> plan_after(const Training& t, const std::vector<std::string>& texts) {
  std::optional<plan::Plan> next = t.plan;
  for (size_t rank = 0; rank < texts.size() && next; ++rank) {
    const auto bytes_on_rank = [rank](const plan::Plan& plan) {
      return plan.ranks[rank].estimate.allocator_bytes;
    };
    if (!texts[rank].empty() && bytes_on_rank(*next) >= bytes_on_rank(t.plan)) {
      next = plan::next_plan(t.plan_request, *next,
                             {.rank = static_cast<int>(rank),
                              .excess_bytes = json::parse(texts[rank]).at("excess_bytes").get<int64_t>()});
    }
  }
  return next;
}

std::string smallest_budget_hint(const plan::Plan& plan) {
  return cat("The smallest budget that would do is ", to_string(Bytes{plan.smallest_budget_bytes}),
             " a device; else lower --imgsz, or --bn-group.");
}

}  // namespace

StepSnapshot::StepSnapshot(const Training& t) {
  const memory::KindScope kind(memory::Kind::buffers);
  const auto& entries = t.model->state.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const Role role = entries[i].role;
    if (role == Role::bn_mean || role == Role::bn_var || role == Role::bn_count) {
      statistics_.push_back(i);
      values_.push_back(t.model->state[i].detach().clone());
    }
  }
}

void StepSnapshot::take(const Training& t) {
  const c10::NoGradGuard no_grad;
  state_ = t.state;
  for (size_t k = 0; k < statistics_.size(); ++k) {
    values_[k].copy_(t.model->state[statistics_[k]]);
  }
  gradients_.clear();
  if (t.state.last_step_iteration != t.iteration() - 1 && t.state.batch != 0) {
    const memory::KindScope kind(memory::Kind::host);
    for (const at::Tensor& bucket : t.reducer->buckets()) {
      gradients_.push_back(bucket.to(at::kCPU, bucket.scalar_type(), /*non_blocking=*/false, /*copy=*/true));
    }
  }
}

void StepSnapshot::restore(Training& t) const {
  const c10::NoGradGuard no_grad;
  // The outcome of the step before may have come in meanwhile; it stays.
  const auto skipped = std::pair(t.state.skipped_steps, t.state.skipped_in_a_row);
  t.state = state_;
  std::tie(t.state.skipped_steps, t.state.skipped_in_a_row) = skipped;
  for (size_t k = 0; k < statistics_.size(); ++k) {
    at::Tensor(t.model->state[statistics_[k]]).copy_(values_[k]);
  }
  t.reducer->zero();
  for (size_t i = 0; i < gradients_.size(); ++i) {
    at::Tensor(t.reducer->buckets()[i]).copy_(gradients_[i]);
  }
}

std::string answer_shortage(Training& t, const StepSnapshot& before, const IterationResult& result,
                            const std::vector<GroupBatch>& groups) {
  t.injected->give_back();
  json mine;
  if (result.shortage) {
    mine = describe(t, *result.shortage, paths_of(t, groups));
    mine["ranks"] = ranks_of(t, result.ranks);
    write_report(t, mine);
  }
  before.restore(t);
  const std::vector<std::string> texts = comm::all_gather_strings(
      *t.communicator, mine.is_null() ? "" : mine.dump(), Deadline::after(peer_patience));
  const auto first =
      std::find_if(texts.begin(), texts.end(), [](const std::string& text) { return !text.empty(); });
  check(first != texts.end(), "a rank that ran out says so");
  const json memory = json::parse(*first);
  if (t.is_leader()) {
    for (const std::string& line : run::text_of(memory)) {
      log::info(line);
    }
  }
  const std::optional<plan::Plan> next = plan_after(t, texts);
  if (!next) {
    if (result.shortage) {
      throw MemoryExhausted(headline(mine), cat("Nothing is left to try. ", smallest_budget_hint(t.plan)),
                            mine);
    }
    // The rank that ran out ends the job; until then, nothing is to be done here.
    std::vector<int64_t> never = {0};
    comm::all_reduce_max(*t.communicator, std::span<int64_t>(never), Deadline::after(end_patience));
  }
  take_plan(t, *next);
  if (t.is_leader()) {
    try {
      record_plan(t);
    } catch (const StorageError& error) {
      log::warning(error.what());  // nobody needs it to train
    }
  }
  return cat(headline(memory), "; new plan: ", t.plan.summary, "; replaying from iteration ", t.iteration());
}

int answer_validation_shortage(Training& t, int pictures, std::string& line) {
  t.injected->give_back();
  const std::optional<memory::Shortage> shortage = memory::take_shortage();
  check(shortage.has_value(), "who runs out of memory leaves word of it");
  json memory = describe(t, *shortage, {});
  memory["validation_pictures"] = pictures;
  write_report(t, memory);
  if (pictures <= 1) {
    throw MemoryExhausted(headline(memory),
                          cat("One picture alone does not fit in validation. ", smallest_budget_hint(t.plan)),
                          memory);
  }
  const int fewer = pictures / 2;
  line = cat(headline(memory), "; validating ", fewer, " pictures at a time, with the same results");
  return fewer;
}

}  // namespace yolodist::train
