// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/detection_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "common/base/error.h"
#include "worker/loss/box_iou.h"
#include "worker/loss/cross_entropy.h"
#include "worker/loss/matched_cells.h"

namespace yolodist::loss {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t first_class = 5, objectness_channel = 4;

// What the sums of one level are multiplied with to become its part of YOLOv5's lbox, lobj and lcls.
struct Coefficients {
  double box = 0, objectness = 0, classes = 0;
};

// One level on its way. The sums are fp64 scalars on its device, so that nothing waits for it in between.
struct Level {
  at::Tensor raw;       // [N, A, G_y, G_x, K + 5], without graph
  at::Tensor gradient;  // with the shape and strides of raw; undefined where none is wanted
  const LevelMatches* matches = nullptr;
  const config::Hyperparameters* hyp = nullptr;
  Coefficients coefficients;
  double pictures = 0;  // what the gradients are multiplied with besides
  at::Tensor sums;      // [3]: box, objectness, classes, with coefficients
  std::optional<double> slope(double coefficient) const {
    return gradient.defined() ? std::optional(coefficient * pictures) : std::nullopt;
  }
};

void add_sum(const Level& level, int64_t term, const at::Tensor& sum, double coefficient) {
  level.sums.select(0, term).add_(sum.to(at::kDouble), coefficient);
}

// The complete IoUs [count] of the matches with what their cells predict; adds to sum and gradient.
at::Tensor add_boxes(const Level& level, const MatchRange& range) {
  const at::Device device = level.raw.device();
  const at::AutoGradMode with_grad(level.gradient.defined());
  const at::Tensor cells = gather_cells(level.raw, range, 0, 4).requires_grad_(level.gradient.defined());
  const at::Tensor xy = at::sigmoid(cells.narrow(1, 0, 2)) * 2 - 0.5;
  const at::Tensor half_wh = at::sigmoid(cells.narrow(1, 2, 2)) * 2;
  const at::Tensor predicted = at::cat({xy, half_wh * half_wh * anchors_of(range, device)}, 1);
  const at::Tensor iou = complete_iou(predicted, boxes_of(range, device));
  const at::Tensor sum = (1 - iou).sum();
  if (level.gradient.defined()) {
    add_to_cells(level.gradient, range, 0,
                 local_gradient(sum, cells, level.coefficients.box * level.pictures));
  }
  add_sum(level, 0, sum.detach(), level.coefficients.box);
  return iou.detach();
}

void add_classes(const Level& level, const MatchRange& range) {
  const int64_t class_count = level.raw.size(4) - first_class;
  const double smoothing = level.hyp->label_smoothing;
  const at::Tensor logits = gather_cells(level.raw, range, first_class, class_count);
  const at::Tensor labels = at::full_like(logits, smoothing / 2);
  labels.scatter_(1, classes_of(range, logits.device()).unsqueeze(1), 1 - smoothing / 2);
  const Piece piece = cross_entropy_sum(logits, labels, {level.hyp->cls_pw, level.hyp->fl_gamma},
                                        level.slope(level.coefficients.classes));
  if (piece.gradient.defined()) {
    add_to_cells(level.gradient, range, first_class, piece.gradient);
  }
  add_sum(level, 2, piece.sum, level.coefficients.classes);
}

// The terms of matched cells, and into `labels` [N, A, G_y, G_x] the objectness that these should have: their
// CIoU. A cell that answers for several keeps the last in order of emission.
void add_matches(const Level& level, const at::Tensor& labels) {
  const int64_t channels = level.raw.size(4);
  // Complete IoU and its gradient hold some fifty tensors of one value a match; with sixteen channels a row
  // these stay below four slabs.
  const int64_t row_bytes = std::max<int64_t>(channels, 16) * static_cast<int64_t>(level.raw.element_size());
  const int64_t most_rows = std::max<int64_t>(slab_bytes / row_bytes, 1);
  const std::vector<bool> is_last = last_of_cell(*level.matches, level.raw);
  for (int64_t first = 0; first < level.matches->count(); first += most_rows) {
    const MatchRange range{level.matches, first, std::min(most_rows, level.matches->count() - first)};
    set_cells(labels, range, is_last, at::clamp_min(add_boxes(level, range), 0));
    if (channels > first_class + 1) {
      add_classes(level, range);
    }
  }
}

// Takes the labels out of their place part by part and leaves the gradient there.
void add_objectness(const Level& level, const at::Tensor& labels) {
  const at::Tensor logits = level.raw.select(4, objectness_channel);
  const int64_t pictures = logits.size(0), rows = logits.size(2);
  const int64_t row_bytes = logits.size(1) * logits.size(3) * static_cast<int64_t>(logits.element_size());
  const int64_t most_rows = std::clamp<int64_t>(slab_bytes / row_bytes, 1, rows);
  const int64_t most_pictures = std::max<int64_t>(slab_bytes / (row_bytes * rows), 1);
  for (int64_t picture = 0; picture < pictures; picture += most_pictures) {
    for (int64_t row = 0; row < rows; row += most_rows) {
      const auto part = [&](const at::Tensor& cells) {
        return cells.narrow(0, picture, std::min(most_pictures, pictures - picture))
            .narrow(2, row, std::min(most_rows, rows - row));
      };
      const at::Tensor here = part(labels);
      const Piece piece = cross_entropy_sum(part(logits).contiguous(), here.contiguous(),
                                            {level.hyp->obj_pw, level.hyp->fl_gamma},
                                            level.slope(level.coefficients.objectness));
      if (piece.gradient.defined()) {
        here.copy_(piece.gradient);
      }
      add_sum(level, 1, piece.sum, level.coefficients.objectness);
    }
  }
}

// The terms of one level, added to level.sums; its gradient is complete afterwards.
void add_level(const Level& level) {
  const c10::NoGradGuard no_grad;
  // The labels wait where their gradient will lie.
  const at::Tensor labels =
      level.gradient.defined()
          ? level.gradient.select(4, objectness_channel)
          : at::zeros({level.raw.size(0), level.raw.size(1), level.raw.size(2), level.raw.size(3)},
                      level.raw.options());
  if (level.matches->count() > 0) {
    add_matches(level, labels);
  }
  add_objectness(level, labels);
}

Coefficients coefficients_of(const at::Tensor& raw, size_t level, const std::vector<double>& balance,
                             const Normalisers& normalisers, const config::Hyperparameters& hyp) {
  const double matches = static_cast<double>(normalisers.match_count.at(level));
  const double cells =
      static_cast<double>(normalisers.picture_count * raw.size(1) * raw.size(2) * raw.size(3));
  const double classes = static_cast<double>(raw.size(4) - first_class);
  Coefficients value;
  value.objectness = hyp.obj * balance[level] / cells;
  if (matches > 0) {
    value.box = hyp.box / matches;
    value.classes = hyp.cls / (matches * classes);
  }
  return value;
}

// Value and gradients are known when the node is made; backward hands the gradients out.
class KnownGradients : public torch::autograd::Function<KnownGradients> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList raw, double value,
                            const variable_list& gradients) {
    context->save_for_backward(gradients);
    return at::full({}, value, raw[0].options().requires_grad(false));
  }

  static variable_list backward(AutogradContext* context, variable_list of_total) {
    variable_list gradients = context->get_saved_variables();
    // Over themselves: they are needed once. A card is not asked for the factor, the host would wait for it.
    if (!of_total[0].is_cpu() || of_total[0].item<double>() != 1) {
      for (const at::Tensor& gradient : gradients) {
        gradient.mul_(of_total[0]);
      }
    }
    gradients.insert(gradients.end(), 2, at::Tensor());  // of value and gradients
    return gradients;
  }
};

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
  const bool wants_gradients =
      at::GradMode::is_enabled() &&
      std::any_of(raw.begin(), raw.end(), [](const auto& r) { return r.requires_grad(); });
  const double pictures = static_cast<double>(normalisers.picture_count);
  const at::Tensor sums = at::zeros({3}, raw.front().options().dtype(at::kDouble).requires_grad(false));
  variable_list gradients;
  for (size_t i = 0; i < raw.size(); ++i) {
    check(raw[i].scalar_type() == at::kFloat || raw[i].scalar_type() == at::kDouble, "raw is fp32 or fp64");
    Level level{.raw = raw[i].detach(),
                .gradient = {},
                .matches = &matches[i],
                .hyp = &hyp,
                .coefficients = coefficients_of(raw[i], i, balance, normalisers, hyp),
                .pictures = pictures,
                .sums = sums};
    if (wants_gradients) {
      level.gradient = gradients.emplace_back(at::zeros_like(level.raw));
    }
    add_level(level);
  }
  const at::Tensor values = sums.to(at::kCPU);
  const double* value = values.const_data_ptr<double>();
  GroupLoss loss;
  loss.items = {value[0], value[1], value[2]};
  const double total = loss.items.total() * pictures;
  loss.total = wants_gradients
                   ? KnownGradients::apply(at::TensorList(raw.data(), raw.size()), total, gradients)
                   : at::full({}, total, raw.front().options().requires_grad(false));
  return loss;
}

}  // namespace yolodist::loss
