// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/fitting_plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "common/model_spec/model_spec.h"
#include "common/plan/bounds.h"
#include "common/plan/cards.h"
#include "common/plan/planner.h"
#include "common/plan/summary.h"
#include "launcher/cli/options.h"
#include "launcher/cli/plan_command_line.h"

namespace yolodist::commands {
namespace {

// As yolodist plan assumes where it is not told.
const int assumed_targets = cli::PlanOptions().targets;

std::string size(int64_t bytes) {
  return to_string(Bytes{bytes});
}

std::string budget_option(int64_t bytes) {
  return printf_string("--device-memory %.2fGiB", static_cast<double>(bytes) / 1073741824.0);
}

plan::Precision precision_of(const FitQuestion& question) {
  return plan::precision_named(question.precision, question.is_cuda);
}

// The card of the catalogue that this one is; where it is not in there, one with the same memory, or else a
// larger one with a budget. What is returned and the option are the same to `yolodist plan`.
plan::Device card_like(const FitQuestion& question, FitAnswer& answer) {
  const plan::CardCatalogue catalogue = plan::read_shipped_cards();
  const auto take = [&](const plan::Card& card, int64_t budget_bytes) {
    plan::Device device = plan::device_of_card(card, precision_of(question));
    answer.card_option = cat("--card ", cli::shell_word(card.name));
    if (budget_bytes < device.budget_bytes) {
      device.budget_bytes = budget_bytes;
      answer.card_option += cat(" ", budget_option(budget_bytes));
    }
    return device;
  };
  const int64_t memory_bytes = question.memory_bytes;
  const auto named = std::find_if(catalogue.cards.begin(), catalogue.cards.end(),
                                  [&](const plan::Card& card) { return card.name == question.card; });
  if (named != catalogue.cards.end()) {
    return take(*named, memory_bytes);
  }
  if (const plan::Card* card =
          question.card.empty() ? nullptr : plan::recognise_card(catalogue, question.card, memory_bytes)) {
    return take(*card, card->memory_bytes);
  }
  const plan::Card *same = nullptr, *larger = nullptr, *largest = nullptr;
  for (const plan::Card& card : catalogue.cards) {
    const int64_t above = card.memory_bytes - memory_bytes;
    if (std::abs(above) < memory_bytes / 50 && same == nullptr) {
      same = &card;
    }
    if (above >= 0 && (larger == nullptr || card.memory_bytes < larger->memory_bytes)) {
      larger = &card;
    }
    if (largest == nullptr || card.memory_bytes > largest->memory_bytes) {
      largest = &card;
    }
  }
  check(largest != nullptr, "the catalogue has cards");
  return same != nullptr     ? take(*same, same->memory_bytes)
         : larger != nullptr ? take(*larger, memory_bytes)
                             : take(*largest, largest->memory_bytes);
}

plan::Device device_of(const FitQuestion& question, FitAnswer& answer) {
  if (question.is_cuda) {
    return card_like(question, answer);
  }
  plan::Device device;
  device.card = "cpu";
  device.budget_bytes = question.memory_bytes;
  answer.card_option = cat("--device cpu ", budget_option(question.memory_bytes));
  return device;
}

plan::Request request_of(const FitQuestion& question, const model_spec::ModelSpec& spec) {
  plan::Request request;
  request.spec = &spec;
  plan::Workload& w = request.workload;
  w.precision = precision_of(question);
  w.imgsz_px = w.height_px = w.width_px = plan::side_on_stride(spec, question.imgsz_px);
  w.validation_height_px = w.validation_width_px = plan::largest_validation_side(spec, w.imgsz_px);
  request.matches_a_picture = plan::most_matches(spec, assumed_targets);
  request.global_batch = question.batch;
  return request;
}

std::string rung_text(const plan::Rung& rung) {
  return cat(rung.change, ": peak ", size(rung.allocator_bytes),
             rung.slowdown >= 0.005 ? printf_string(", %.0f %% more time", 100 * rung.slowdown) : "",
             rung.is_exact ? ", same result" : ", changes the recipe");
}

void take(const plan::Plan& plan, FitAnswer& answer) {
  const auto worst = std::max_element(plan.ranks.begin(), plan.ranks.end(), [](const auto& a, const auto& b) {
    return a.estimate.device_bytes - a.device.budget_bytes < b.estimate.device_bytes - b.device.budget_bytes;
  });
  answer.fits = plan.fits;
  answer.summary = plan.summary;
  answer.peak_bytes = worst->estimate.device_bytes;
  answer.budget_bytes = worst->device.budget_bytes;
  answer.max_global_batch = plan.max_global_batch;
  answer.smallest_budget_bytes = plan.smallest_budget_bytes;
  for (const plan::Rung& rung : plan.rungs) {
    if (!plan.fits && rung.fits) {
      answer.rungs.push_back(rung_text(rung));
    }
  }
}

}  // namespace

FitAnswer fitting_plan(const FitQuestion& question) {
  FitAnswer answer;
  if (question.model.empty()) {
    answer.problem = "the model is not known";
    return answer;
  }
  if (question.memory_bytes <= 0) {
    answer.problem = "it is not known how much memory the device has";
    return answer;
  }
  try {
    const model_spec::ModelSpec spec =
        model_spec::read_model_spec(config::find_shipped(question.model, "models"), question.class_count);
    plan::Request request = request_of(question, spec);
    request.devices.assign(static_cast<size_t>(std::max(1, question.ranks)), device_of(question, answer));
    take(plan::make_plan(request), answer);
  } catch (const Error& error) {
    answer.problem = error.what();
  }
  return answer;
}

std::string fitting_options(const FitQuestion& question, const FitAnswer& answer) {
  const auto options = [&](int imgsz_px, int batch) { return cat("--img ", imgsz_px, " --batch ", batch); };
  if (!answer.problem.empty() || answer.fits) {
    return options(question.imgsz_px, question.batch);
  }
  // A rung that is an option of the command line: "--bn-group 8 (BN over …): …".
  for (const std::string& rung : answer.rungs) {
    const std::vector<std::string> words = split(rung, ' ');
    if (words.size() < 2 || !words[0].starts_with("--")) {
      continue;
    }
    const std::string value = words[1].substr(0, words[1].find(':'));
    return words[0] == "--img" ? cat("--img ", value, " --batch ", question.batch)
                               : cat(options(question.imgsz_px, question.batch), " ", words[0], " ", value);
  }
  return answer.max_global_batch > 0 ? options(question.imgsz_px, answer.max_global_batch) : "";
}

std::string plan_command(const FitQuestion& question, const FitAnswer& answer) {
  const std::string fitting = fitting_options(question, answer);
  std::vector<std::string> words = {
      "yolodist plan --model", cli::shell_word(question.model),
      fitting.empty() ? cat("--img ", question.imgsz_px, " --batch ", question.batch) : fitting,
      cat("--ranks ", std::max(1, question.ranks))};
  if (question.class_count > 0) {
    words.push_back(cat("--nc ", question.class_count));
  }
  if (question.precision != "auto") {
    words.push_back(cat("--precision ", question.precision));
  }
  if (!answer.card_option.empty()) {
    words.push_back(answer.card_option);
  }
  return join(words, " ");
}

std::vector<std::string> text_of(const FitAnswer& answer) {
  if (!answer.problem.empty()) {
    return {cat("no plan can be made: ", answer.problem)};
  }
  std::vector<std::string> lines;
  // Where the plan does not fit, its summary says who needs what of how much.
  lines.push_back(answer.fits ? cat("it fits with yolodist: peak ", size(answer.peak_bytes), " of ",
                                    size(answer.budget_bytes), " on the fullest rank; ", answer.summary)
                              : answer.summary);
  if (!answer.fits) {
    for (const std::string& rung : answer.rungs) {
      lines.push_back(cat("what fits: ", rung));
    }
    lines.push_back(
        cat("the smallest memory a device that would do for it: ", size(answer.smallest_budget_bytes)));
  }
  if (answer.max_global_batch > 0) {
    lines.push_back(cat("the largest global batch on these devices: ", answer.max_global_batch));
  } else if (answer.max_global_batch == 0) {
    lines.push_back("not even one picture a device fits");
  }
  return lines;
}

nlohmann::ordered_json to_json(const FitAnswer& answer) {
  if (!answer.problem.empty()) {
    return {{"problem", answer.problem}};
  }
  return {{"fits", answer.fits},
          {"summary", answer.summary},
          {"peak_bytes", answer.peak_bytes},
          {"budget_bytes", answer.budget_bytes},
          {"max_global_batch", answer.max_global_batch < 0 ? nlohmann::ordered_json()
                                                           : nlohmann::ordered_json(answer.max_global_batch)},
          {"smallest_budget_bytes", answer.smallest_budget_bytes},
          {"rungs", answer.rungs}};
}

}  // namespace yolodist::commands
