// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/plan.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "common/plan/bounds.h"
#include "common/plan/budgets.h"
#include "common/plan/report.h"
#include "common/plan/summary.h"
#include "launcher/cli/plan_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/placement.h"
#include "launcher/device/cuda_support.h"
#include "launcher/device/device_choice.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;
using plan::DeviceKind;
using plan::Precision;

std::vector<fs::path> model_files(const std::vector<std::string>& names) {
  std::vector<fs::path> files;
  for (const std::string& name : names) {
    if (name != "all") {
      files.push_back(config::find_shipped(name, "models"));
      continue;
    }
    // By size: n, s, m, l, x, then those with four levels.
    for (const char* suffix : {"", "6"}) {
      for (const char* size : {"n", "s", "m", "l", "x"}) {
        files.push_back(config::find_shipped(cat("yolov5", size, suffix), "models"));
      }
    }
  }
  return files;
}

void check_precision(const std::string& text, bool is_cuda) {
  if (is_cuda && text == "fp64") {
    throw UsageError("--precision fp64 is for the CPU", "Plan fp32, fp16 or bf16 for cards.");
  }
}

std::vector<plan::Device> devices_of_cards(const cli::PlanOptions& o, const plan::CardCatalogue& catalogue) {
  std::vector<plan::Device> devices;
  for (const std::string& name : o.cards) {
    devices.push_back(plan::device_of_card(plan::find_card(catalogue, name),
                                           plan::precision_named(o.precision, /*is_cuda=*/true)));
  }
  const auto ranks = static_cast<size_t>(std::max(o.ranks, 1));
  while (devices.size() < ranks) {
    devices.push_back(devices.front());
  }
  return devices;
}

std::vector<device::CudaDevice> found_devices(const cli::PlanOptions& o) {
  const device::DeviceRequest request = device::parse_device(o.device);
  if (request.kind == device::DeviceRequest::Kind::cpu) {
    return {};
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return device::devices_to_use(
      request,
      device::read_cuda_inventory(visible == nullptr ? std::nullopt : std::optional<std::string>(visible)));
}

std::vector<plan::Device> devices_of_machine(const cli::PlanOptions& o,
                                             const plan::CardCatalogue& catalogue) {
  std::vector<device::CudaDevice> found = found_devices(o);
  std::vector<plan::Device> devices;
  if (found.empty()) {
    plan::Device cpu;
    cpu.card = "cpu";
    devices.assign(static_cast<size_t>(std::max(o.ranks, 1)), cpu);
    return devices;
  }
  if (o.ranks > static_cast<int>(found.size())) {
    throw UsageError(cat("--ranks ", o.ranks, ", but there are ", found.size(), " devices for them"),
                     "Plan for other cards with --card NAME.");
  }
  found.resize(o.ranks > 0 ? static_cast<size_t>(o.ranks) : found.size());
  for (const device::CudaDevice& device : found) {
    devices.push_back(
        planned_device(catalogue, device, plan::precision_named(o.precision, /*is_cuda=*/true)));
  }
  return devices;
}

plan::Request request_of(const cli::PlanOptions& o, const model_spec::ModelSpec& spec, int side_px,
                         const std::vector<plan::Device>& devices) {
  plan::Request request;
  request.spec = &spec;
  plan::Workload& w = request.workload;
  w.precision = plan::precision_named(o.precision, devices.front().kind == DeviceKind::cuda);
  w.imgsz_px = plan::side_on_stride(spec, side_px);
  w.height_px = w.width_px = plan::largest_training_side(spec, w.imgsz_px, o.multi_scale);
  w.validation_height_px = w.validation_width_px = plan::largest_validation_side(spec, w.imgsz_px);
  w.optimizer_state_count = o.optimizer == "SGD" ? 1 : 2;
  request.matches_a_picture = plan::most_matches(spec, o.targets);
  request.global_batch = o.global_batch;
  request.bn_group = o.bn_group;
  request.accumulate = o.accumulate;
  request.validation_batch = o.val_batch;
  request.shard = o.shard;
  request.recompute = plan::recompute_choice(o.recompute);
  request.may_lower_bn_group = o.allow_recipe_change;
  request.devices = devices;
  return request;
}

// What is planned for, and whether this build runs on it: a plan says what would fit, wherever it is made.
struct CardType {
  std::string name, capability;
  std::string problem, what_now;  // "" = it runs
};

std::vector<CardType> card_types(const cli::PlanOptions& o, const plan::CardCatalogue& catalogue) {
  const device::CudaBuild build = cuda_build();
  std::vector<CardType> types;
  const auto add = [&](const std::string& name, const std::string& capability) {
    if (std::none_of(types.begin(), types.end(), [&](const CardType& type) { return type.name == name; })) {
      CardType type = {name, capability, device::card_problem(build, name, capability), ""};
      type.what_now = type.problem.empty() ? "" : device::other_build(build, {capability}, {});
      types.push_back(std::move(type));
    }
  };
  for (const std::string& name : o.cards) {
    const plan::Card& card = plan::find_card(catalogue, name);
    add(card.name, card.capability);
  }
  if (o.cards.empty()) {
    for (const device::CudaDevice& device : found_devices(o)) {
      add(device.name, device.capability);
    }
  }
  return types;
}

// A line each, of those that this build does not run on.
std::string build_notes(const std::vector<CardType>& types) {
  std::string text;
  for (const CardType& type : types) {
    if (!type.problem.empty()) {
      text += cat("Not with this yolodist: ", type.problem,
                  type.what_now.empty() ? "" : cat("; for it, ", type.what_now), ".\n");
    }
  }
  return text;
}

nlohmann::ordered_json build_document(const std::vector<CardType>& types) {
  const device::CudaBuild build = cuda_build();
  nlohmann::ordered_json document = {{"libtorch", build.libtorch},
                                     {"cuda", build.cuda},
                                     {"capabilities", device::capabilities_text(build)},
                                     {"least_driver", device::least_driver(build.cuda)},
                                     {"cards", nlohmann::ordered_json::array()}};
  for (const CardType& type : types) {
    document["cards"].push_back({{"card", type.name},
                                 {"capability", type.capability},
                                 {"runs", type.problem.empty()},
                                 {"problem", type.problem},
                                 {"what_now", type.what_now}});
  }
  return document;
}

int most_plain(plan::Request request) {
  request.recompute = plan::RecomputeChoice::none;
  return plan::largest_group(request);
}

}  // namespace

plan::Device planned_device(const plan::CardCatalogue& catalogue, const device::CudaDevice& device,
                            Precision precision) {
  const plan::Card* card = plan::recognise_card(catalogue, device.name, device.memory.count);
  plan::Device planned = card != nullptr ? plan::device_of_card(*card, precision)
                                         : plan::unlisted_device(catalogue, device.name, device.memory.count);
  if (card != nullptr) {
    // The driver's total may hold what it keeps for itself; the catalogue's figure does not.
    planned.budget_bytes = std::min(card->memory_bytes, device.memory.count);
  }
  planned.uuid = device.uuid;
  return planned;
}

int plan(const std::vector<std::string>& words) {
  const cli::PlanCommandLine line = cli::parse_plan(words);
  if (line.wants_help) {
    return print(cli::plan_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  const cli::PlanOptions& o = line.options;
  log::Setup console;
  console.console_to_stderr = o.json;
  log::configure(console);
  const plan::CardCatalogue catalogue =
      o.cards_file.empty() ? plan::read_shipped_cards() : plan::read_cards(o.cards_file);
  std::vector<plan::Device> devices =
      o.cards.empty() ? devices_of_machine(o, catalogue) : devices_of_cards(o, catalogue);
  const bool is_cuda = devices.front().kind == DeviceKind::cuda;
  check_precision(o.precision, is_cuda);
  plan::set_budgets(devices, o.device_memory_bytes, o.memory_reserve);
  const std::vector<fs::path> files = model_files(o.models);
  const bool is_single = files.size() * o.sides_px.size() == 1;
  std::vector<model_spec::ModelSpec> specs;
  for (const fs::path& file : files) {
    specs.push_back(model_spec::read_model_spec(file, o.class_count));
  }
  std::vector<plan::Case> cases;
  for (const model_spec::ModelSpec& spec : specs) {
    for (const int side_px : o.sides_px) {
      plan::Case one;
      one.request = request_of(o, spec, side_px, devices);
      one.plan = plan::make_plan(one.request);
      one.most_pictures_plain = is_single ? 0 : most_plain(one.request);
      cases.push_back(std::move(one));
    }
  }
  const std::vector<CardType> types = is_cuda ? card_types(o, catalogue) : std::vector<CardType>();
  if (o.json) {
    std::vector<nlohmann::ordered_json> documents;
    for (const plan::Case& one : cases) {
      documents.push_back(plan::plan_json(one.request, one.plan));
    }
    nlohmann::ordered_json document = is_single ? documents.front() : plan::plans_json(std::move(documents));
    document["build"] = build_document(types);
    print(document.dump(2) + "\n");
  } else {
    print((is_single ? plan::plan_text(cases.front().request, cases.front().plan, o.verbose)
                     : plan::cases_text(cases)) +
          build_notes(types));
  }
  const bool fits =
      std::any_of(cases.begin(), cases.end(), [](const plan::Case& one) { return one.plan.fits; });
  return to_int(fits ? ExitCode::ok : ExitCode::out_of_memory);
}

}  // namespace yolodist::commands
