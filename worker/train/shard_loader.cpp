// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/shard_loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "common/base/error.h"
#include "worker/data/draws.h"
#include "worker/data/image_weights.h"
#include "worker/data/multi_scale.h"
#include "worker/data/pipeline.h"
#include "worker/data/sampler.h"
#include "worker/memory/mark.h"

namespace yolodist::train {
namespace {

// Enough decoded pictures in reserve that an iteration does not wait, in a bounded amount of memory.
data::LoaderOptions loader_options(const Training& t, size_t pictures_an_iteration) {
  data::LoaderOptions options;
  options.threads = loader_threads(t);
  options.prefetch_samples =
      std::max<size_t>(2 * pictures_an_iteration, static_cast<size_t>(options.threads));
  return options;
}

std::vector<int64_t> first_numbers(size_t count) {
  std::vector<int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

// Which picture stands at which position of the epoch.
std::vector<int> order_of_epoch(const Training& t) {
  if (t.train_batches) {
    return t.train_batches->order;
  }
  if (t.options.image_weights) {
    std::vector<double> maps = t.state.last_validation.maps;
    maps.resize(t.class_weights.size(), 0.0);
    return data::weighted_epoch_order(data::image_weights(t.train_pictures, t.class_weights, maps),
                                      t.options.seed, t.state.epoch);
  }
  return data::epoch_order(t.options.seed, t.state.epoch, t.picture_count());
}

}  // namespace

int loader_threads(const Training& t) {
  return std::max(1, std::min(t.options.workers, t.threads));
}

data::Shape shape_of_batch(const Training& t, int batch) {
  const data::Shape shape = t.train_batches ? t.train_batches->shapes[static_cast<size_t>(batch)]
                                            : data::Shape{t.imgsz_px, t.imgsz_px};
  if (!t.options.multi_scale) {
    return shape;
  }
  const int stride = std::max(t.model->spec.max_stride_px(), 32);
  const int side = data::multi_scale_side(t.options.seed, t.state.epoch, batch, t.imgsz_px, stride);
  return data::scaled_shape(shape, side, stride);
}

EpochCut cut_of_batch(const Training& t, int batch) {
  EpochCut cut;
  cut.picture_count = std::min(t.global_batch(), t.picture_count() - batch * t.global_batch());
  cut.group_sizes = data::groups_of(cut.picture_count, t.options.bn_group);
  cut.groups_of_rank = data::assign_groups(cut.group_sizes, t.world_size, t.shard);
  return cut;
}

ShardLoader::ShardLoader(const Training& t) {
  for (int batch = t.state.batch; batch < t.batches_an_epoch(); ++batch) {
    const EpochCut cut = cut_of_batch(t, batch);
    const size_t before = items_.size();
    for (const int group : cut.groups_of_rank.at(static_cast<size_t>(t.rank))) {
      int position = batch * t.global_batch();
      for (int g = 0; g < group; ++g) {
        position += cut.group_sizes[static_cast<size_t>(g)];
      }
      for (int i = 0; i < cut.group_sizes[static_cast<size_t>(group)]; ++i) {
        items_.push_back({position + i, group});
      }
    }
    items_of_iteration_.push_back(items_.size() - before);
  }
  const size_t largest = items_of_iteration_.empty()
                             ? 0
                             : *std::max_element(items_of_iteration_.begin(), items_of_iteration_.end());
  const int epoch = t.state.epoch;
  const auto make = [&t, items = items_, epoch, order = order_of_epoch(t)](int64_t item) {
    const int position = items[static_cast<size_t>(item)].position;
    data::Draws draws =
        data::draw_sample(t.hyp, t.picture_count(), t.imgsz_px, t.options.seed, epoch, position);
    if (t.options.image_weights) {
      data::take_partners_from(draws, order);
    }
    data::SampleContext context;
    context.failures = t.decode_failures.get();
    context.cache = t.train_cache.get();
    if (t.train_batches) {
      context.rect = t.train_batches->shapes[static_cast<size_t>(position / t.global_batch())];
    }
    return data::training_sample(t.train_pictures, order[static_cast<size_t>(position)], draws, t.hyp,
                                 t.imgsz_px, t.options.augment, context);
  };
  loader_ = std::make_unique<data::Loader>(make, first_numbers(items_.size()), loader_options(t, largest));
  if (t.device.is_cuda()) {
    upload_ = std::make_unique<Upload>(t.device);
  }
  begin_ahead();
}

ShardLoader::~ShardLoader() {
  is_stopping_ = true;
  if (ahead_.valid()) {
    ahead_.wait();
  }
}

void ShardLoader::begin_ahead() {
  if (begun_iterations_ == items_of_iteration_.size()) {
    return;
  }
  const size_t first = begun_items_, count = items_of_iteration_[begun_iterations_];
  begun_items_ += count;
  ++begun_iterations_;
  ahead_ = std::async(std::launch::async, [this, first, count] { return put_together(first, count); });
}

std::vector<GroupBatch> ShardLoader::next() {
  check(ahead_.valid(), "the epoch has another iteration");
  std::vector<GroupBatch> groups = ahead_.get();
  if (upload_) {
    upload_->hand_over();
  }
  begin_ahead();
  return groups;
}

// On the thread ahead.
std::vector<GroupBatch> ShardLoader::put_together(size_t first_item, size_t count) {
  const memory::PhaseScope phase(memory::Phase::data);
  std::vector<GroupBatch> groups;
  std::vector<data::Sample> samples;
  for (size_t i = first_item; i < first_item + count && !is_stopping_; ++i) {
    samples.push_back(loader_->next().value());
    const bool ends_group = i + 1 == first_item + count || items_[i + 1].group != items_[i].group;
    if (ends_group) {
      groups.push_back(to_group(samples, items_[i].group, /*is_pinned=*/upload_ != nullptr));
      samples.clear();
    }
  }
  if (upload_ && !is_stopping_) {
    upload_->start(groups);
  }
  return groups;
}

GroupBatch to_group(std::span<const data::Sample> samples, int group_index, bool is_pinned) {
  GroupBatch group;
  group.group_index = group_index;
  if (samples.empty()) {
    return group;
  }
  const memory::KindScope staging(memory::Kind::host);
  const int64_t height = samples[0].height_px, width = samples[0].width_px;
  group.images = at::empty({static_cast<int64_t>(samples.size()), 3, height, width},
                           at::TensorOptions().dtype(at::kByte).pinned_memory(is_pinned));
  uint8_t* to = group.images.mutable_data_ptr<uint8_t>();
  for (size_t i = 0; i < samples.size(); ++i) {
    check(samples[i].height_px == height && samples[i].width_px == width,
          "pictures of a group have one size");
    std::memcpy(to, samples[i].pixels.data(), samples[i].pixels.size());
    to += samples[i].pixels.size();
    group.pictures.push_back(samples[i].picture_index);
    for (const data::Target& target : samples[i].targets) {
      group.targets.push_back(
          {static_cast<int64_t>(i), target.class_index, target.x, target.y, target.w, target.h});
    }
  }
  return group;
}

}  // namespace yolodist::train
