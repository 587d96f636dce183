// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/run_pictures.h"

#include <algorithm>
#include <span>

#include "common/base/text.h"
#include "worker/pictures/pictures.h"

namespace yolodist::train {
namespace {

constexpr size_t drawn_batches = 3;

bool draws(const Training& t) {
  return t.is_leader() && !t.options.no_plots;
}

std::vector<data::Sample> samples_of(const GroupBatch& group) {
  const at::Tensor on_host = group.images.to(at::kCPU);
  const int64_t bytes = on_host.numel() / on_host.size(0);
  const uint8_t* pixels = on_host.const_data_ptr<uint8_t>();
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

void draw_validation_batch(const ValidationJob& job, const model::Model& model, size_t batch,
                           const std::filesystem::path& folder, const std::vector<std::string>& names) {
  const size_t size = static_cast<size_t>(job.groups->batch_size), first = batch * size;
  const size_t count = std::min<size_t>({size, pictures::kBatchPictures, job.groups->order.size() - first});
  const std::vector<data::Sample> samples = samples_of_group(job, batch, first, first + count);
  const std::string name = cat("val_batch", batch);
  pictures::draw_targets(folder / (name + "_labels.jpg"), samples, *job.pictures, names);
  pictures::draw_detections(folder / (name + "_pred.jpg"), samples, find_objects(job, model, samples),
                            *job.pictures, names);
}

}  // namespace

void draw_start(const Training& t) {
  if (draws(t)) {
    pictures::draw_labels(t.run.root / "labels.jpg", t.train_pictures, t.data_set.names);
  }
}

void draw_batch(const Training& t, const std::vector<GroupBatch>& groups) {
  if (!draws(t) || t.iteration() >= static_cast<int64_t>(drawn_batches) || groups.empty()) {
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

void draw_end(Training& t, const model::Model& model, const ValidationReport& report) {
  if (!draws(t)) {
    return;
  }
  draw_validation(validation_job(t), model, report, t.run.root, t.data_set.names);
  pictures::draw_results(t.run.root / "results.png", t.run.results_csv());
}

void draw_validation(const ValidationJob& job, const model::Model& model, const ValidationReport& report,
                     const std::filesystem::path& folder, const std::vector<std::string>& names) {
  const size_t batches = std::min(drawn_batches, job.groups->shapes.size());
  for (size_t batch = 0; batch < batches; ++batch) {
    draw_validation_batch(job, model, batch, folder, names);
  }
  pictures::draw_curves(folder, report.metrics.detail, names);
  if (job.counts_confusion) {
    pictures::draw_confusion_matrix(folder / "confusion_matrix.png", report.confusion, names);
  }
}

}  // namespace yolodist::train
