// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "common/plan/planner.h"

namespace yolodist::plan {

// A plan as text: a row a rank, what the peak of the worst rank is made of, further rungs; with `verbose` a
// row a layer. The summary comes first.
std::string plan_text(const Request& request, const Plan& plan, bool verbose);

// As design's `plan --json` has it.
nlohmann::ordered_json plan_json(const Request& request, const Plan& plan);
// The one document of several cases.
nlohmann::ordered_json plans_json(std::vector<nlohmann::ordered_json> plans);

// One case of several models, sides or cards.
struct Case {
  Request request;
  Plan plan;
  int most_pictures_plain = 0;  // a forward of one rank, nothing recomputed; -1 = no budget
};
// A row a case, with the most pictures a rank beside YOLOv5's rule of thumb.
std::string cases_text(const std::vector<Case>& cases);

// "At most 8 pictures at 1280 px on 16 GB", scaled to a side and a budget; -1 without a budget.
int rule_of_thumb(int imgsz_px, int64_t budget_bytes);

// Rows with columns as wide as they need to be; the first row is the head. A column is flush right but for
// those that `left` names.
std::string table_text(const std::vector<std::vector<std::string>>& rows, const std::vector<size_t>& left);

}  // namespace yolodist::plan
