// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/plan/cards.h"
#include "common/plan/planner.h"
#include "launcher/device/cuda_inventory.h"

namespace yolodist::commands {

// `yolodist plan …`: prints a plan, or a row a case. 0 if (one of) them fits, else 71. Without MPI.
int plan(const std::vector<std::string>& words);

// A device of this machine for the planner: a row of the catalogue if it is one, all of its memory as budget.
plan::Device planned_device(const plan::CardCatalogue& catalogue, const device::CudaDevice& device,
                            plan::Precision precision);

}  // namespace yolodist::commands
