// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/summary.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/bytes.h"
#include "common/base/text.h"
#include "common/plan/rungs.h"
#include "common/plan/sharing.h"

namespace yolodist::plan {
namespace {

constexpr int nominal_batch = 64;  // Source: ultralytics/yolov5 v7.0 train.py, nbs

std::string on_ranks(const std::vector<int>& ranks, size_t all) {
  return ranks.size() == all ? "" : cat(" on ", ranks_text(ranks));
}

void add_recompute(const Plan& plan, std::vector<std::string>& differences) {
  std::map<std::string, std::vector<int>> ranks_by_text;
  std::vector<std::string> order;
  for (const RankPlan& rank : plan.ranks) {
    const std::string text = recompute_text(rank.recompute);
    if (rank.groups.empty() || text == "none") {
      continue;
    }
    if (ranks_by_text[text].empty()) {
      order.push_back(text);
    }
    ranks_by_text[text].push_back(rank.rank);
  }
  for (const std::string& text : order) {
    differences.push_back(cat("recompute ", text, on_ranks(ranks_by_text[text], plan.ranks.size())));
  }
}

void add_shares(const Plan& plan, std::vector<std::string>& differences) {
  const std::vector<std::vector<int>> even =
      share_groups(plan.group_sizes, std::vector<double>(plan.ranks.size(), 1.0), {});
  std::vector<int> idle;
  bool is_even = true;
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
    is_even = is_even && plan.ranks[rank].groups == even[rank];
    if (plan.ranks[rank].groups.empty() && !even[rank].empty()) {
      idle.push_back(static_cast<int>(rank));
    }
  }
  if (is_even) {
    return;
  }
  std::vector<std::string> shares;
  for (const int pictures : shard_of(plan)) {
    shares.push_back(std::to_string(pictures));
  }
  differences.push_back(cat("shares ", join(shares, ",")));
  if (!idle.empty()) {
    differences.push_back(cat("no pictures on ", ranks_text(idle)));
  }
}

}  // namespace

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::fp64:
      return "fp64";
    case Precision::fp16:
      return "fp16";
    case Precision::bf16:
      return "bf16";
  }
  return "fp32";
}

Precision precision_named(const std::string& name, bool is_cuda) {
  if (name == "auto") {
    return is_cuda ? Precision::fp16 : Precision::fp32;
  }
  for (const Precision precision : {Precision::fp64, Precision::fp16, Precision::bf16}) {
    if (name == name_of(precision)) {
      return precision;
    }
  }
  return Precision::fp32;
}

std::string recompute_text(const RecomputePlan& recompute) {
  const auto count = [&](Recompute wanted) { return std::count(recompute.begin(), recompute.end(), wanted); };
  const auto activations = count(Recompute::activations), blocks = count(Recompute::block);
  const auto all = static_cast<std::ptrdiff_t>(recompute.size());
  if (activations + blocks == 0) {
    return "none";
  }
  if (activations == all || blocks == all) {
    return blocks == all ? "blocks" : "activations";
  }
  std::vector<std::string> parts;
  if (activations > 0) {
    parts.push_back(cat("activations of ", activations));
  }
  if (blocks > 0) {
    parts.push_back(cat("blocks of ", blocks));
  }
  return join(parts, ", ") + " layers";
}

std::string ranks_text(const std::vector<int>& ranks) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < ranks.size();) {
    size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) {
      ++last;
    }
    parts.push_back(last == i ? std::to_string(ranks[i]) : cat(ranks[i], "-", ranks[last]));
    i = last + 1;
  }
  return cat(ranks.size() == 1 ? "rank " : "ranks ", join(parts, ", "));
}

std::string summary_of(Planning& planning, const Plan& plan) {
  const Request& request = planning.request();
  std::vector<std::string> same = {cat("batch ", plan.global_batch)}, differences;
  const int ranks = planning.world_size();
  if (request.accumulate == 0) {
    same.push_back(cat("nominal ", nominal_batch));
  } else {
    differences.push_back(
        cat("a step every ", plan.accumulate, plan.accumulate == 1 ? " iteration" : " iterations"));
  }
  const int usual_group = (plan.global_batch + ranks - 1) / ranks;
  if (plan.bn_group != usual_group) {
    differences.push_back(cat("BN over ", plan.bn_group, plan.bn_group == 1 ? " picture" : " pictures",
                              " instead of ", usual_group));
  }
  const bool is_cuda = plan.ranks.front().device.kind == DeviceKind::cuda;
  if (is_cuda && request.workload.precision != Precision::fp16) {
    differences.push_back(cat(name_of(request.workload.precision), " instead of mixed precision"));
  } else if (!is_cuda && request.workload.precision != Precision::fp32) {
    differences.push_back(cat(name_of(request.workload.precision), " instead of fp32"));
  }
  add_shares(plan, differences);
  add_recompute(plan, differences);
  if (const long percent = std::lround(plan.slowdown * 100); percent >= 1) {
    differences.push_back(cat("+", percent, " % time"));
  }
  const std::string text = cat("same as YOLOv5: ", join(same, ", "),
                               "; different: ", differences.empty() ? "nothing" : join(differences, ", "));
  if (plan.fits) {
    return text;
  }
  const RankPlan& worst = worst_rank(plan);
  return cat("does not fit: rank ", worst.rank, " needs ", to_string(Bytes{worst.estimate.device_bytes}),
             " of ", to_string(Bytes{worst.device.budget_bytes}), " (", text, ")");
}

}  // namespace yolodist::plan
