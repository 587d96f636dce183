// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/planning.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/plan/bounds.h"
#include "common/plan/budgets.h"
#include "common/plan/cards.h"
#include "common/plan/report.h"
#include "common/plan/summary.h"
#include "worker/data/sampler.h"
#include "worker/memory/meter.h"
#include "worker/optim/parameter_groups.h"

namespace yolodist::train {
namespace {

using nlohmann::json;

plan::Precision plan_precision(const Training& t) {
  switch (t.compute_dtype) {
    case at::kDouble:
      return plan::Precision::fp64;
    case at::kHalf:
      return plan::Precision::fp16;
    case at::kBFloat16:
      return plan::Precision::bf16;
    default:
      return plan::Precision::fp32;
  }
}

json own_device(const Training& t) {
  return {{"kind", t.device.is_cpu() ? "cpu" : "cuda"},
          {"card", t.device_name},
          {"uuid", t.device_uuid},
          {"host", host_name()},
          {"threads", t.threads},
          {"memory_bytes", t.device_bytes}};
}

// What all ranks plan for, in rank order. Collective.
struct Hardware {
  std::vector<plan::Device> devices;
  int threads = 1;  // the most of a rank: all have to come to the same plan
};
Hardware all_hardware(Training& t) {
  const std::vector<std::string> texts =
      comm::all_gather_strings(*t.communicator, own_device(t).dump(), Deadline::after(peer_patience));
  const plan::CardCatalogue catalogue = plan::read_shipped_cards();
  Hardware hardware;
  std::vector<plan::Device>& devices = hardware.devices;
  t.hosts.clear();
  for (const std::string& text : texts) {
    const json document = json::parse(text);
    plan::Device device;
    if (document.at("kind") == "cuda") {
      const std::string name = document.at("card").get<std::string>();
      const int64_t memory = document.at("memory_bytes").get<int64_t>();
      const plan::Card* card = plan::recognise_card(catalogue, name, memory);
      device = card != nullptr ? plan::device_of_card(*card, plan_precision(t))
                               : plan::unlisted_device(catalogue, name, memory);
      device.uuid = document.at("uuid").get<std::string>();
    } else {
      device.card = "cpu";
    }
    hardware.threads = std::max(hardware.threads, document.at("threads").get<int>());
    devices.push_back(device);
    t.hosts.push_back(document.at("host").get<std::string>());
  }
  std::vector<int64_t> asked;
  for (const Bytes budget : parse_bytes_list(t.options.device_memory, "--device-memory")) {
    asked.push_back(budget.count);
  }
  plan::set_budgets(devices, asked, t.options.memory_reserve);
  return hardware;
}

// Of what a mosaic of the densest pictures can hold.
int64_t densest_matches(const Training& t, const model_spec::ModelSpec& spec) {
  constexpr size_t mosaic_pictures = 4;
  std::vector<int64_t> boxes;
  for (const data::Picture& picture : t.train_pictures.pictures) {
    boxes.push_back(static_cast<int64_t>(picture.targets.size()));
  }
  const size_t taken = t.options.augment && t.hyp.mosaic > 0 ? std::min(mosaic_pictures, boxes.size()) : 1;
  std::partial_sort(boxes.begin(), boxes.begin() + static_cast<long>(taken), boxes.end(), std::greater<>());
  int64_t sum = 0;
  for (size_t i = 0; i < taken; ++i) {
    sum += boxes[i];
  }
  const bool doubles = t.hyp.mixup > 0 || t.hyp.copy_paste > 0;
  return plan::most_matches(spec, sum * (doubles ? 2 : 1));
}

int round_up(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

plan::Request request_of(const Training& t, const model_spec::ModelSpec& spec, Hardware hardware) {
  plan::Request request;
  request.spec = &spec;
  plan::Workload& w = request.workload;
  w.precision = plan_precision(t);
  w.imgsz_px = t.imgsz_px;
  w.height_px = w.width_px = plan::largest_training_side(spec, t.imgsz_px, t.options.multi_scale);
  w.optimizer_state_count = t.options.optimizer == "SGD" ? 1 : 2;
  w.world_size = t.world_size;
  w.threads = hardware.threads;
  w.frozen = optim::frozen_layers(t.options.freeze, spec.layers.size());
  w.freezes_bn = t.options.freeze_bn;
  w.validation_height_px = w.validation_width_px = plan::largest_validation_side(spec, t.imgsz_px);
  if (!t.val_batches.shapes.empty()) {
    const auto largest = std::max_element(
        t.val_batches.shapes.begin(), t.val_batches.shapes.end(), [](const auto& a, const auto& b) {
          return int64_t{a.height_px} * a.width_px < int64_t{b.height_px} * b.width_px;
        });
    w.validation_height_px = largest->height_px;
    w.validation_width_px = largest->width_px;
  }
  const bool has_options = t.hyp.fl_gamma > 0 || t.hyp.cls_pw != 1 || t.hyp.obj_pw != 1;
  w.loss_slab_count = has_options ? 12 : 5;
  request.matches_a_picture = densest_matches(t, spec);
  request.global_batch = t.options.global_batch;
  request.bn_group = t.options.bn_group;
  request.accumulate = t.options.accumulate;
  request.validation_batch = t.options.val_batch;
  request.shard = t.options.shard;
  request.recompute = plan::recompute_choice(t.options.recompute);
  request.may_lower_bn_group = t.options.allow_recipe_change;
  request.devices = std::move(hardware.devices);
  return request;
}

[[noreturn]] void refuse(const plan::Plan& plan, const std::string& what) {
  throw OutOfMemory(
      what, cat("The smallest budget that would do is ", to_string(Bytes{plan.smallest_budget_bytes}),
                " a device; yolodist plan shows what each remedy needs. --ignore-plan starts anyway."));
}

// What the start of a run says of its plan: all of it where it does not fit or was asked for, the ranks where
// there are budgets, else a line.
std::string start_text(const plan::Request& request, const plan::Plan& plan, bool verbose) {
  const std::string whole = plan::plan_text(request, plan, verbose);
  if (verbose || !plan.fits) {
    return whole;
  }
  const bool has_budget = std::any_of(plan.ranks.begin(), plan.ranks.end(),
                                      [](const auto& rank) { return rank.device.budget_bytes > 0; });
  if (!has_budget) {
    const plan::Estimate& first = plan.ranks.front().estimate;
    return cat("memory: ", to_string(Bytes{first.device_bytes}), " at the peak, in ", first.peak_at,
               "; no budget; ", plan.summary);
  }
  const size_t ranks_end = whole.find("\n\n");
  const size_t summary_end = ranks_end == std::string::npos ? ranks_end : whole.find("\n\n", ranks_end + 2);
  return whole.substr(0, summary_end);
}

}  // namespace

std::string precision_name(const Training& t) {
  return plan::name_of(plan_precision(t));
}

void settle_batch(Training& t, const model_spec::ModelSpec& spec) {
  if (t.options.global_batch != -1) {
    return;
  }
  const plan::Plan plan = plan::make_plan(request_of(t, spec, all_hardware(t)));
  if (plan.max_global_batch < 1) {
    refuse(plan, "--batch-size -1: not even one picture a rank fits");
  }
  t.options.global_batch = std::min(plan.max_global_batch, t.picture_count());
  if (t.options.bn_group == 0) {
    t.options.bn_group = round_up(t.options.global_batch, t.world_size) / t.world_size;
  }
  if (t.is_leader()) {
    log::info(cat("--batch-size -1: the largest global batch that fits is ", t.options.global_batch,
                  plan.max_global_batch > t.options.global_batch ? " (all pictures)" : ""));
    run::set_options(t.run, {{"batch_size", t.options.global_batch}, {"bn_group", t.options.bn_group}});
  }
}

void make_plan(Training& t, const model_spec::ModelSpec& spec) {
  t.plan_request = request_of(t, spec, all_hardware(t));
  const plan::Plan plan = plan::make_plan(t.plan_request);
  if (t.is_leader()) {
    log::info(start_text(t.plan_request, plan, t.options.verbose));
  }
  if (!plan.fits && !t.options.ignore_plan) {
    const auto worst =
        std::max_element(plan.ranks.begin(), plan.ranks.end(), [](const auto& a, const auto& b) {
          return a.estimate.device_bytes - a.device.budget_bytes <
                 b.estimate.device_bytes - b.device.budget_bytes;
        });
    refuse(plan, cat("the plan needs ", to_string(Bytes{worst->estimate.device_bytes}), " on rank ",
                     worst->rank, ", which has ", to_string(Bytes{worst->device.budget_bytes})));
  }
  // What lies outside of the allocator is not the allocator's to hold.
  const plan::RankPlan& own = plan.ranks.at(static_cast<size_t>(t.rank));
  const int64_t outside = own.estimate.device_bytes - own.estimate.allocator_bytes;
  memory::limit(t.device, own.device.budget_bytes == 0 ? 0 : own.device.budget_bytes - outside);
  take_plan(t, plan);
}

void take_plan(Training& t, const plan::Plan& plan) {
  t.plan = plan;
  const plan::RankPlan& own = plan.ranks.at(static_cast<size_t>(t.rank));
  t.recompute = own.recompute;
  t.validation_pictures = own.validation_pictures;
  // Where the plan's shares are the even ones, the batch is cut as without a plan, smaller last batches
  // included.
  std::vector<std::vector<int>> groups_of_rank;
  for (const plan::RankPlan& rank : plan.ranks) {
    groups_of_rank.push_back(rank.groups);
  }
  const bool is_even = data::assign_groups(plan.group_sizes, t.world_size, {}) == groups_of_rank;
  t.shard = !t.options.shard.empty() ? t.options.shard : is_even ? std::vector<int>() : plan::shard_of(plan);
  if (plan.bn_group != t.options.bn_group) {
    t.options.bn_group = plan.bn_group;
    if (t.is_leader()) {
      run::set_options(t.run, {{"bn_group", plan.bn_group}});  // a resumed run keeps it
    }
  }
}

void record_plan(const Training& t) {
  json document = {{"schema", 1}, {"plans", json::array()}};
  std::error_code ignored;
  if (std::filesystem::exists(t.run.plan_json(), ignored)) {
    document = json::parse(read_file(t.run.plan_json()), nullptr, /*allow_exceptions=*/false);
    if (!document.is_object() || !document.contains("plans")) {
      document = {{"schema", 1}, {"plans", json::array()}};
    }
  }
  document["plans"].push_back({{"attempt", t.attempt},
                               {"since_iteration", t.iteration()},
                               {"plan", plan::plan_json(t.plan_request, t.plan)}});
  write_file_atomically(t.run.plan_json(),
                        document.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

json terms_json(const plan::Terms& terms) {
  return {{"parameters", terms.parameters},
          {"gradients", terms.gradients},
          {"optimizer", terms.optimizer},
          {"ema", terms.ema},
          {"precision copies", terms.precision_copies},
          {"buffers", terms.buffers},
          {"input", terms.input},
          {"activations", terms.activations},
          {"loss", terms.loss},
          {"transient", terms.transient}};
}

}  // namespace yolodist::train
