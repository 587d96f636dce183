// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/rows.h"

#include <algorithm>

namespace yolodist::train {

telemetry::IterationRow row_of_iteration(const Training& t, const IterationPlan& plan,
                                         const IterationResult& result, double seconds) {
  telemetry::IterationRow row;
  row.attempt = t.attempt;
  row.epoch = t.state.epoch;
  row.iteration = t.iteration();
  row.step = t.state.step;
  row.imgsz_px = std::max(plan.shape.height_px, plan.shape.width_px);
  row.global_batch = plan.picture_count;
  row.box = result.losses.box;
  row.obj = result.losses.objectness;
  row.cls = result.losses.classes;
  row.total = result.losses.total();
  row.lr.assign(plan.settings.lr.begin(), plan.settings.lr.end());
  row.images_per_s = plan.picture_count / seconds;
  for (size_t rank = 0; rank < result.ranks.size(); ++rank) {
    const RankReport& report = result.ranks[rank];
    row.ranks.push_back({.rank = static_cast<int>(rank),
                         .allocated_bytes = report.current_bytes,
                         .peak_bytes = report.peak_bytes,
                         .reserved_bytes = report.reserved_bytes,
                         .ready_ms = report.ready_ms});
  }
  return row;
}

telemetry::EpochResult row_of_epoch(const Training& t) {
  const double n = std::max(t.state.epoch_iterations, 1);
  const ValidationResult& v = t.state.last_validation;
  return {.epoch = t.state.epoch,
          .train_box = t.state.epoch_sum.box / n,
          .train_obj = t.state.epoch_sum.objectness / n,
          .train_cls = t.state.epoch_sum.classes / n,
          .precision = v.precision,
          .recall = v.recall,
          .map50 = v.map50,
          .map = v.map,
          .val_box = v.losses.box,
          .val_obj = v.losses.objectness,
          .val_cls = v.losses.classes,
          .lr = t.schedule->at(t.state.epoch, t.batches_an_epoch() - 1).lr};
}

WorstRank worst_rank(const Training& t, const std::vector<RankReport>& reports) {
  WorstRank worst;
  double worst_share = -1;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    const int64_t budget = t.plan.ranks[rank].device.budget_bytes;
    const double share =
        static_cast<double>(reports[rank].peak_bytes) / static_cast<double>(std::max<int64_t>(budget, 1));
    if (share > worst_share) {
      worst_share = share;
      worst = {static_cast<int>(rank), reports[rank].peak_bytes, budget};
    }
  }
  return worst;
}

}  // namespace yolodist::train
