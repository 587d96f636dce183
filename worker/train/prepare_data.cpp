// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/prepare_data.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/data/auto_anchor.h"
#include "worker/data/cache_opening.h"
#include "worker/data/image_weights.h"
#include "worker/data/index_bytes.h"
#include "worker/data/picture_list.h"
#include "worker/train/start_check.h"

namespace yolodist::train {
namespace {

constexpr std::chrono::minutes scan_patience{30};  // a scan of a large set on slow storage

// Each rank opens a share of the pictures and labels and tells the others what it found.
data::Index scan(const Training& t, const std::string& what,
                 const std::vector<std::filesystem::path>& entries) {
  data::ScanOptions options;
  options.labels.class_count = t.data_set.class_count();
  options.labels.data_file = t.data_set.file;
  options.labels.single_cls = t.options.single_cls;
  options.threads = std::max(1, t.threads);
  const std::vector<std::filesystem::path> pictures = data::list_pictures(entries);
  require_same(*t.communicator, {shared_list(what, pictures)});
  const std::string mine = data::scan_part(pictures, t.rank, t.world_size, options);
  data::Index index =
      data::join_scan_parts(comm::all_gather_strings(*t.communicator, mine, Deadline::after(scan_patience)));
  data::require_pictures(index, entries);
  return index;
}

std::unique_ptr<data::PictureCache> open_cache(const Training& t, const data::Index& index, bool for_training,
                                               int64_t promised_bytes) {
  data::CacheOptions options;
  options.kind = t.options.cache == "disk" ? data::CacheKind::disk : data::CacheKind::ram;
  if (options.kind == data::CacheKind::disk) {
    options.folder = t.options.cache_dir;
  }
  options.side_px = t.imgsz_px;
  options.for_training = for_training;
  options.promised_bytes = promised_bytes;
  data::CacheOpening opening = data::open_picture_cache(index, options);
  if (!opening.refusal.empty() && t.is_leader()) {
    log::warning(opening.refusal);
  }
  return std::move(opening.cache);
}

void open_caches(Training& t) {
  if (t.options.cache.empty()) {
    return;
  }
  t.train_cache = open_cache(t, t.train_pictures, /*for_training=*/true, 0);
  t.val_cache = open_cache(t, t.val_pictures, /*for_training=*/false,
                           t.train_cache ? t.train_cache->missing_bytes() : 0);
}

// Rank 0's anchors everywhere, to the bit.
void share_anchors(Training& t, at::Tensor& anchors) {
  at::Tensor values = anchors.detach().to(at::kCPU, at::kDouble).contiguous();
  t.communicator->broadcast(values.mutable_data_ptr<double>(), values.nbytes(), 0)
      ->wait(Deadline::after(scan_patience));
  anchors.copy_(values);
}

}  // namespace

void read_pictures(Training& t) {
  t.train_pictures = scan(t, "the list of training pictures", t.data_set.train);
  data::require_boxes(t.train_pictures, t.data_set.train);
  t.val_pictures = scan(t, "the list of validation pictures", t.data_set.val);
  t.decode_failures =
      std::make_unique<data::DecodeFailures>([](const data::Picture& picture, const std::string& reason) {
        log::warning(cat("data: ", picture.path.string(), " can no longer be read (", reason,
                         "); a grey picture stands in for it"));
      });
  if (!t.is_leader()) {
    return;
  }
  try {
    write_file_atomically(t.run.data_log(), data::scan_report(t.train_pictures.scan, "train") +
                                                data::scan_report(t.val_pictures.scan, "val"));
  } catch (const StorageError& error) {
    log::warning(error.what());  // nobody needs it to train
  }
  for (const data::Index* index : {&t.train_pictures, &t.val_pictures}) {
    const data::Scan& found = index->scan;
    log::info(cat(index == &t.train_pictures ? "train: " : "val: ", index->pictures.size(), " pictures, ",
                  index->box_count(), " boxes, ", found.missing + found.empty, " backgrounds"));
    if (const std::string line = data::left_out_line(found); !line.empty()) {
      log::warning(line);
    }
  }
}

void plan_pictures(Training& t, int max_stride_px) {
  const int stride_px = std::max(max_stride_px, 32);
  std::vector<data::Shape> native;
  for (const data::Picture& picture : t.val_pictures.pictures) {
    native.push_back({picture.height_px, picture.width_px});
  }
  // Source: ultralytics/yolov5 v7.0 train.py: twice the training batch, padded by half a stride.
  const int batch = t.options.val_batch > 0 ? t.options.val_batch : 2 * t.options.global_batch;
  t.val_batches = data::rect_batches(native, batch, t.imgsz_px, stride_px, 0.5);
  if (t.options.rect) {
    t.train_batches =
        data::training_rect_batches(t.train_pictures, t.options.global_batch, t.imgsz_px, stride_px);
  }
  if (t.options.image_weights) {
    t.class_weights = data::class_weights(t.train_pictures, t.data_set.class_count());
  }
  open_caches(t);
}

void fit_anchors(Training& t) {
  const c10::NoGradGuard no_grad;
  const int anchors_a_level = t.model->spec.anchors_per_level();
  if (t.hyp.anchors > 0 && std::lround(t.hyp.anchors) != anchors_a_level) {
    throw DataError(cat("hyp.anchors asks for ", std::lround(t.hyp.anchors),
                        " anchors a level, the model has ", anchors_a_level),
                    "Give the model yaml that many anchors a level.");
  }
  data::Anchors current(t.anchors.size());
  for (size_t level = 0; level < t.anchors.size(); ++level) {
    for (size_t a = 0; a < t.anchors[level].size(); ++a) {
      const double stride = t.model->spec.strides_px[level];
      // hyp.anchors means that the model's own do not count: placeholders that fit nothing take their place.
      const double index = static_cast<double>(2 * a);
      current[level].push_back(
          t.hyp.anchors > 0 ? data::Anchor{index, index + 1}
                            : data::Anchor{t.anchors[level][a][0] * stride, t.anchors[level][a][1] * stride});
    }
  }
  const data::AnchorReport report =
      data::check_anchors(t.train_pictures, current, t.hyp.anchor_t, t.imgsz_px, t.options.seed);
  if (t.is_leader()) {
    for (const std::string& line : report.lines) {
      log::info(line);
    }
  }
  at::Tensor anchors = t.model->state.at(cat("model.", t.model->spec.layers.back().index, ".anchors"));
  if (report.better) {
    for (size_t level = 0; level < report.better->size(); ++level) {
      for (size_t a = 0; a < (*report.better)[level].size(); ++a) {
        const at::Tensor sides =
            anchors.select(0, static_cast<int64_t>(level)).select(0, static_cast<int64_t>(a));
        for (int64_t side = 0; side < 2; ++side) {
          const double side_px = (*report.better)[level][a][static_cast<size_t>(side)];
          sides.select(0, side).fill_(side_px / t.model->spec.strides_px[level]);
        }
      }
    }
    t.model->spec.anchors_px = *report.better;
  }
  share_anchors(t, anchors);
  t.anchors = model::grid_anchors(*t.model);
}

}  // namespace yolodist::train
