// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/detection_loss.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "common/base/error.h"
#include "worker/loss/box_iou.h"

namespace yolodist::loss {
namespace {

// What is known on the host as a tensor beside the predictions; always a copy.
at::Tensor to_tensor(const std::vector<int64_t>& values, at::Device device) {
  return at::from_blob(const_cast<int64_t*>(values.data()), {static_cast<int64_t>(values.size())}, at::kLong)
      .to(device, at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

at::Tensor to_tensor(const std::vector<float>& values, at::Device device) {
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())}, at::kFloat)
      .to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

// Sum of the elements' binary cross entropies, with YOLOv5's positive weight and focal option.
// Source: ultralytics/yolov5 v7.0 utils/loss.py, FocalLoss (alpha 0.25).
at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, double positive_weight,
                             double gamma) {
  const at::Tensor weight = positive_weight == 1.0
                                ? at::Tensor()
                                : at::full({1}, positive_weight, logits.options().requires_grad(false));
  if (gamma <= 0) {
    return at::binary_cross_entropy_with_logits(logits, labels, {}, weight, at::Reduction::Sum);
  }
  constexpr double alpha = 0.25;
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(logits, labels, {}, weight, at::Reduction::None);
  const at::Tensor probability = at::sigmoid(logits);
  const at::Tensor right = labels * probability + (1 - labels) * (1 - probability);
  const at::Tensor class_weight = labels * alpha + (1 - labels) * (1 - alpha);
  return (entropy * class_weight * (1 - right).pow(gamma)).sum();
}

// The objectness each cell should have: its detached CIoU where it answers for a target, 0 elsewhere. A cell
// that answers for several keeps the last in order of emission.
at::Tensor objectness_labels(const at::Tensor& raw, const LevelMatches& matches, const at::Tensor& iou) {
  at::Tensor labels = at::zeros({raw.size(0), raw.size(1), raw.size(2), raw.size(3)},
                                at::TensorOptions().dtype(raw.scalar_type()));
  if (matches.count() == 0) {
    return labels.to(raw.device());
  }
  const at::Tensor values = at::clamp_min(iou.detach(), 0).to(at::kCPU, at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  const int64_t anchors = raw.size(1), rows = raw.size(2), columns = raw.size(3);
  const auto write = [&](auto* cells) {
    for (size_t k = 0; k < matches.image.size(); ++k) {
      const int64_t at_cell =
          ((matches.image[k] * anchors + matches.anchor[k]) * rows + matches.row[k]) * columns +
          matches.column[k];
      cells[at_cell] = static_cast<std::remove_pointer_t<decltype(cells)>>(value[k]);
    }
  };
  if (raw.scalar_type() == at::kDouble) {
    write(labels.mutable_data_ptr<double>());
  } else {
    write(labels.mutable_data_ptr<float>());
  }
  return labels.to(raw.device());
}

struct BoxTerm {
  at::Tensor iou;     // [n], differentiable
  at::Tensor logits;  // [n, K] of the matched cells
};

BoxTerm match_predictions(const at::Tensor& raw, const LevelMatches& matches) {
  const auto here = [&raw](const auto& values) { return to_tensor(values, raw.device()); };
  const at::Tensor rows =
      at::index(raw, {here(matches.image), here(matches.anchor), here(matches.row), here(matches.column)});
  const at::Tensor anchors = at::stack({here(matches.anchor_w), here(matches.anchor_h)}, 1);
  const at::Tensor xy = at::sigmoid(rows.narrow(1, 0, 2)) * 2 - 0.5;
  const at::Tensor half_wh = at::sigmoid(rows.narrow(1, 2, 2)) * 2;
  const at::Tensor predicted = at::cat({xy, half_wh * half_wh * anchors}, 1);
  // Labels stay fp32 in every precision, and so does what is computed from labels alone.
  const at::Tensor target =
      at::stack({here(matches.x), here(matches.y), here(matches.w), here(matches.h)}, 1);
  return {complete_iou(predicted, target), rows.narrow(1, 5, rows.size(1) - 5)};
}

at::Tensor class_labels(const at::Tensor& logits, const LevelMatches& matches, double smoothing) {
  at::Tensor labels =
      at::full(logits.sizes(), smoothing / 2, at::TensorOptions().dtype(logits.scalar_type()));
  const int64_t classes = labels.size(1);
  const double positive = 1 - smoothing / 2;
  const auto write = [&](auto* values) {
    for (int64_t k = 0; k < labels.size(0); ++k) {
      values[k * classes + matches.class_index[static_cast<size_t>(k)]] =
          static_cast<std::remove_pointer_t<decltype(values)>>(positive);
    }
  };
  if (labels.scalar_type() == at::kDouble) {
    write(labels.mutable_data_ptr<double>());
  } else {
    write(labels.mutable_data_ptr<float>());
  }
  return labels.to(logits.device());
}

double value_of(const at::Tensor& scalar) {
  return scalar.defined() ? scalar.item<double>() : 0.0;
}

void add_term(at::Tensor& sum, const at::Tensor& term) {
  sum = sum.defined() ? sum + term : term;
}

}  // namespace

std::vector<double> level_balance(size_t level_count) {
  if (level_count == 3) {
    return {4.0, 1.0, 0.4};
  }
  const std::vector<double> deep = {4.0, 1.0, 0.25, 0.06, 0.02};
  check(level_count <= deep.size(), "a model has at most five levels");
  return {deep.begin(), deep.begin() + static_cast<long>(level_count)};
}

GroupLoss detection_loss(std::span<const at::Tensor> raw, std::span<const LevelMatches> matches,
                         const Normalisers& normalisers, const config::Hyperparameters& hyp) {
  const std::vector<double> balance = level_balance(raw.size());
  at::Tensor box, objectness, classes;  // undefined as long as nothing was added
  for (size_t level = 0; level < raw.size(); ++level) {
    const at::Tensor& cells = raw[level];
    const double match_count = static_cast<double>(normalisers.match_count.at(level));
    const double cell_count =
        static_cast<double>(normalisers.picture_count * cells.size(1) * cells.size(2) * cells.size(3));
    at::Tensor iou;
    if (matches[level].count() > 0) {
      const BoxTerm term = match_predictions(cells, matches[level]);
      iou = term.iou;
      add_term(box, (1 - iou).sum() / match_count);
      const int64_t class_count = term.logits.size(1);
      if (class_count > 1) {
        const at::Tensor labels = class_labels(term.logits, matches[level], hyp.label_smoothing);
        add_term(classes, cross_entropy_sum(term.logits, labels, hyp.cls_pw, hyp.fl_gamma) /
                              (match_count * static_cast<double>(class_count)));
      }
    }
    const at::Tensor labels = objectness_labels(cells, matches[level], iou);
    add_term(objectness, cross_entropy_sum(cells.select(4, 4), labels, hyp.obj_pw, hyp.fl_gamma) *
                             balance[level] / cell_count);
  }
  GroupLoss loss;
  at::Tensor total = objectness * hyp.obj;
  if (box.defined()) {
    total = total + box * hyp.box;
  }
  if (classes.defined()) {
    total = total + classes * hyp.cls;
  }
  loss.total = total * static_cast<double>(normalisers.picture_count);
  loss.items = {value_of(box) * hyp.box, value_of(objectness) * hyp.obj, value_of(classes) * hyp.cls};
  return loss;
}

}  // namespace yolodist::loss
