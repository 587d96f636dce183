// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "worker/data/loader.h"
#include "worker/eval/confusion_matrix.h"
#include "worker/eval/nms.h"
#include "worker/eval/summary.h"
#include "worker/train/training.h"

namespace yolodist::data {
class PictureCache;
}

namespace yolodist::train {

// Pictures of a group that one forward of this rank has taken: its slice of the group, or a piece of that.
struct ValidatedPiece {
  size_t first_position = 0;  // in the validation order
  std::span<const data::Sample> samples;
  const std::vector<at::Tensor>& raw;  // outputs of the network for them, not decoded
  const std::vector<std::vector<eval::Detection>>& detections;  // a list a sample, in input pixels
};

// What is validated, by whom and how. What it points to outlives the call; all of it is equal on all ranks
// but the communicator's rank.
struct ValidationJob {
  comm::Communicator* communicator = nullptr;  // host memory
  at::Device device = at::kCPU;
  int loader_threads = 1;

  const data::Index* pictures = nullptr;
  const data::RectBatches* groups = nullptr;  // their order, and the shape of each
  int imgsz_px = 640;
  int class_count = 0;  // of the data
  data::DecodeFailures* failures = nullptr;
  data::PictureCache* cache = nullptr;

  eval::NmsOptions nms;
  bool single_cls = false;   // whatever class the model says counts as class 0
  bool adds_labels = false;  // labels enter NMS as detections of confidence 1
  bool counts_confusion = false;

  // The loss, if it is wanted. The first is called for every group in order on every rank, so it may be
  // collective: `size` are the pictures of all ranks, `slice` those of this one (none where the group has
  // fewer than ranks). The second for every piece: its share of the group's loss.
  std::function<loss::Normalisers(size_t size, std::span<const data::Sample> slice)> normalisers_of;
  std::function<loss::LossItems(const ValidatedPiece&, const loss::Normalisers&)> loss_of;
  std::function<void(const ValidatedPiece&)> on_piece;  // may be empty

  // At most so many pictures a forward; 0 = a whole slice. Results are the same.
  int pictures_a_forward = 0;
  // Memory ran out with so many pictures: returns with how many to go on, or throws. Empty = not caught.
  std::function<int(int pictures)> on_shortage;
};

// Milliseconds a picture, on the rank that had it: waiting for and converting pixels, the network, NMS.
struct ValidationSpeed {
  double load_ms = 0, inference_ms = 0, nms_ms = 0;
};

struct ValidationReport {
  ValidationResult result;
  eval::Metrics metrics;
  eval::ConfusionMatrix confusion{0};  // with counts_confusion
  ValidationSpeed speed;
};

// Validates a model over all ranks: the groups in order, a slice of each group a rank, which keeps the
// group's shape, so the metrics are the same for any number of ranks. Collective; every rank returns the same
// report. Source: ultralytics/yolov5 v7.0 val.py. Differs: sharded over the ranks, and no time limit in NMS.
// Where memory runs out, job.pictures_a_forward gets smaller.
ValidationReport validate(ValidationJob& job, const model::Model& model);

// The validation of a training run: its val pictures in rect order, with losses and a confusion matrix,
// confidence 0.001, IoU 0.6, 300 detections a picture.
ValidationReport validate(Training& training, const model::Model& model);
ValidationJob validation_job(Training& training);

// The part of a group of `count` pictures that a rank validates.
struct Slice {
  size_t begin = 0, end = 0;
};
Slice slice_of(size_t count, int rank, int world_size);

// Pictures [begin, end) of the order, which lie in group number `group`.
std::vector<data::Sample> samples_of_group(const ValidationJob& job, size_t group, size_t begin, size_t end);

// What the model finds in pictures of one size, in input pixels; job.pictures_a_forward at a time.
std::vector<std::vector<eval::Detection>> find_objects(const ValidationJob& job, const model::Model& model,
                                                       std::span<const data::Sample> samples);

}  // namespace yolodist::train
