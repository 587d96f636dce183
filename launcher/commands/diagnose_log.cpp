// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/bytes.h"
#include "common/base/text.h"
#include "common/run/log_reading.h"
#include "launcher/cli/options.h"
#include "launcher/commands/diagnose.h"
#include "launcher/commands/fitting_plan.h"

namespace yolodist::commands {
namespace {

using nlohmann::ordered_json;
using run::Finding;
using run::MemoryNumbers;
using run::TrainingSetup;
using run::Trouble;

// YOLOv5's defaults, for what the log does not say.
constexpr int default_side_px = 640, default_batch = 16;

std::string size(int64_t bytes) {
  return to_string(Bytes{bytes});
}

bool is_of_device_memory(Trouble trouble) {
  return trouble == Trouble::device_memory || trouble == Trouble::device_memory_in_disguise;
}

std::string setup_text(const TrainingSetup& setup) {
  std::vector<std::string> parts;
  if (!setup.model.empty() || !setup.weights.empty()) {
    parts.push_back(setup.model.empty() ? setup.weights : setup.model);
  }
  if (setup.imgsz_px > 0) {
    parts.push_back(cat(setup.imgsz_px, " px"));
  }
  if (setup.batch != 0) {
    parts.push_back(setup.batch < 0 ? "batch chosen by AutoBatch" : cat("batch ", setup.batch));
  }
  if (setup.device_count > 0) {
    parts.push_back(cat(setup.device_count, setup.device_count == 1 ? " GPU" : " GPUs"));
  }
  if (!setup.card.empty()) {
    parts.push_back(cat(setup.card, ", ", size(setup.card_bytes)));
  }
  if (setup.is_data_parallel) {
    parts.push_back("one process for all GPUs (DataParallel)");
  }
  return join(parts, ", ");
}

std::string numbers_text(const MemoryNumbers& n) {
  std::vector<std::string> parts;
  const auto add = [&](const char* what, int64_t bytes) {
    if (bytes > 0) {
      parts.push_back(cat(what, " ", size(bytes)));
    }
  };
  add("asked", n.asked_bytes);
  add("total", n.total_bytes);
  add("allocated", n.allocated_bytes);
  add("reserved", n.reserved_bytes);
  add("in use", n.in_use_bytes);
  if (n.free_bytes) {
    parts.push_back(cat("free ", size(*n.free_bytes)));
  }
  return cat(n.device >= 0 ? cat("GPU ", n.device, ": ") : "", join(parts, ", "));
}

// What the numbers say beyond "too little": "" where nothing.
std::string verdict(const MemoryNumbers& n) {
  const int64_t own_bytes = std::max(n.reserved_bytes, n.in_use_bytes);
  if (n.asked_bytes > 0 && n.free_bytes && *n.free_bytes >= n.asked_bytes) {
    return "More was free than was asked: another process took it in between, or (on Windows) the page file "
           "is too small.";
  }
  if (n.reserved_bytes > 0 && n.reserved_bytes - n.allocated_bytes > n.asked_bytes) {
    return "The process held more free memory than was asked, in pieces that are too small: fragmentation.";
  }
  // A CUDA context takes some hundred MiB.
  constexpr int64_t context_bytes = int64_t{1} << 30;
  if (own_bytes > 0 && n.total_bytes > 0 &&
      n.total_bytes - own_bytes - n.free_bytes.value_or(0) > context_bytes) {
    return cat("About ", size(n.total_bytes - own_bytes - n.free_bytes.value_or(0)),
               " of the GPU were held by something else: other processes, or the rest of an earlier run. "
               "nvidia-smi shows them.");
  }
  return "";
}

FitQuestion question_of(const run::LogReading& reading) {
  const TrainingSetup& setup = reading.setup;
  FitQuestion question;
  question.model = setup.model;
  question.class_count = setup.class_count;
  question.imgsz_px = setup.imgsz_px > 0 ? setup.imgsz_px : default_side_px;
  question.batch = setup.batch != 0 ? setup.batch : default_batch;
  question.ranks = std::max(1, setup.device_count);
  question.card = setup.card;
  question.memory_bytes = setup.card_bytes;
  if (const Finding* cause = reading.cause();
      cause != nullptr && is_of_device_memory(cause->trouble) && cause->numbers.total_bytes > 0) {
    question.memory_bytes = cause->numbers.total_bytes;
  }
  return question;
}

std::string train_command(const TrainingSetup& setup, const FitQuestion& question,
                          const std::string& options) {
  return cat(question.ranks > 1 ? cat("mpirun -np ", question.ranks, " ") : "", "yolodist train ",
             setup.weights.empty() ? cat("--weights '' --cfg ", cli::shell_word(setup.model))
                                   : cat("--weights ", cli::shell_word(setup.weights)),
             " --data ", setup.data.empty() ? "DATA.yaml" : cli::shell_word(setup.data), " ", options);
}

void add_finding(const Finding& finding, bool is_cause, Diagnosis& diagnosis) {
  const run::Explanation explanation = run::explanation_of(finding.trouble);
  std::vector<std::string>& lines = diagnosis.lines;
  lines.push_back("");
  lines.push_back(cat(finding.line_number > 0 ? cat("line ", finding.line_number) : "near the end",
                      finding.count > 1 ? cat(" (and ", finding.count - 1, " more like it)") : "", ":"));
  lines.push_back(cat("  | ", finding.line));
  lines.push_back(cat("  ", is_cause ? "The cause. " : "", explanation.what));
  std::string judged;
  if (!finding.numbers.empty()) {
    lines.push_back(cat("  ", numbers_text(finding.numbers)));
    judged = verdict(finding.numbers);
    if (!judged.empty()) {
      lines.push_back(cat("  ", judged));
    }
  }
  lines.push_back(cat("  ", explanation.what_now));

  const MemoryNumbers& n = finding.numbers;
  const auto known = [](int64_t bytes) { return bytes > 0 ? ordered_json(bytes) : ordered_json(); };
  ordered_json entry = {{"trouble", run::name_of(finding.trouble)},
                        {"line", finding.line},
                        {"line_number", known(finding.line_number)},
                        {"count", finding.count},
                        {"is_cause", is_cause},
                        {"what", explanation.what},
                        {"what_now", explanation.what_now}};
  if (!n.empty()) {
    entry["memory"] = {{"device", n.device < 0 ? ordered_json() : ordered_json(n.device)},
                       {"asked_bytes", known(n.asked_bytes)},
                       {"total_bytes", known(n.total_bytes)},
                       {"allocated_bytes", known(n.allocated_bytes)},
                       {"reserved_bytes", known(n.reserved_bytes)},
                       {"in_use_bytes", known(n.in_use_bytes)},
                       {"free_bytes", n.free_bytes ? ordered_json(*n.free_bytes) : ordered_json()},
                       {"verdict", judged}};
  }
  diagnosis.document["findings"].push_back(std::move(entry));
}

void add_plan(const run::LogReading& reading, Diagnosis& diagnosis) {
  const TrainingSetup& setup = reading.setup;
  const Finding* cause = reading.cause();
  if (setup.model.empty()) {
    if (cause != nullptr && is_of_device_memory(cause->trouble)) {
      diagnosis.lines.push_back("");
      diagnosis.lines.push_back(
          "The log does not say what was trained. This shows what fits: yolodist plan --model all --img 640 "
          "1280 --batch 16 --card NAME");
    }
    return;
  }
  const FitQuestion question = question_of(reading);
  std::vector<std::string>& lines = diagnosis.lines;
  FitAnswer answer;
  answer.problem = "not asked";
  lines.emplace_back();
  if (cause == nullptr || is_of_device_memory(cause->trouble)) {
    answer = fitting_plan(question);
    const bool has_guessed = setup.imgsz_px == 0 || setup.batch == 0;
    lines.push_back(
        has_guessed ? cat("What would fit (taken: ", question.imgsz_px, " px, batch ", question.batch, "):")
                    : "What would fit:");
    for (const std::string& line : text_of(answer)) {
      lines.push_back(cat("  ", line));
    }
    const std::string command = plan_command(question, answer);
    lines.push_back(cat("  ", command));
    diagnosis.document["plan"] = to_json(answer);
    diagnosis.document["plan_command"] = command;
  } else {
    lines.emplace_back("The same with yolodist:");
  }
  if (const std::string options = fitting_options(question, answer); !options.empty()) {
    const std::string command = train_command(setup, question, options);
    lines.push_back(cat("  ", command));
    diagnosis.document["train_command"] = command;
  }
}

}  // namespace

Diagnosis diagnose_log(const std::filesystem::path& file) {
  const run::LogReading reading = run::read_log(file);
  const TrainingSetup& setup = reading.setup;
  Diagnosis diagnosis;
  diagnosis.document = {{"schema", 1},
                        {"kind", "log"},
                        {"file", file.string()},
                        {"bytes", reading.bytes},
                        {"is_cut", reading.is_cut},
                        {"training",
                         {{"model", setup.model},
                          {"weights", setup.weights},
                          {"data", setup.data},
                          {"imgsz", setup.imgsz_px},
                          {"batch_size", setup.batch},
                          {"device_count", setup.device_count},
                          {"class_count", setup.class_count},
                          {"card", setup.card},
                          {"card_bytes", setup.card_bytes},
                          {"is_data_parallel", setup.is_data_parallel}}},
                        {"findings", ordered_json::array()},
                        {"last_error", reading.last_error}};
  diagnosis.lines.push_back(cat(file.string(), ": ", size(reading.bytes),
                                reading.is_cut ? ", of which the beginning and the end were read" : ""));
  if (const std::string training = setup_text(setup); !training.empty()) {
    diagnosis.lines.push_back(cat("training: ", training));
  }
  for (const Finding& finding : reading.findings) {
    add_finding(finding, &finding == reading.cause() && reading.findings.size() > 1, diagnosis);
  }
  if (reading.findings.empty()) {
    diagnosis.lines.push_back("");
    diagnosis.lines.push_back("No message in it is one that yolodist knows.");
    if (!reading.last_error.empty()) {
      diagnosis.lines.push_back(cat("The last error: ", reading.last_error));
    }
  }
  add_plan(reading, diagnosis);
  return diagnosis;
}

}  // namespace yolodist::commands
