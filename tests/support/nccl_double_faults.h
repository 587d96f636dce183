// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "tests/support/nccl_double.h"

// Between the parts of the double.
namespace yolodist::test::nccl_double {

// Takes the first fault of this rank that fits; it does not happen again.
std::optional<Fault> take_fault(int rank, const std::function<bool(const Fault&)>& fits);
std::optional<Fault> take_fault(int rank, Action action);

bool peers_notice();

}  // namespace yolodist::test::nccl_double
