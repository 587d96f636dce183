// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/text.h"
#include "common/plan/layer_shape.h"
#include "common/plan/rungs.h"
#include "common/plan/summary.h"

namespace yolodist::plan {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string bytes_text(int64_t bytes) {
  return to_string(Bytes{bytes});
}

std::string budget_text(const Device& device) {
  return device.budget_bytes == 0 ? "none" : bytes_text(device.budget_bytes);
}

std::string share_text(const RankPlan& rank) {
  return rank.device.budget_bytes == 0 ? "" : printf_string("%.0f %%", 100 * budget_share(rank));
}

// "4", "2 x 4", "2 x 4 + 2".
std::string groups_text(const Plan& plan, const RankPlan& rank) {
  std::map<int, int, std::greater<>> counts;
  for (const int group : rank.groups) {
    ++counts[plan.group_sizes[static_cast<size_t>(group)]];
  }
  std::vector<std::string> parts;
  for (const auto& [size, count] : counts) {
    parts.push_back(count == 1 ? std::to_string(size) : cat(count, " x ", size));
  }
  return parts.empty() ? "-" : join(parts, " + ");
}

std::string percent_text(double share) {
  return std::lround(100 * share) == 0 ? "" : printf_string("%+ld %%", std::lround(100 * share));
}

std::string ranks_table(const Plan& plan) {
  Rows rows = {{"rank", "card", "budget", "groups", "recompute", "predicted peak", "of budget"}};
  for (const RankPlan& rank : plan.ranks) {
    rows.push_back({std::to_string(rank.rank), rank.device.card, budget_text(rank.device),
                    groups_text(plan, rank), recompute_text(rank.recompute),
                    bytes_text(rank.estimate.device_bytes),
                    share_text(rank) + (rank.fits ? "" : " (does not fit)")});
  }
  return table_text(rows, {1, 4, 6});
}

std::string terms_table(const RankPlan& rank) {
  const Terms& t = rank.estimate.terms;
  const std::vector<std::pair<const char*, int64_t>> terms = {{"parameters", t.parameters},
                                                              {"gradients", t.gradients},
                                                              {"optimizer", t.optimizer},
                                                              {"EMA", t.ema},
                                                              {"precision copies", t.precision_copies},
                                                              {"buffers", t.buffers},
                                                              {"pictures", t.input},
                                                              {"activations", t.activations},
                                                              {"loss", t.loss},
                                                              {"transient", t.transient},
                                                              {"CUDA context", t.context},
                                                              {"NCCL", t.nccl},
                                                              {"workspace", t.workspace},
                                                              {"fragmentation", t.fragmentation}};
  Rows rows = {{"term", "bytes"}};
  for (const auto& [name, bytes] : terms) {
    if (bytes != 0) {
      rows.push_back({name, bytes_text(bytes)});
    }
  }
  return table_text(rows, {0});
}

std::string rungs_table(const Plan& plan) {
  Rows rows = {{"remedy", "peak of the allocator", "time", "fits", ""}};
  for (const Rung& rung : plan.rungs) {
    rows.push_back({rung.change, bytes_text(rung.allocator_bytes), percent_text(rung.slowdown),
                    rung.fits ? "yes" : "no", rung.is_exact ? "" : "changes the recipe"});
  }
  return table_text(rows, {0, 4});
}

std::string layers_table(const Request& request, const RankPlan& rank) {
  Rows rows = {{"layer", "block", "output", "keeps without recompute", "keeps", "recompute"}};
  for (const LayerBytes& layer : rank.estimate.layers) {
    const auto index = static_cast<size_t>(layer.index);
    std::vector<std::string> shape;
    for (const int64_t side : output_shape(*request.spec, layer.index, request.workload)) {
      shape.push_back(std::to_string(side));
    }
    const Recompute recompute = index < rank.recompute.size() ? rank.recompute[index] : Recompute::none;
    rows.push_back({std::to_string(layer.index), request.spec->layers[index].block, join(shape, "x"),
                    bytes_text(layer.saved_bytes), bytes_text(layer.kept_bytes),
                    recompute == Recompute::none          ? ""
                    : recompute == Recompute::activations ? "activations"
                                                          : "block"});
  }
  return table_text(rows, {1, 5});
}

std::string most_text(const Plan& plan) {
  const int ranks = static_cast<int>(plan.ranks.size());
  if (plan.max_global_batch < 0) {
    return "Without a budget there is no largest batch; --device-memory sets one.";
  }
  if (plan.max_global_batch == 0) {
    return cat("Not even one picture a rank fits. The least that would do: ",
               bytes_text(plan.smallest_budget_bytes), " a device.");
  }
  return cat("Largest batch with one group a rank: ", plan.max_global_batch, " (",
             plan.max_global_batch / ranks,
             " a rank). Least memory for this batch: ", bytes_text(plan.smallest_budget_bytes), " a device.");
}

}  // namespace

std::string table_text(const std::vector<std::vector<std::string>>& rows, const std::vector<size_t>& left) {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::vector<std::string> lines;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string blanks(widths[i] - row[i].size(), ' ');
      const bool is_left = std::find(left.begin(), left.end(), i) != left.end();
      line += "  " + (is_left ? row[i] + blanks : blanks + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return join(lines, "\n") + "\n";
}

std::string plan_text(const Request& request, const Plan& plan, bool verbose) {
  const RankPlan& worst = worst_rank(plan);
  const Workload& w = request.workload;
  std::string text =
      cat(request.spec->name, ", ", w.imgsz_px, " px",
          w.height_px > w.imgsz_px ? cat(" (up to ", w.height_px, ")") : "", ", batch ", plan.global_batch,
          " in groups of ", std::min(plan.bn_group, plan.global_batch), ", a step every ", plan.accumulate,
          plan.accumulate == 1 ? " iteration, " : " iterations, ", name_of(w.precision), "\n");
  text += ranks_table(plan) + "\n";
  text += cat(plan.summary, "\n\nPeak of rank ", worst.rank, ", in ", worst.estimate.peak_at, ":\n");
  text += terms_table(worst) + "\n" + rungs_table(plan) + "\n";
  if (verbose) {
    text += cat("Kept for backward on rank ", worst.rank, ":\n", layers_table(request, worst), "\n");
  }
  return text + most_text(plan) + "\n";
}

int rule_of_thumb(int imgsz_px, int64_t budget_bytes) {
  if (budget_bytes == 0) {
    return -1;
  }
  // 15.75 GiB is what is usable of a card of 16 GB; see cards.yaml.
  constexpr double pictures = 8, side_px = 1280, memory_bytes = 15.75 * 1073741824;
  const double side = side_px / imgsz_px;
  return static_cast<int>(pictures * side * side * static_cast<double>(budget_bytes) / memory_bytes + 1e-9);
}

std::string cases_text(const std::vector<Case>& cases) {
  const auto count = [](int most) { return most < 0 ? std::string("-") : std::to_string(most); };
  Rows rows = {{"model", "px", "batch", "ranks", "card", "recompute", "peak", "of budget", "time", "fits",
                "most/rank plain", "most/rank", "rule"}};
  for (const Case& one : cases) {
    const RankPlan& worst = worst_rank(one.plan);
    const int ranks = static_cast<int>(one.plan.ranks.size());
    rows.push_back({one.request.spec->name, std::to_string(one.request.workload.imgsz_px),
                    std::to_string(one.plan.global_batch), std::to_string(ranks), worst.device.card,
                    recompute_text(worst.recompute), bytes_text(worst.estimate.device_bytes),
                    share_text(worst), percent_text(one.plan.slowdown), one.plan.fits ? "yes" : "no",
                    count(one.most_pictures_plain),
                    one.plan.max_global_batch < 0 ? "-" : count(one.plan.max_global_batch / ranks),
                    count(rule_of_thumb(one.request.workload.imgsz_px, worst.device.budget_bytes))});
  }
  return table_text(rows, {0, 4, 5}) +
         "most/rank: the most pictures that one rank can take at once, plain (nothing recomputed) and with "
         "recompute.\n"
         "rule: YOLOv5's rule of thumb, at most 8 pictures at 1280 px on 16 GB, scaled to side and budget.\n";
}

}  // namespace yolodist::plan
