// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/early_stopping.h"

namespace yolodist::train {

bool stops_early(Training& t, double fitness) {
  if (fitness >= t.state.stopper_fitness) {
    t.state.stopper_fitness = fitness;
    t.state.stopper_epoch = t.state.epoch;
  }
  return t.options.patience > 0 && t.state.epoch - t.state.stopper_epoch >= t.options.patience;
}

bool may_stop_early(const Training& t) {
  return t.options.patience > 0 && t.state.epoch - 1 - t.state.stopper_epoch >= t.options.patience - 1;
}

}  // namespace yolodist::train
