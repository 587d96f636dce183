// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <ctime>

#include "common/base/bytes.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/run/exit_meaning.h"
#include "common/run/memory_report.h"
#include "launcher/cli/options.h"
#include "launcher/commands/diagnose.h"
#include "launcher/commands/fitting_plan.h"
#include "launcher/commands/run_evidence.h"
#include "launcher/commands/run_reader.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

// What is known of a run, for the parts of its diagnosis.
struct Case {
  const run::RunDirectory& directory;
  json run;      // run.yaml
  json options;  // of it
  bool trains = true;
  RunView view;  // of a training run
  RunEvidence evidence;
  const run::FailureReport* failure =
      nullptr;  // that explains how it ended; nullptr = it did not fail, or no word
  bool has_checkpoint = false;
};

std::string size(int64_t bytes) {
  return to_string(Bytes{bytes});
}

template <typename T>
T option(const json& options, const char* key, T otherwise) {
  const auto found = options.find(key);
  if (found == options.end()) {
    return otherwise;
  }
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->template get<T>() : otherwise;
  } else {
    return found->is_number() ? found->template get<T>() : otherwise;
  }
}

std::string time_text(int64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  std::tm local{};
  char text[32] = "";
  if (localtime_r(&seconds, &local) != nullptr) {
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  }
  return text;
}

const char* name_of(RunState state) {
  switch (state) {
    case RunState::starting:
      return "starting";
    case RunState::running:
      return "running";
    case RunState::silent:
      return "silent";
    case RunState::failed:
      return "failed";
    case RunState::finished:
      return "finished";
  }
  return "";
}

Case read_case(const run::RunDirectory& directory) {
  Case c{.directory = directory,
         .run = run::read_run_yaml(directory),
         .options = json::object(),
         .trains = true,
         .view = {},
         .evidence = read_evidence(directory),
         .failure = nullptr,
         .has_checkpoint = false};
  if (c.run.contains("options") && c.run.at("options").is_object()) {
    c.options = c.run.at("options");
  }
  c.trains = option<std::string>(c.run, "command", "train") == "train" && !c.options.empty();
  if (c.trains) {
    RunReader reader(directory);
    c.view = reader.refresh();
  }
  std::error_code missing;
  c.has_checkpoint = fs::exists(directory.weights_last(), missing);
  // A report may be younger than the last sign of life by less than clocks differ.
  const run::FailureReport* last = c.evidence.main_failure();
  constexpr double just_now_s = 15;
  const double age_s =
      last == nullptr ? 0
                      : static_cast<double>(std::time(nullptr)) - static_cast<double>(last->time_ns) / 1e9;
  if (last != nullptr &&
      (!c.trains || c.view.state == RunState::failed ||
       (c.view.state == RunState::running && age_s < just_now_s) || c.view.state == RunState::silent)) {
    c.failure = last;
    c.view.state = RunState::failed;
  }
  // Runs of older versions do not record their end.
  if (c.view.state == RunState::silent && c.view.epochs > 0 && c.evidence.epochs_done >= c.view.epochs) {
    c.view.state = RunState::finished;
    c.view.state_text = cat("finished, all ", c.view.epochs, " epochs");
  }
  return c;
}

// The lines of a part, with its name before the first and an empty line above.
void add_part(Diagnosis& d, const std::string& name, const std::vector<std::string>& lines) {
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0) {
      d.lines.emplace_back();
    }
    d.lines.push_back(cat(printf_string("%-11s", i == 0 ? name.c_str() : ""), lines[i]));
  }
}

void add_run(const Case& c, Diagnosis& d) {
  const RunView& view = c.view;
  std::vector<std::string> parts;
  const std::string model = fs::path(option<std::string>(c.options, "cfg", "").empty()
                                         ? option<std::string>(c.options, "weights", "")
                                         : option<std::string>(c.options, "cfg", ""))
                                .filename()
                                .string();
  for (const std::string& part :
       {option<std::string>(c.run, "command", "train"), model, cat(option(c.options, "imgsz", 0), " px"),
        cat("batch ", option(c.options, "batch_size", 0)), cat(option(c.run, "world_size", 1), " ranks"),
        cat("begun ", option<std::string>(c.run, "started", "?"))}) {
    if (!part.empty()) {
      parts.push_back(part);
    }
  }
  const int resumed = option(c.run, "resumed_count", 0);
  d.lines.push_back(cat("run        ", c.directory.root.string(), ": ", join(parts, ", "),
                        resumed > 0 ? cat(", resumed ", resumed, resumed == 1 ? " time" : " times") : ""));
  d.document = {{"schema", 1},
                {"kind", "run"},
                {"run", c.directory.root.string()},
                {"command", option<std::string>(c.run, "command", "train")},
                {"model", model},
                {"imgsz", option(c.options, "imgsz", 0)},
                {"batch_size", option(c.options, "batch_size", 0)},
                {"world_size", option(c.run, "world_size", 1)},
                {"resumed_count", resumed}};
  if (!c.trains) {
    return;
  }
  std::string state = name_of(view.state);
  if (view.state == RunState::silent) {
    state = cat("no sign of life for ", std::lround(view.silent_s),
                " s and no report: its processes were ended from outside, or the host is gone");
  } else if (view.state == RunState::finished && !view.state_text.empty()) {
    state = view.state_text;
  }
  d.document["state"] = name_of(view.state);
  if (view.iteration) {
    state += cat("; last seen in epoch ", view.iteration->epoch, " of ", view.epochs, ", iteration ",
                 view.iteration->iteration, printf_string(", %.1f img/s", view.iteration->images_per_s));
    d.document["epoch"] = view.iteration->epoch;
    d.document["iteration"] = view.iteration->iteration;
  }
  d.lines.push_back(cat("state      ", state));
  d.document["last_words"] = c.evidence.last_words;
  if (!c.evidence.last_words.empty() && view.state != RunState::finished) {
    d.lines.push_back(cat("           rank 0 said last: ", c.evidence.last_words));
  }
}

void add_failure(const Case& c, Diagnosis& d) {
  d.document["failures"] = ordered_json::array();
  for (const run::FailureReport& report : c.evidence.failures) {
    d.document["failures"].push_back(run::to_json(report));
    if (&report == c.failure) {
      std::vector<std::string> lines = {
          cat("rank ", report.rank, " on ", report.host, ", ", time_text(report.time_ns), ": ", report.what)};
      if (!report.hint.empty()) {
        lines.push_back(report.hint);
      }
      if (!report.memory.is_null()) {
        const std::vector<std::string> text = run::text_of(report.memory);
        lines.insert(lines.end(), text.begin(), text.end());
      }
      add_part(d, "failure", lines);
    }
  }
  for (const run::FailureReport& report : c.evidence.failures) {
    if (&report != c.failure) {
      d.lines.push_back(cat(c.failure != nullptr ? "also       " : "earlier    ", "rank ", report.rank, ", ",
                            time_text(report.time_ns), ": ", report.what, " [exit code ", report.exit_code,
                            "]"));
    }
  }
}

// Shortages that training went on from; all of the last one where no report says more.
void add_memory_events(const Case& c, Diagnosis& d) {
  d.document["memory_events"] = ordered_json::array();
  const bool says_all = c.failure != nullptr && !c.failure->memory.is_null();
  std::vector<std::string> lines;
  for (const MemoryEvent& event : c.evidence.memory_events) {
    d.document["memory_events"].push_back({{"file", event.file}, {"memory", event.memory}});
    const std::vector<std::string> text = run::text_of(event.memory);
    lines.push_back(cat(text.front(), " (", event.file, ")"));
    if (!says_all && &event == &c.evidence.memory_events.back()) {
      lines.insert(lines.end(), text.begin() + 1, text.end());
    }
  }
  add_part(d, "memory", lines);
}

// Connections between devices that were made anew.
void add_link_events(const Case& c, Diagnosis& d) {
  d.document["link_events"] = ordered_json::array();
  std::vector<std::string> lines;
  for (const LinkEvent& event : c.evidence.link_events) {
    d.document["link_events"].push_back({{"file", event.file}, {"report", event.report}});
    lines.push_back(cat("iteration ", event.report.value("iteration", int64_t{-1}), ": ",
                        event.report.value("what", ""), " (", event.file, ")"));
  }
  add_part(d, "devices", lines);
}

void add_ranks(const Case& c, Diagnosis& d) {
  d.document["ranks"] = ordered_json::array();
  std::vector<std::string> lines;
  const auto amount = [](int64_t bytes) { return bytes > 0 ? size(bytes) : std::string("?"); };
  for (size_t rank = 0; rank < c.view.ranks.size(); ++rank) {
    const RankView& view = c.view.ranks[rank];
    d.document["ranks"].push_back({{"rank", rank},
                                   {"used_bytes", view.used_bytes},
                                   {"peak_bytes", view.peak_bytes},
                                   {"planned_bytes", view.planned_bytes},
                                   {"budget_bytes", view.budget_bytes}});
    if (view.peak_bytes > 0 || view.planned_bytes > 0) {
      lines.push_back(cat("rank ", rank, ": peak ", amount(view.peak_bytes), ", planned ",
                          amount(view.planned_bytes),
                          view.budget_bytes > 0 ? cat(", budget ", size(view.budget_bytes)) : ""));
    }
  }
  if (const std::string summary =
          c.evidence.plan.is_object() ? option<std::string>(c.evidence.plan, "summary", "") : "";
      !summary.empty()) {
    lines.push_back(cat("plan: ", summary));
    d.document["plan_summary"] = summary;
  }
  add_part(d, "measured", lines);
}

// The least budget among the ranks, as planned or asked for; 0 = none.
int64_t budget_of(const Case& c) {
  int64_t least = 0;
  for (const RankView& rank : c.view.ranks) {
    if (rank.budget_bytes > 0 && (least == 0 || rank.budget_bytes < least)) {
      least = rank.budget_bytes;
    }
  }
  if (least == 0 && c.failure != nullptr && c.failure->memory.is_object()) {
    least = option<int64_t>(c.failure->memory, "budget_bytes", 0);
  }
  return least;
}

void add_fitting_plan(const Case& c, Diagnosis& d) {
  FitQuestion question;
  const std::string cfg = option<std::string>(c.options, "cfg", "");
  question.model =
      cfg.empty() ? fs::path(option<std::string>(c.options, "weights", "")).stem().string() : cfg;
  question.imgsz_px = option(c.options, "imgsz", 640);
  question.batch = option(c.options, "batch_size", 16);
  question.ranks = option(c.run, "world_size", 1);
  question.memory_bytes = budget_of(c);
  const json planned = c.evidence.plan.is_object() && c.evidence.plan.contains("ranks") &&
                               c.evidence.plan["ranks"].is_array() && !c.evidence.plan["ranks"].empty()
                           ? c.evidence.plan["ranks"].front()
                           : json::object();
  question.card = option<std::string>(planned, "card", "");
  question.is_cuda = !question.card.empty() && question.card != "cpu";
  question.precision = option<std::string>(c.options, "precision", "auto");
  const FitAnswer answer = fitting_plan(question);
  if (!answer.problem.empty()) {
    return;
  }
  std::vector<std::string> lines = text_of(answer);
  const std::string command = plan_command(question, answer);
  lines.push_back(command);
  add_part(d, "what fits", lines);
  d.document["plan"] = to_json(answer);
  d.document["plan_command"] = command;
}

void add_way_on(const Case& c, Diagnosis& d) {
  d.lines.push_back("");
  bool may_resume = c.trains && c.view.state != RunState::finished && c.view.state != RunState::running;
  if (c.failure != nullptr) {
    const run::ExitMeaning meaning = run::meaning_of(c.failure->exit_code);
    d.lines.push_back(cat("exit code  ", c.failure->exit_code, ": ", meaning.what));
    d.lines.push_back(cat("what now   ", meaning.what_now));
    d.document["exit_code"] = c.failure->exit_code;
    d.document["exit_meaning"] = meaning.what;
    d.document["what_now"] = meaning.what_now;
  } else if (c.trains && c.view.state == RunState::finished) {
    d.lines.push_back(c.view.state_text.find("saved") != std::string::npos
                          ? "what now   resume to go on"
                          : "what now   nothing is to be done");
    may_resume = c.view.state_text.find("saved") != std::string::npos;
  }
  d.document["has_checkpoint"] = c.has_checkpoint;
  d.document["may_resume"] = may_resume;
  if (!may_resume) {
    return;
  }
  const int ranks = option(c.run, "world_size", 1);
  const std::string command = cat(ranks > 1 ? cat("mpirun -np ", ranks, " ") : "", "yolodist train --resume ",
                                  cli::shell_word(c.directory.root.string()));
  d.document["resume_command"] = command;
  d.lines.push_back(
      cat("resume     ", command, c.has_checkpoint ? "" : "  (no checkpoint yet: it starts afresh)"));
}

void add_logs(const Case& c, Diagnosis& d) {
  d.document["log_lines"] = ordered_json::array();
  std::vector<std::string> lines;
  for (const LogLine& line : c.evidence.log_lines) {
    d.document["log_lines"].push_back({{"rank", line.rank}, {"text", line.text}});
    lines.push_back(cat("rank ", line.rank, ": ", line.text));
  }
  add_part(d, "logs", lines);
  d.document["unread"] = c.evidence.unread;
  for (const std::string& problem : c.evidence.unread) {
    d.lines.push_back(cat("unread     ", problem));
  }
}

}  // namespace

Diagnosis diagnose_run(const run::RunDirectory& directory) {
  const Case c = read_case(directory);
  Diagnosis d;
  add_run(c, d);
  add_failure(c, d);
  add_memory_events(c, d);
  add_link_events(c, d);
  add_ranks(c, d);
  if (c.trains && c.failure != nullptr && c.failure->exit_code == to_int(ExitCode::out_of_memory)) {
    add_fitting_plan(c, d);
  }
  add_way_on(c, d);
  add_logs(c, d);
  return d;
}

}  // namespace yolodist::commands
