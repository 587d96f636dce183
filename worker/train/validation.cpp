// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/validation.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>
#include <utility>

#include "common/base/error.h"
#include "worker/data/pipeline.h"
#include "worker/eval/image_statistics.h"
#include "worker/eval/matching.h"
#include "worker/memory/mark.h"
#include "worker/train/shard_loader.h"

namespace yolodist::train {
namespace {

using Clock = std::chrono::steady_clock;
using Found = std::vector<std::vector<eval::Detection>>;

constexpr std::chrono::minutes validation_patience{30};  // a rank may have slower pictures than another

// Adds the time since the last lap to `sum`.
class StopWatch {
 public:
  void lap(double& sum_ms) {
    const auto now = Clock::now();
    sum_ms += std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
  }
  void restart() { last_ = Clock::now(); }

 private:
  Clock::time_point last_ = Clock::now();
};

// What this rank found.
struct Tally {
  std::vector<eval::ImageStatistics> images;
  eval::ConfusionMatrix confusion;
  loss::LossItems losses;
  ValidationSpeed sums;  // over the pictures of this rank
};

size_t group_count(const ValidationJob& job) {
  return job.groups->shapes.size();
}

size_t group_begin(const ValidationJob& job, size_t group) {
  return group * static_cast<size_t>(job.groups->batch_size);
}

size_t group_size(const ValidationJob& job, size_t group) {
  return std::min(static_cast<size_t>(job.groups->batch_size),
                  job.groups->order.size() - group_begin(job, group));
}

data::Sample sample_at(const ValidationJob& job, size_t group, size_t position) {
  const data::Shape shape = job.groups->shapes[group];
  return data::validation_sample(*job.pictures, job.groups->order[position], shape.height_px, shape.width_px,
                                 job.imgsz_px, job.failures, job.cache);
}

// This rank's slices of the groups, in order, prefetched by decoding threads.
class GroupLoader {
 public:
  explicit GroupLoader(const ValidationJob& job) {
    struct Item {
      size_t group, position;
    };
    std::vector<Item> items;
    size_t largest = 0;
    for (size_t group = 0; group < group_count(job); ++group) {
      const Slice slice =
          slice_of(group_size(job, group), job.communicator->rank(), job.communicator->world_size());
      for (size_t i = slice.begin; i < slice.end; ++i) {
        items.push_back({group, group_begin(job, group) + i});
      }
      largest = std::max(largest, slice.end - slice.begin);
    }
    std::vector<int64_t> work(items.size());
    std::iota(work.begin(), work.end(), int64_t{0});
    data::LoaderOptions options;
    options.threads = job.loader_threads;
    options.prefetch_samples = std::max(static_cast<int>(2 * largest), options.threads);
    const auto make = [&job, items = std::move(items)](int64_t item) {
      const Item& wanted = items[static_cast<size_t>(item)];
      return sample_at(job, wanted.group, wanted.position);
    };
    loader_ = std::make_unique<data::Loader>(make, std::move(work), options);
  }
  std::vector<data::Sample> next(size_t count) {
    std::vector<data::Sample> samples;
    for (size_t i = 0; i < count; ++i) {
      samples.push_back(loader_->next().value());
    }
    return samples;
  }

 private:
  std::unique_ptr<data::Loader> loader_;
};

at::Tensor images_of(const ValidationJob& job, const model::Model& model,
                     std::span<const data::Sample> samples) {
  return to_group(samples, 0).images.to(job.device).to(model.compute_dtype()).div_(255);
}

// fp32 in host memory; a copy out of a card is staging and not part of its budget.
at::Tensor on_host(const at::Tensor& decoded) {
  const memory::KindScope kind(decoded.is_cuda() ? memory::Kind::host : memory::current_mark().kind);
  return decoded.to(at::kCPU, at::kFloat).contiguous();
}

// Source: ultralytics/yolov5 v7.0 utils/general.py, non_max_suppression with `labels`.
void append_labels(std::vector<float>& rows, const data::Sample& sample, int class_count) {
  for (const data::Target& target : sample.targets) {
    const float width = static_cast<float>(sample.width_px), height = static_cast<float>(sample.height_px);
    rows.insert(rows.end(), {target.x * width, target.y * height, target.w * width, target.h * height, 1.0F});
    for (int c = 0; c < class_count; ++c) {
      rows.push_back(c == target.class_index ? 1.0F : 0.0F);
    }
  }
}

// `decoded`: [N, rows, 5 + classes of the model] as fp32 in host memory.
Found suppressed(const ValidationJob& job, const at::Tensor& decoded, std::span<const data::Sample> samples) {
  const size_t row_count = static_cast<size_t>(decoded.size(1) * decoded.size(2));
  const int classes = static_cast<int>(decoded.size(2)) - 5;
  Found found;
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::span<const float> rows(decoded.const_data_ptr<float>() + i * row_count, row_count);
    if (job.adds_labels) {
      std::vector<float> more(rows.begin(), rows.end());
      append_labels(more, samples[i], classes);
      found.push_back(eval::suppress(more, classes, job.nms));
    } else {
      found.push_back(eval::suppress(rows, classes, job.nms));
    }
    if (job.single_cls) {
      for (eval::Detection& detection : found.back()) {
        detection.class_index = 0;
      }
    }
  }
  return found;
}

void judge(const ValidationJob& job, const ValidatedPiece& piece, Tally& tally) {
  for (size_t i = 0; i < piece.samples.size(); ++i) {
    const data::Sample& sample = piece.samples[i];
    const auto detections = eval::native_detections(piece.detections[i], sample.fitting);
    const auto labels =
        eval::native_labels(sample.targets, sample.height_px, sample.width_px, sample.fitting);
    tally.images.push_back(
        eval::statistics_of(static_cast<int64_t>(piece.first_position + i), detections, labels));
    if (job.counts_confusion) {
      eval::add(tally.confusion, detections, labels);
    }
  }
}

void add(loss::LossItems& sum, const loss::LossItems& items) {
  sum.box += items.box;
  sum.objectness += items.objectness;
  sum.classes += items.classes;
}

// What a forward over a piece leaves.
struct Outcome {
  std::vector<at::Tensor> raw;
  at::Tensor decoded;  // in host memory
};

Outcome run_network(const ValidationJob& job, const model::Model& model,
                    std::span<const data::Sample> samples, StopWatch& watch, ValidationSpeed& sums) {
  const memory::PhaseScope phase(memory::Phase::validation);
  at::Tensor images = images_of(job, model, samples);
  watch.lap(sums.load_ms);
  Outcome outcome;
  outcome.raw = model::forward(model, std::move(images), nullptr);
  outcome.decoded = on_host(model::decode(model, outcome.raw));
  watch.lap(sums.inference_ms);
  return outcome;
}

// What one forward takes of them.
std::span<const data::Sample> piece_of(const ValidationJob& job, std::span<const data::Sample> samples,
                                       size_t begin) {
  const size_t most =
      job.pictures_a_forward > 0 ? static_cast<size_t>(job.pictures_a_forward) : samples.size();
  return samples.subspan(begin, std::min(most, samples.size() - begin));
}

void validate_group(ValidationJob& job, const model::Model& model, size_t group, GroupLoader& loader,
                    Tally& tally) {
  const size_t size = group_size(job, group);
  const Slice slice = slice_of(size, job.communicator->rank(), job.communicator->world_size());
  StopWatch watch;
  const std::vector<data::Sample> samples = loader.next(slice.end - slice.begin);
  loss::Normalisers normalisers;
  if (job.loss_of) {
    normalisers = job.normalisers_of(size, samples);
  }
  for (size_t begin = 0; begin < samples.size();) {
    const std::span<const data::Sample> part = piece_of(job, samples, begin);
    try {
      const Outcome outcome = run_network(job, model, part, watch, tally.sums);
      const Found detections = suppressed(job, outcome.decoded, part);
      watch.lap(tally.sums.nms_ms);
      const ValidatedPiece piece{group_begin(job, group) + slice.begin + begin, part, outcome.raw,
                                 detections};
      // What may run out of memory comes first, so that nothing is counted twice.
      const loss::LossItems losses = job.loss_of ? job.loss_of(piece, normalisers) : loss::LossItems{};
      add(tally.losses, losses);
      judge(job, piece, tally);
      if (job.on_piece) {
        job.on_piece(piece);
      }
    } catch (const c10::OutOfMemoryError&) {
      if (!job.on_shortage) {
        throw;
      }
      job.pictures_a_forward = job.on_shortage(static_cast<int>(part.size()));
      continue;
    }
    begin += part.size();
    watch.restart();
  }
}

ValidationReport summarise(const ValidationJob& job, Tally& tally) {
  const Deadline deadline = Deadline::after(validation_patience);
  comm::Communicator& communicator = *job.communicator;
  const std::vector<std::string> ranks =
      comm::all_gather_strings(communicator, eval::to_bytes(tally.images), deadline);
  std::vector<double> sums = {tally.losses.box,   tally.losses.objectness, tally.losses.classes,
                              tally.sums.load_ms, tally.sums.inference_ms, tally.sums.nms_ms};
  comm::all_reduce_sum(communicator, std::span<double>(sums), deadline);
  ValidationReport report;
  report.metrics = eval::summarize(eval::merged(ranks));
  const double groups = static_cast<double>(group_count(job));
  report.result = {report.metrics.precision,
                   report.metrics.recall,
                   report.metrics.map50,
                   report.metrics.map,
                   {sums[0] / groups, sums[1] / groups, sums[2] / groups},
                   eval::map_per_class(report.metrics, job.class_count)};
  const double pictures = static_cast<double>(report.metrics.images);
  report.speed = {sums[3] / pictures, sums[4] / pictures, sums[5] / pictures};
  report.confusion = std::move(tally.confusion);
  if (job.counts_confusion) {
    comm::all_reduce_sum(communicator, std::span<int64_t>(report.confusion.counts), deadline);
  }
  return report;
}

std::vector<loss::LevelMatches> matches_of(const Training& t, std::span<const data::Sample> samples) {
  std::vector<loss::LevelShape> shapes;
  for (const int stride : t.model->spec.strides_px) {
    shapes.push_back({samples[0].height_px / stride, samples[0].width_px / stride});
  }
  return loss::match_targets(to_group(samples, 0).targets, t.anchors, shapes,
                             static_cast<float>(t.hyp.anchor_t));
}

// A group's loss is that of one batch: its match counts come from all ranks' slices.
loss::Normalisers group_normalisers(Training& t, size_t size, std::span<const data::Sample> slice) {
  std::vector<int64_t> counts(t.anchors.size(), 0);
  if (!slice.empty()) {
    const std::vector<loss::LevelMatches> matches = matches_of(t, slice);
    std::transform(matches.begin(), matches.end(), counts.begin(), [](const auto& m) { return m.count(); });
  }
  comm::all_reduce_sum(*t.communicator, std::span<int64_t>(counts), Deadline::after(validation_patience));
  return {std::move(counts), static_cast<int64_t>(size)};
}

loss::LossItems piece_loss(Training& t, const ValidatedPiece& piece, const loss::Normalisers& normalisers) {
  const memory::PhaseScope phase(memory::Phase::validation);
  return loss::detection_loss(piece.raw, matches_of(t, piece.samples), normalisers, t.scaled_hyp).items;
}

}  // namespace

ValidationReport validate(ValidationJob& job, const model::Model& model) {
  const c10::NoGradGuard no_grad;
  Tally tally{{}, eval::ConfusionMatrix(job.counts_confusion ? job.class_count : 0), {}, {}};
  GroupLoader loader(job);
  for (size_t group = 0; group < group_count(job); ++group) {
    validate_group(job, model, group, loader, tally);
  }
  return summarise(job, tally);
}

ValidationJob validation_job(Training& t) {
  ValidationJob job;
  job.communicator = t.communicator.get();
  job.device = t.device;
  job.loader_threads = loader_threads(t);
  job.pictures = &t.val_pictures;
  job.groups = &t.val_batches;
  job.imgsz_px = t.imgsz_px;
  job.class_count = t.data_set.class_count();
  job.failures = t.decode_failures.get();
  job.cache = t.val_cache.get();
  job.nms.agnostic = t.options.single_cls;
  job.counts_confusion = true;
  job.pictures_a_forward = t.validation_pictures;
  job.normalisers_of = [&t](size_t size, std::span<const data::Sample> slice) {
    return group_normalisers(t, size, slice);
  };
  job.loss_of = [&t](const ValidatedPiece& piece, const loss::Normalisers& normalisers) {
    return piece_loss(t, piece, normalisers);
  };
  return job;
}

ValidationReport validate(Training& t, const model::Model& model) {
  ValidationJob job = validation_job(t);
  return validate(job, model);
}

Slice slice_of(size_t count, int rank, int world_size) {
  const size_t r = static_cast<size_t>(rank), w = static_cast<size_t>(world_size);
  return {count * r / w, count * (r + 1) / w};
}

std::vector<data::Sample> samples_of_group(const ValidationJob& job, size_t group, size_t begin, size_t end) {
  std::vector<data::Sample> samples;
  for (size_t position = begin; position < end; ++position) {
    samples.push_back(sample_at(job, group, position));
  }
  return samples;
}

Found find_objects(const ValidationJob& job, const model::Model& model,
                   std::span<const data::Sample> samples) {
  const c10::NoGradGuard no_grad;
  const memory::PhaseScope phase(memory::Phase::validation);
  Found found;
  for (size_t begin = 0; begin < samples.size();) {
    const std::span<const data::Sample> part = piece_of(job, samples, begin);
    const at::Tensor decoded =
        model::decode(model, model::forward(model, images_of(job, model, part), nullptr));
    Found of_part = suppressed(job, on_host(decoded), part);
    std::move(of_part.begin(), of_part.end(), std::back_inserter(found));
    begin += part.size();
  }
  return found;
}

}  // namespace yolodist::train
