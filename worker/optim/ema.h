// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "worker/model/model.h"

namespace yolodist::optim {

// The exponential moving average of a model that is validated and kept. Every floating entry follows
// (parameters, batch norm statistics, anchors); counters stay as at creation. Source: ultralytics/yolov5 v7.0
// utils/torch_utils.py, ModelEMA (decay 0.9999, tau 2000).
class ModelEma {
 public:
  // Copies the model's tensors.
  explicit ModelEma(const model::Model& model);

  void update(const model::Model& model);
  static double decay(int64_t updates);  // updates: after the increment

  const model::Model& model() const { return model_; }
  model::Model& model() { return model_; }
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  model::Model model_;
  int64_t updates_ = 0;
};

}  // namespace yolodist::optim
