// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/train_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <chrono>
#include <cmath>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::train {
namespace {

// How long a rank waits for the others in a collective before it takes them for lost.
constexpr std::chrono::minutes peer_patience{10};

// Source: ultralytics/yolov5 v7.0 train.py, clip_grad_norm_.
constexpr double max_gradient_norm = 10.0;

// The matches of this rank's groups, and their counts on the way to being those of the whole global batch.
struct Assignment {
  std::vector<std::vector<loss::LevelMatches>> of_group;
  std::vector<int64_t> sums;  // a level, then: targets, stop votes, checkpoint votes
  std::unique_ptr<comm::Work> work;
};

Assignment start_assignment(Training& t, const IterationPlan& plan, const std::vector<GroupBatch>& groups,
                            const Votes& votes) {
  Assignment assignment;
  assignment.sums.assign(t.anchors.size() + 3, 0);
  int64_t* extra = assignment.sums.data() + t.anchors.size();
  std::vector<loss::LevelShape> shapes;
  for (const int stride : t.model->spec.strides_px) {
    shapes.push_back({plan.shape.height_px / stride, plan.shape.width_px / stride});
  }
  for (const GroupBatch& group : groups) {
    assignment.of_group.push_back(
        loss::match_targets(group.targets, t.anchors, shapes, static_cast<float>(t.hyp.anchor_t)));
    for (size_t level = 0; level < shapes.size(); ++level) {
      assignment.sums[level] += assignment.of_group.back()[level].count();
    }
    extra[0] += static_cast<int64_t>(group.targets.size());
  }
  extra[1] = votes.stop ? 1 : 0;
  extra[2] = votes.checkpoint ? 1 : 0;
  assignment.work = t.communicator->all_reduce(assignment.sums.data(), assignment.sums.size(),
                                               comm::Dtype::i64, comm::Reduction::sum);
  return assignment;
}

loss::Normalisers finish_assignment(Assignment& assignment, size_t levels, int picture_count) {
  if (assignment.work) {
    assignment.work->wait(Deadline::after(peer_patience));
    assignment.work.reset();
  }
  return {{assignment.sums.begin(), assignment.sums.begin() + static_cast<long>(levels)}, picture_count};
}

// A group's contribution to what all ranks exchange after backward: BN statistics and loss items, as doubles.
constexpr size_t loss_columns = 3;

std::vector<double> exchange_row(const model::BatchNormRecord* record, const loss::LossItems& items) {
  std::vector<double> row = record == nullptr ? std::vector<double>() : model::to_row(*record);
  row.insert(row.end(), {items.box, items.objectness, items.classes});
  return row;
}

// Rows of all groups of all ranks, in the order of the groups, so that every rank adds in the same order.
class RowExchange {
 public:
  RowExchange(Training& t, const IterationPlan& plan, size_t row_length)
      : plan_(plan), row_length_(row_length) {
    for (const auto& groups : plan.groups_of_rank) {
      rows_a_rank_ = std::max(rows_a_rank_, groups.size());
    }
    mine_.assign(rows_a_rank_ * row_length, 0);
    all_.resize(mine_.size() * static_cast<size_t>(t.world_size));
  }

  void start(Training& t, const std::vector<std::vector<double>>& rows) {
    for (size_t i = 0; i < rows.size(); ++i) {
      check(rows[i].size() == row_length_, "rows of the exchange have one length");
      std::copy(rows[i].begin(), rows[i].end(), mine_.begin() + static_cast<long>(i * row_length_));
    }
    work_ = t.communicator->all_gather(mine_.data(), mine_.size() * sizeof(double), all_.data());
  }

  std::vector<std::vector<double>> finish() {
    work_->wait(Deadline::after(peer_patience));
    std::vector<std::vector<double>> rows(plan_.group_sizes.size());
    for (size_t rank = 0; rank < plan_.groups_of_rank.size(); ++rank) {
      for (size_t i = 0; i < plan_.groups_of_rank[rank].size(); ++i) {
        const double* from = all_.data() + (rank * rows_a_rank_ + i) * row_length_;
        rows[static_cast<size_t>(plan_.groups_of_rank[rank][i])] = {from, from + row_length_};
      }
    }
    return rows;
  }

 private:
  const IterationPlan& plan_;
  size_t row_length_;
  size_t rows_a_rank_ = 0;
  std::vector<double> mine_, all_;
  std::unique_ptr<comm::Work> work_;
};

loss::LossItems take_losses(std::vector<std::vector<double>>& rows) {
  loss::LossItems sum;
  for (auto& row : rows) {
    const double* items = row.data() + row.size() - loss_columns;
    sum.box += items[0];
    sum.objectness += items[1];
    sum.classes += items[2];
    row.resize(row.size() - loss_columns);
  }
  return sum;
}

void require_finite(double value, const char* what, const Training& t) {
  if (!std::isfinite(value)) {
    throw Diverged(
        cat("the ", what, " is ", value, " in epoch ", t.state.epoch, ", iteration ", t.iteration()),
        "Lower lr0 or check the labels; the last checkpoint is from before.");
  }
}

double update_parameters(Training& t, const IterationPlan& plan) {
  t.reducer->finish(Deadline::after(peer_patience));
  const double norm = optim::clip_gradients(t.reducer->buckets(), max_gradient_norm);
  require_finite(norm, "gradient's norm", t);
  t.optimizer->step(plan.settings.lr, plan.settings.momentum);
  t.reducer->zero();
  t.ema->update(*t.model);
  return norm;
}

// Values from 0 to 1 on the device, and with --multi-scale the size of this iteration.
// Source: ultralytics/yolov5 v7.0 train.py (bilinear, corners not aligned).
at::Tensor network_input(const Training& t, const IterationPlan& plan, const at::Tensor& pixels) {
  const at::Tensor images = pixels.to(t.device).to(t.dtype).div_(255);
  if (images.size(2) == plan.shape.height_px && images.size(3) == plan.shape.width_px) {
    return images;
  }
  return at::upsample_bilinear2d(images, {plan.shape.height_px, plan.shape.width_px},
                                 /*align_corners=*/false);
}

}  // namespace

IterationResult run_iteration(Training& t, const IterationPlan& plan, const std::vector<GroupBatch>& groups,
                              const Votes& votes) {
  const auto start = std::chrono::steady_clock::now();
  const size_t levels = t.anchors.size();
  const bool measures_statistics = !t.options.freeze_bn;
  Assignment assignment = start_assignment(t, plan, groups, votes);
  RowExchange exchange(t, plan,
                       loss_columns + (measures_statistics ? model::row_length(t.model->batch_norms) : 0));
  std::vector<std::vector<double>> rows;
  for (size_t g = 0; g < groups.size(); ++g) {
    model::BatchNormRecord record(t.model->batch_norms, at::TensorOptions().dtype(t.dtype).device(t.device));
    const at::Tensor images = network_input(t, plan, groups[g].images);
    const std::vector<at::Tensor> raw =
        model::forward(*t.model, images, measures_statistics ? &record : nullptr);
    const loss::Normalisers normalisers = finish_assignment(assignment, levels, plan.picture_count);
    const loss::GroupLoss loss = loss::detection_loss(raw, assignment.of_group[g], normalisers, t.scaled_hyp);
    if (plan.makes_step && g + 1 == groups.size()) {
      t.reducer->arm();
    }
    loss.total.backward();
    rows.push_back(exchange_row(measures_statistics ? &record : nullptr, loss.items));
  }
  finish_assignment(assignment, levels, plan.picture_count);

  IterationResult result;
  result.ready_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (plan.makes_step) {
    t.reducer->start_remaining();
  }
  exchange.start(t, rows);
  std::vector<std::vector<double>> all_rows = exchange.finish();
  result.losses = take_losses(all_rows);
  require_finite(result.losses.total(), "loss", t);
  if (measures_statistics) {
    model::update_running_statistics(t.model->state, t.model->batch_norms, all_rows);
  }
  if (plan.makes_step) {
    result.gradient_norm = update_parameters(t, plan);
  }
  result.target_count = assignment.sums[levels];
  result.votes = {assignment.sums[levels + 1] > 0, assignment.sums[levels + 2] > 0};
  return result;
}

}  // namespace yolodist::train
