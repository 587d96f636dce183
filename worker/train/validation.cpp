// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/validation.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "common/base/error.h"
#include "worker/data/pipeline.h"
#include "worker/data/rect_shapes.h"
#include "worker/eval/image_statistics.h"
#include "worker/eval/matching.h"
#include "worker/eval/nms.h"
#include "worker/train/shard_loader.h"

namespace yolodist::train {
namespace {

constexpr std::chrono::minutes peer_patience{30};  // a rank may have slower pictures than another

// Statistics and losses of this rank's slices.
struct Tally {
  std::vector<eval::ImageStatistics> images;
  loss::LossItems losses;
};

void judge(const at::Tensor& decoded, const std::vector<data::Sample>& samples, int64_t first_position,
           const Training& t, Tally& tally) {
  const at::Tensor rows = decoded.to(at::kCPU, at::kFloat).contiguous();
  const size_t row_count = static_cast<size_t>(rows.size(1) * rows.size(2));
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::span<const float> predictions(rows.const_data_ptr<float>() + i * row_count, row_count);
    eval::NmsOptions options;
    options.agnostic = t.options.single_cls;
    const auto detections = eval::suppress(predictions, t.data_set.class_count(), options);
    const data::Sample& sample = samples[i];
    tally.images.push_back(eval::statistics_of(
        first_position + static_cast<int64_t>(i), eval::native_detections(detections, sample.fitting),
        eval::native_labels(sample.targets, sample.height_px, sample.width_px, sample.fitting)));
  }
}

// The loss of a group as if it were one batch: its match counts come from all ranks' slices.
loss::LossItems group_loss(Training& t, const std::vector<at::Tensor>& raw,
                           const std::vector<data::Sample>& samples, int group_size) {
  const GroupBatch slice = to_group(samples, 0);
  std::vector<loss::LevelShape> shapes;
  for (const at::Tensor& level : raw) {
    shapes.push_back({level.size(2), level.size(3)});
  }
  std::vector<loss::LevelMatches> matches;
  std::vector<int64_t> counts(t.anchors.size(), 0);
  if (!samples.empty()) {
    matches = loss::match_targets(slice.targets, t.anchors, shapes, static_cast<float>(t.hyp.anchor_t));
    std::transform(matches.begin(), matches.end(), counts.begin(), [](const auto& m) { return m.count(); });
  }
  comm::all_reduce_sum(*t.communicator, std::span<int64_t>(counts), Deadline::after(peer_patience));
  if (samples.empty()) {
    return {};
  }
  return loss::detection_loss(raw, matches, {counts, group_size}, t.scaled_hyp).items;
}

void add(loss::LossItems& sum, const loss::LossItems& items) {
  sum.box += items.box;
  sum.objectness += items.objectness;
  sum.classes += items.classes;
}

ValidationReport summarise(Training& t, const Tally& tally) {
  const Deadline deadline = Deadline::after(peer_patience);
  const std::vector<std::string> ranks =
      comm::all_gather_strings(*t.communicator, eval::to_bytes(tally.images), deadline);
  std::vector<double> losses = {tally.losses.box, tally.losses.objectness, tally.losses.classes};
  comm::all_reduce_sum(*t.communicator, std::span<double>(losses), deadline);
  ValidationReport report;
  report.metrics = eval::summarize(eval::merged(ranks));
  const double groups = static_cast<double>(t.val_batches.shapes.size());
  report.result = {report.metrics.precision,
                   report.metrics.recall,
                   report.metrics.map50,
                   report.metrics.map,
                   {losses[0] / groups, losses[1] / groups, losses[2] / groups}};
  return report;
}

}  // namespace

ValidationReport validate(Training& t, const model::Model& model) {
  const c10::NoGradGuard no_grad;
  Tally tally;
  int64_t first_position = 0;
  ValidationLoader loader(t);
  for (const size_t group_size : validation_group_sizes(t)) {
    const Slice slice = slice_of(group_size, t.rank, t.world_size);
    const std::vector<data::Sample> samples = loader.next(slice.end - slice.begin);
    std::vector<at::Tensor> raw;
    if (!samples.empty()) {
      raw = model::forward(model, to_group(samples, 0).images.to(t.device).to(t.dtype).div_(255), nullptr);
      judge(model::decode(model, raw), samples, first_position + static_cast<int64_t>(slice.begin), t, tally);
    }
    add(tally.losses, group_loss(t, raw, samples, static_cast<int>(group_size)));
    first_position += static_cast<int64_t>(group_size);
  }
  return summarise(t, tally);
}

}  // namespace yolodist::train
