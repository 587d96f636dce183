// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "common/plan/layer_shape.h"
#include "common/plan/report.h"
#include "common/plan/summary.h"

namespace yolodist::plan {
namespace {

using nlohmann::ordered_json;

constexpr int schema = 1;

ordered_json terms_json(const Terms& t) {
  return {{"parameters", t.parameters},
          {"gradients", t.gradients},
          {"optimizer", t.optimizer},
          {"ema", t.ema},
          {"precision_copies", t.precision_copies},
          {"buffers", t.buffers},
          {"input", t.input},
          {"activations", t.activations},
          {"loss", t.loss},
          {"transient", t.transient},
          {"context", t.context},
          {"nccl", t.nccl},
          {"workspace", t.workspace},
          {"fragmentation", t.fragmentation}};
}

ordered_json rank_json(const Request& request, const Plan& plan, const RankPlan& rank) {
  ordered_json groups = ordered_json::array();
  for (const int group : rank.groups) {
    groups.push_back(plan.group_sizes[static_cast<size_t>(group)]);
  }
  ordered_json activations = ordered_json::array(), blocks = ordered_json::array();
  for (size_t layer = 0; layer < rank.recompute.size(); ++layer) {
    if (rank.recompute[layer] != Recompute::none) {
      (rank.recompute[layer] == Recompute::block ? blocks : activations).push_back(layer);
    }
  }
  const int64_t budget = rank.device.budget_bytes;
  return {
      {"rank", rank.rank},
      {"card", rank.device.card},
      {"uuid", rank.device.uuid},
      {"budget_bytes", budget == 0 ? ordered_json() : ordered_json(budget)},
      {"groups", groups},
      {"precision", name_of(request.workload.precision)},
      {"recompute", recompute_text(rank.recompute)},
      {"recompute_layers", {{"activations", activations}, {"block", blocks}}},
      {"shard_optimizer", false},
      {"pipeline_stage", 0},
      {"validation_pictures", rank.validation_pictures},
      {"peak_bytes", {{"allocator", rank.estimate.allocator_bytes}, {"device", rank.estimate.device_bytes}}},
      {"peak_at", rank.estimate.peak_at},
      {"terms", terms_json(rank.estimate.terms)},
      {"fits", rank.fits}};
}

}  // namespace

ordered_json plan_json(const Request& request, const Plan& plan) {
  ordered_json document = {
      {"schema", schema},
      {"model", request.spec->name},
      {"imgsz", request.workload.imgsz_px},
      {"global_batch", plan.global_batch},
      {"bn_group", plan.bn_group},
      {"accumulate", plan.accumulate},
      {"summary", plan.summary},
      {"ranks", ordered_json::array()},
      {"fits", plan.fits},
      {"layers", ordered_json::array()},
      {"max_global_batch", plan.max_global_batch < 0 ? ordered_json() : ordered_json(plan.max_global_batch)},
      {"smallest_budget_bytes", plan.smallest_budget_bytes},
      {"slowdown", plan.slowdown},
      {"rungs", ordered_json::array()}};
  for (const RankPlan& rank : plan.ranks) {
    document["ranks"].push_back(rank_json(request, plan, rank));
  }
  for (const LayerBytes& layer : plan.ranks.front().estimate.layers) {
    document["layers"].push_back(
        {{"index", layer.index},
         {"name", request.spec->layers[static_cast<size_t>(layer.index)].block},
         {"output_shape", output_shape(*request.spec, layer.index, request.workload)},
         {"saved_bytes", layer.saved_bytes}});
  }
  for (const Rung& rung : plan.rungs) {
    document["rungs"].push_back({{"change", rung.change},
                                 {"allocator_bytes", rung.allocator_bytes},
                                 {"fits", rung.fits},
                                 {"exact", rung.is_exact},
                                 {"slowdown", rung.slowdown}});
  }
  return document;
}

ordered_json plans_json(std::vector<ordered_json> plans) {
  ordered_json document = {{"schema", schema}, {"plans", ordered_json::array()}};
  for (ordered_json& plan : plans) {
    document["plans"].push_back(std::move(plan));
  }
  return document;
}

}  // namespace yolodist::plan
