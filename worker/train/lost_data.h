// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "worker/train/training.h"

namespace yolodist::train {

// What a rank says of pictures that have gone; "" when all have theirs. Collective.
std::string lost_data(const Training& training);

}  // namespace yolodist::train
