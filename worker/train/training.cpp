// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/training.h"

#include "worker/data/picture_cache.h"

namespace yolodist::train {

// Here, where the cache's type is complete.
Training::Training() = default;
Training::~Training() = default;
Training::Training(Training&&) noexcept = default;
Training& Training::operator=(Training&&) noexcept = default;

}  // namespace yolodist::train
