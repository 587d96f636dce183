// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "worker/model/model.h"

namespace yolodist::model {

// The table of layers and the line of totals that YOLOv5 prints before training.
std::string summary(const Model& model);

}  // namespace yolodist::model
