// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/train_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <cmath>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/budget.h"
#include "worker/memory/meter.h"
#include "worker/train/injected_shortage.h"

namespace yolodist::train {
namespace {

// Source: ultralytics/yolov5 v7.0 train.py, clip_grad_norm_.
constexpr double max_gradient_norm = 10.0;

// The matches of this rank's groups, and their counts on the way to being those of the whole global batch.
struct Assignment {
  std::vector<std::vector<loss::LevelMatches>> of_group;
  std::vector<int64_t> sums;  // a level, then: targets, and the votes in the order of their struct
  std::unique_ptr<comm::Work> work;
  std::chrono::steady_clock::duration waited{};  // for other ranks

  // Once finished: of any rank.
  Votes votes(size_t levels) const {
    const int64_t* extra = sums.data() + levels;
    return {extra[1] > 0, extra[2] > 0, extra[3] > 0, extra[4] > 0};
  }
};

Assignment start_assignment(Training& t, const IterationPlan& plan, const std::vector<GroupBatch>& groups,
                            const Votes& votes) {
  Assignment assignment;
  assignment.sums.assign(t.anchors.size() + 5, 0);
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
  extra[3] = votes.give_up ? 1 : 0;
  extra[4] = votes.data_lost ? 1 : 0;
  assignment.work = t.communicator->all_reduce(assignment.sums.data(), assignment.sums.size(),
                                               comm::Dtype::i64, comm::Reduction::sum);
  return assignment;
}

loss::Normalisers finish_assignment(Assignment& assignment, size_t levels, int picture_count) {
  if (assignment.work) {
    const auto begin = std::chrono::steady_clock::now();
    assignment.work->wait(Deadline::after(peer_patience));
    assignment.waited += std::chrono::steady_clock::now() - begin;
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

// Room for what an update allocates in passing: all of it has to be there before the first parameter moves,
// since after that there is no way back.
int64_t update_bytes(const Training& t) {
  constexpr int64_t norms_and_scalars = int64_t{64} << 10;
  return norms_and_scalars +
         6 * memory::rounded(t.model->batch_norms.channel_count * int64_t{sizeof(double)});
}

double update_parameters(Training& t, const IterationPlan& plan) {
  const memory::PhaseScope phase(memory::Phase::optimizer);
  t.reducer->finish(Deadline::after(peer_patience));
  const double norm = optim::clip_gradients(t.reducer->buckets(), max_gradient_norm);
  require_finite(norm, "gradient's norm", t);
  t.optimizer->step(plan.settings.lr, plan.settings.momentum);
  t.reducer->zero();
  t.ema->update(*t.model);
  return norm;
}

// The autograd engine leaves what a failed backward had still to do in this thread's queue, and with it all
// that the graph keeps, until another backward looks there: here is one.
void clear_backward_queue() {
  const memory::KindScope not_of_the_budget(memory::Kind::host);
  const at::AutoGradMode recording(true);
  const at::Tensor leaf = at::zeros({}, at::kFloat).requires_grad_(true);
  (leaf + leaf).backward();
}

// Forward, loss and backward of one group. Returns its row of the exchange; nothing, before any gradient has
// moved, when some rank has lost its data.
std::vector<double> run_group(Training& t, const IterationPlan& plan, const GroupBatch& group,
                              Assignment& assignment, size_t index, bool is_last) {
  using memory::Phase;
  const bool measures_statistics = !t.options.freeze_bn;
  const int64_t iteration = t.iteration();
  std::optional<model::BatchNormRecord> record;
  std::vector<at::Tensor> raw;
  {
    const memory::PhaseScope phase(Phase::forward);
    t.injected->enter(Phase::forward, iteration);
    if (measures_statistics) {
      const memory::KindScope kind(memory::Kind::buffers);
      record.emplace(t.model->batch_norms, at::TensorOptions().dtype(t.dtype).device(t.device));
    }
    raw = model::forward(*t.model, network_input(t, plan.shape, group.images), record ? &*record : nullptr,
                         t.recompute);
    t.phase_peaks.note(Phase::forward);
  }
  const loss::Normalisers normalisers = finish_assignment(assignment, t.anchors.size(), plan.picture_count);
  if (assignment.votes(t.anchors.size()).data_lost) {
    return {};
  }
  loss::GroupLoss loss;
  {
    const memory::PhaseScope phase(Phase::loss);
    t.injected->enter(Phase::loss, iteration);
    loss = loss::detection_loss(raw, assignment.of_group[index], normalisers, t.scaled_hyp);
    raw.clear();
    t.phase_peaks.note(Phase::loss);
  }
  const memory::PhaseScope phase(Phase::backward);
  t.injected->enter(Phase::backward, iteration);
  if (plan.makes_step && is_last) {
    t.reducer->arm();
  }
  loss.total.backward();
  t.phase_peaks.note(Phase::backward);
  return exchange_row(record ? &*record : nullptr, loss.items);
}

}  // namespace

at::Tensor network_input(const Training& t, data::Shape shape, const at::Tensor& pixels) {
  const memory::KindScope kind(memory::Kind::input);
  const at::Tensor images = pixels.to(t.device)
                                .to(t.model->compute_dtype(), /*non_blocking=*/false, /*copy=*/false,
                                    at::MemoryFormat::ChannelsLast)
                                .div_(255);
  if (images.size(2) == shape.height_px && images.size(3) == shape.width_px) {
    return images;
  }
  return at::upsample_bilinear2d(images, {shape.height_px, shape.width_px}, /*align_corners=*/false);
}

IterationResult run_iteration(Training& t, const IterationPlan& plan, const std::vector<GroupBatch>& groups,
                              const Votes& votes) {
  const size_t levels = t.anchors.size();
  const bool measures_statistics = !t.options.freeze_bn;
  IterationResult result;
  memory::reset_peak(t.device);
  t.phase_peaks.reset();
  Assignment assignment = start_assignment(t, plan, groups, votes);
  RowExchange exchange(plan.groups_of_rank,
                       loss_columns + (measures_statistics ? model::row_length(t.model->batch_norms) : 0));
  std::vector<std::vector<double>> rows;
  at::Tensor room_for_update;
  try {
    for (size_t g = 0; g < groups.size(); ++g) {
      rows.push_back(run_group(t, plan, groups[g], assignment, g, g + 1 == groups.size()));
    }
    const memory::PhaseScope phase(memory::Phase::optimizer);
    t.injected->enter(memory::Phase::optimizer, t.iteration());
    room_for_update = at::empty({update_bytes(t)}, at::TensorOptions().dtype(at::kByte).device(t.device));
  } catch (const c10::OutOfMemoryError&) {
    clear_backward_queue();
    result.shortage = memory::take_shortage();
    check(result.shortage.has_value(), "who runs out of memory leaves word of it");
  }
  finish_assignment(assignment, levels, plan.picture_count);
  result.votes = assignment.votes(levels);
  if (result.votes.data_lost) {
    return result;
  }
  t.phase_peaks.note(memory::Phase::reduce);
  const memory::Reading memory_now = memory::read(t.device);
  const double ready_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() -
                                                                    plan.begin - assignment.waited)
                              .count();
  if (plan.makes_step) {
    t.reducer->start_remaining();
  }
  const memory::PhaseScope reducing(memory::Phase::reduce);
  exchange.start(*t.communicator,
                 {result.shortage.has_value(), memory_now.current_bytes, t.phase_peaks.highest(),
                  memory_now.reserved_bytes, ready_ms},
                 rows);
  exchange.finish();
  result.ranks = exchange.reports();
  result.target_count = assignment.sums[levels];
  room_for_update.reset();
  if (exchange.anyone_ran_out()) {
    result.ran_out = true;
    if (plan.makes_step) {
      t.reducer->finish(Deadline::after(peer_patience));  // what others have started has to end
    }
    return result;
  }
  result.losses = take_losses(exchange.rows());
  require_finite(result.losses.total(), "loss", t);
  if (measures_statistics) {
    model::update_running_statistics(t.model->state, t.model->batch_norms, exchange.rows());
  }
  if (plan.makes_step) {
    result.gradient_norm = update_parameters(t, plan);
  }
  return result;
}

}  // namespace yolodist::train
