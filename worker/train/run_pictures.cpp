// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/run_pictures.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "common/base/text.h"
#include "worker/data/pipeline.h"
#include "worker/eval/nms.h"
#include "worker/pictures/pictures.h"
#include "worker/train/shard_loader.h"

namespace yolodist::train {
namespace {

constexpr int64_t drawn_batches = 3;

bool draws(const Training& t) {
  return t.is_leader() && !t.options.no_plots;
}

std::vector<data::Sample> samples_of(const GroupBatch& group) {
  const int64_t bytes = group.images.numel() / group.images.size(0);
  const uint8_t* pixels = group.images.const_data_ptr<uint8_t>();
  std::vector<data::Sample> samples(group.pictures.size());
  for (size_t i = 0; i < samples.size(); ++i, pixels += bytes) {
    samples[i].picture_index = group.pictures[i];
    samples[i].height_px = static_cast<int>(group.images.size(2));
    samples[i].width_px = static_cast<int>(group.images.size(3));
    samples[i].pixels.assign(pixels, pixels + bytes);
  }
  for (const loss::BatchTarget& target : group.targets) {
    samples[static_cast<size_t>(target.image)].targets.push_back(
        {static_cast<int>(target.class_index), target.x, target.y, target.w, target.h});
  }
  return samples;
}

std::vector<std::vector<eval::Detection>> detect(const Training& t, const model::Model& model,
                                                 const std::vector<data::Sample>& samples) {
  const c10::NoGradGuard no_grad;
  const at::Tensor images = to_group(samples, 0).images.to(t.device).to(t.dtype).div_(255);
  const at::Tensor rows =
      model::decode(model, model::forward(model, images, nullptr)).to(at::kCPU, at::kFloat).contiguous();
  const size_t row_count = static_cast<size_t>(rows.size(1) * rows.size(2));
  eval::NmsOptions options;
  options.confidence = pictures::kDrawnConfidence;
  std::vector<std::vector<eval::Detection>> found;
  for (size_t i = 0; i < samples.size(); ++i) {
    found.push_back(eval::suppress({rows.const_data_ptr<float>() + i * row_count, row_count},
                                   t.data_set.class_count(), options));
  }
  return found;
}

void draw_validation_batch(const Training& t, const model::Model& model, int64_t batch) {
  const size_t first = static_cast<size_t>(batch) * static_cast<size_t>(t.val_batches.batch_size);
  const size_t count = std::min<size_t>({static_cast<size_t>(t.val_batches.batch_size),
                                         pictures::kBatchPictures, t.val_batches.order.size() - first});
  const data::Shape shape = t.val_batches.shapes[static_cast<size_t>(batch)];
  std::vector<data::Sample> samples;
  for (size_t i = first; i < first + count; ++i) {
    samples.push_back(data::validation_sample(t.val_pictures, t.val_batches.order[i], shape.height_px,
                                              shape.width_px, t.imgsz_px, t.decode_failures.get()));
  }
  const std::string name = cat("val_batch", batch);
  pictures::draw_targets(t.run.root / (name + "_labels.jpg"), samples, t.val_pictures, t.data_set.names);
  pictures::draw_detections(t.run.root / (name + "_pred.jpg"), samples, detect(t, model, samples),
                            t.val_pictures, t.data_set.names);
}

}  // namespace

void draw_start(const Training& t) {
  if (draws(t)) {
    pictures::draw_labels(t.run.root / "labels.jpg", t.train_pictures, t.data_set.names);
  }
}

void draw_batch(const Training& t, const std::vector<GroupBatch>& groups) {
  if (!draws(t) || t.iteration() >= drawn_batches || groups.empty()) {
    return;
  }
  std::vector<data::Sample> samples;
  for (const GroupBatch& group : groups) {
    for (data::Sample& sample : samples_of(group)) {
      samples.push_back(std::move(sample));
    }
  }
  samples.resize(std::min<size_t>(samples.size(), pictures::kBatchPictures));
  pictures::draw_targets(t.run.root / cat("train_batch", t.iteration(), ".jpg"), samples, t.train_pictures,
                         t.data_set.names);
}

void draw_end(const Training& t, const model::Model& model, const eval::Metrics& metrics) {
  if (!draws(t)) {
    return;
  }
  const int64_t batches = std::min<int64_t>(drawn_batches, static_cast<int64_t>(t.val_batches.shapes.size()));
  for (int64_t batch = 0; batch < batches; ++batch) {
    draw_validation_batch(t, model, batch);
  }
  pictures::draw_curves(t.run.root, metrics.detail, t.data_set.names);
  pictures::draw_results(t.run.root / "results.png", t.run.results_csv());
}

}  // namespace yolodist::train
