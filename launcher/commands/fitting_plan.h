// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace yolodist::commands {

// A training of which little is known: which plan would fit?
struct FitQuestion {
  std::string model{};  // a shipped name, or a path
  int class_count = 0;  // 0 = as in the model's file
  int imgsz_px = 640;
  int batch = 16;  // of all ranks; -1 = the largest
  int ranks = 1;
  std::string card{};        // as the driver or the catalogue names it; "" = not known
  int64_t memory_bytes = 0;  // of the card, or the budget of each rank
  bool is_cuda = true;
  std::string precision = "auto";  // as of --precision
};

struct FitAnswer {
  std::string problem;  // why there is none; "" = the rest holds
  bool fits = false;
  std::string summary;       // of the plan, one line
  int64_t peak_bytes = 0;    // of the worst rank
  int64_t budget_bytes = 0;  // of the same
  int max_global_batch = 0;  // with these devices; 0 = not even one picture a rank
  int64_t smallest_budget_bytes = 0;
  std::vector<std::string>
      rungs;                // that fit where the plan does not: "--bn-group 2: peak 13.1 GiB, same result"
  std::string card_option;  // "--card V100-16GB", "--card T4 --device-memory 8.00GiB", "--device cpu …"
};

// Never throws for what is asked: a model that is not shipped, or no budget, is a problem in the answer.
FitAnswer fitting_plan(const FitQuestion& question);

// The options of a training that fits: "--img 1280 --batch 16", with what has to change where it does not fit
// as asked: "--img 1280 --batch 32 --bn-group 8". "" where nothing is known to fit.
std::string fitting_options(const FitQuestion& question, const FitAnswer& answer);

// The command that shows such a plan, or, where none is known to fit, what was asked:
// "yolodist plan --model yolov5x6 --img 1280 --batch 16 --ranks 2 --card V100-16GB".
std::string plan_command(const FitQuestion& question, const FitAnswer& answer);

// The answer in lines, without the commands.
std::vector<std::string> text_of(const FitAnswer& answer);
nlohmann::ordered_json to_json(const FitAnswer& answer);

}  // namespace yolodist::commands
