// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/shard_loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "common/base/error.h"
#include "worker/data/draws.h"
#include "worker/data/pipeline.h"
#include "worker/data/sampler.h"

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

}  // namespace

int loader_threads(const Training& t) {
  return std::max(1, std::min(t.options.workers, t.threads));
}

EpochCut cut_of_batch(const Training& t, int batch) {
  EpochCut cut;
  cut.picture_count = std::min(t.global_batch(), t.picture_count() - batch * t.global_batch());
  cut.group_sizes = data::groups_of(cut.picture_count, t.options.bn_group);
  cut.groups_of_rank = data::assign_groups(cut.group_sizes, t.world_size, t.options.shard);
  return cut;
}

ShardLoader::ShardLoader(const Training& t) : training_(t), batch_(t.state.batch) {
  for (int batch = batch_; batch < t.batches_an_epoch(); ++batch) {
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
    items_of_batch_.push_back(items_.size() - before);
  }
  const size_t largest =
      items_of_batch_.empty() ? 0 : *std::max_element(items_of_batch_.begin(), items_of_batch_.end());
  const int epoch = t.state.epoch;
  const auto make = [&t, items = items_, epoch,
                     order = data::epoch_order(t.options.seed, epoch, t.picture_count())](int64_t item) {
    const int position = items[static_cast<size_t>(item)].position;
    const data::Draws draws =
        data::draw_sample(t.hyp, t.picture_count(), t.imgsz_px, t.options.seed, epoch, position);
    return data::training_sample(t.train_pictures, order[static_cast<size_t>(position)], draws, t.hyp,
                                 t.imgsz_px, t.options.augment,
                                 {.failures = t.decode_failures.get(), .rect = std::nullopt});
  };
  loader_ = std::make_unique<data::Loader>(make, first_numbers(items_.size()), loader_options(t, largest));
}

std::vector<GroupBatch> ShardLoader::next() {
  const size_t count = items_of_batch_.at(static_cast<size_t>(
      batch_ - (training_.batches_an_epoch() - static_cast<int>(items_of_batch_.size()))));
  ++batch_;
  std::vector<GroupBatch> groups;
  std::vector<data::Sample> samples;
  for (size_t i = 0; i < count; ++i) {
    const int group = items_[next_item_].group;
    samples.push_back(loader_->next().value());
    ++next_item_;
    const bool ends_group = i + 1 == count || items_[next_item_].group != group;
    if (ends_group) {
      groups.push_back(to_group(samples, group));
      samples.clear();
    }
  }
  return groups;
}

std::vector<size_t> validation_group_sizes(const Training& t) {
  const size_t pictures = t.val_batches.order.size(), size = static_cast<size_t>(t.val_batches.batch_size);
  std::vector<size_t> sizes;
  for (size_t begin = 0; begin < pictures; begin += size) {
    sizes.push_back(std::min(size, pictures - begin));
  }
  return sizes;
}

Slice slice_of(size_t count, int rank, int world_size) {
  const size_t r = static_cast<size_t>(rank), w = static_cast<size_t>(world_size);
  return {count * r / w, count * (r + 1) / w};
}

ValidationLoader::ValidationLoader(const Training& t) {
  struct Item {
    int picture;
    data::Shape shape;
  };
  std::vector<Item> items;
  size_t begin = 0, group = 0, largest = 0;
  for (const size_t size : validation_group_sizes(t)) {
    const Slice slice = slice_of(size, t.rank, t.world_size);
    for (size_t i = slice.begin; i < slice.end; ++i) {
      items.push_back({t.val_batches.order[begin + i], t.val_batches.shapes[group]});
    }
    largest = std::max(largest, slice.end - slice.begin);
    begin += size;
    ++group;
  }
  const size_t count = items.size();
  const auto make = [&t, items = std::move(items)](int64_t item) {
    const size_t i = static_cast<size_t>(item);
    return data::validation_sample(t.val_pictures, items[i].picture, items[i].shape.height_px,
                                   items[i].shape.width_px, t.imgsz_px, t.decode_failures.get());
  };
  loader_ = std::make_unique<data::Loader>(make, first_numbers(count), loader_options(t, largest));
}

std::vector<data::Sample> ValidationLoader::next(size_t count) {
  std::vector<data::Sample> samples;
  for (size_t i = 0; i < count; ++i) {
    samples.push_back(loader_->next().value());
  }
  return samples;
}

GroupBatch to_group(const std::vector<data::Sample>& samples, int group_index) {
  GroupBatch group;
  group.group_index = group_index;
  if (samples.empty()) {
    return group;
  }
  const int64_t height = samples[0].height_px, width = samples[0].width_px;
  group.images = at::empty({static_cast<int64_t>(samples.size()), 3, height, width},
                           at::TensorOptions().dtype(at::kByte));
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
