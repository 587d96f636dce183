// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/train_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/comm/collective_trace.h"
#include "worker/memory/budget.h"
#include "worker/memory/meter.h"
#include "worker/train/injected_shortage.h"
#include "worker/train/update.h"

namespace yolodist::train {
namespace {

// When ranks wait for reduced gradients all have put theirs on the way, and said so: what is left is the way.
// On the CPU launchers go it, which watch each other themselves.
Deadline reduction_deadline(const Training& t) {
  constexpr std::chrono::seconds between_devices{60};
  return Deadline::after(t.device_communicator ? between_devices : std::chrono::seconds(peer_patience));
}

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

// Of the batch norm statistics of all groups; the means stand first.
bool are_means_finite(const std::vector<std::vector<double>>& rows, int64_t channels) {
  return std::all_of(rows.begin(), rows.end(), [channels](const std::vector<double>& row) {
    return std::all_of(row.begin(), row.begin() + channels,
                       [](double value) { return std::isfinite(value); });
  });
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
  // The host has waited for this group's forward, and does not for its backward.
  std::vector<double> row = exchange_row(record ? &*record : nullptr, loss.items);
  const memory::PhaseScope phase(Phase::backward);
  t.injected->enter(Phase::backward, iteration);
  if (plan.makes_step && is_last) {
    t.reducer->arm();
  }
  loss.total.backward(t.scaler ? t.scaler->scale() : at::Tensor());
  t.phase_peaks.note(Phase::backward);
  return row;
}

// What starts to reduce gradients, called. Returns why it failed, where the devices can be connected anew.
template <typename Start>
std::optional<LostLink> link_failure_of(const Training& t, const Start& start) {
  try {
    start();
    return std::nullopt;
  } catch (const comm::CollectiveFailure& failure) {
    if (!t.reconnect_devices) {
      throw;
    }
    return LostLink{.what = failure.what(), .collectives = failure.collectives()};
  } catch (const OutOfMemory& failure) {
    if (!t.reconnect_devices) {
      throw;
    }
    return LostLink{.what = failure.what(), .collectives = nullptr, .is_memory = true};
  }
}

// How this rank came through its groups.
struct Passed {
  std::vector<std::vector<double>> rows;  // of the exchange, a group each
  std::optional<memory::Shortage> shortage;
  std::optional<LostLink> link_failure;
  std::vector<at::Tensor> room;  // for the update
};

Passed run_groups(Training& t, const IterationPlan& plan, const std::vector<GroupBatch>& groups,
                  Assignment& assignment) {
  Passed passed;
  try {
    passed.link_failure = link_failure_of(t, [&] {
      for (size_t g = 0; g < groups.size(); ++g) {
        passed.rows.push_back(run_group(t, plan, groups[g], assignment, g, g + 1 == groups.size()));
      }
    });
    if (passed.link_failure) {
      clear_backward_queue();
    }
    const memory::PhaseScope phase(memory::Phase::optimizer);
    t.injected->enter(memory::Phase::optimizer, t.iteration());
    passed.room = room_for_update(t);
  } catch (const c10::OutOfMemoryError&) {
    clear_backward_queue();
    passed.shortage = memory::take_shortage();
    check(passed.shortage.has_value(), "who runs out of memory leaves word of it");
  }
  return passed;
}

RankReport report_of(const Training& t, const IterationPlan& plan, const Assignment& assignment) {
  const memory::Reading memory_now = memory::read(t.device);
  return {.current_bytes = memory_now.current_bytes,
          .peak_bytes = t.phase_peaks.highest(),
          .reserved_bytes = memory_now.reserved_bytes,
          .ready_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() -
                                                                plan.begin - assignment.waited)
                          .count()};
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
  Passed passed = run_groups(t, plan, groups, assignment);
  finish_assignment(assignment, levels, plan.picture_count);
  result.votes = assignment.votes(levels);
  if (result.votes.data_lost) {
    return result;
  }
  t.phase_peaks.note(memory::Phase::reduce);
  RankReport report = report_of(t, plan, assignment);
  if (plan.makes_step && !passed.link_failure) {
    passed.link_failure = link_failure_of(t, [&] { t.reducer->start_remaining(); });
  }
  report.ran_out = passed.shortage.has_value();
  report.lost_link = passed.link_failure.has_value();
  const memory::PhaseScope reducing(memory::Phase::reduce);
  exchange.start(*t.communicator, report, passed.rows);
  exchange.finish();
  result.ranks = exchange.reports();
  result.target_count = assignment.sums[levels];
  result.ran_out = exchange.anyone_ran_out();
  result.shortage = std::move(passed.shortage);
  result.lost_link = exchange.anyone_lost_link();
  result.link_failure = std::move(passed.link_failure);
  passed.room.clear();
  if (result.ran_out || result.lost_link) {
    if (plan.makes_step && !result.lost_link) {
      t.reducer->finish(reduction_deadline(t));  // what others have started has to end
    }
    return result;
  }
  result.known_step = take_step_outcome(t);  // an earlier one
  result.losses = take_losses(exchange.rows());
  const bool is_finite = std::isfinite(result.losses.total());
  if (!is_finite && !t.scaler) {
    diverge(result.losses.total(), "loss", t.state.epoch, t.iteration());
  }
  if (measures_statistics && is_finite &&
      (!t.scaler || are_means_finite(exchange.rows(), t.model->batch_norms.channel_count))) {
    model::update_running_statistics(t.model->state, t.model->batch_norms, exchange.rows());
  }
  const memory::PhaseScope phase(memory::Phase::optimizer);
  if (plan.makes_step) {
    t.reducer->finish(reduction_deadline(t));
  }
  if (!is_finite) {
    spoil_gradients(t);
  }
  if (plan.makes_step) {
    update_parameters(t, plan.settings);
    if (t.device.is_cpu()) {
      result.known_step = take_step_outcome(t);
    }
  }
  return result;
}

}  // namespace yolodist::train
