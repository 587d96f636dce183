// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/plan/planning.h"

namespace yolodist::plan {

// "none", "activations", "blocks", or by layer: "9 activations, 3 blocks".
std::string recompute_text(const RecomputePlan& recompute);
// "rank 3", "ranks 2-3", "ranks 0, 2-3".
std::string ranks_text(const std::vector<int>& ranks);
// "fp32".
const char* name_of(Precision precision);
// Of --precision, whose names the command line has checked; "auto" is as in YOLOv5: fp16 mixed precision on
// cards, fp32 on the CPU.
Precision precision_named(const std::string& name, bool is_cuda);

// One line: what is the same as in YOLOv5 and what differs.
std::string summary_of(Planning& planning, const Plan& plan);

}  // namespace yolodist::plan
