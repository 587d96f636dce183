// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/training.h"

#include "worker/data/picture_cache.h"
#include "worker/train/injected_shortage.h"

namespace yolodist::train {

// Here, where the types of its members are complete.
Training::Training() : injected(std::make_unique<InjectedShortage>("", 0, at::kCPU)) {}
Training::~Training() = default;
Training::Training(Training&&) noexcept = default;
Training& Training::operator=(Training&&) noexcept = default;

}  // namespace yolodist::train
