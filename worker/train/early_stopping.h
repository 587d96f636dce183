// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/train/training.h"

// Source: ultralytics/yolov5 v7.0 utils/torch_utils.py, EarlyStopping: ties renew, patience 0 never stops.
namespace yolodist::train {

// Whether the run ends after this epoch; remembers its fitness if it is the best so far.
bool stops_early(Training& training, double fitness);

// Whether this epoch may turn out to be the last, so that it is validated and saved in any case.
bool may_stop_early(const Training& training);

}  // namespace yolodist::train
