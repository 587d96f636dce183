// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/cuda_support.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::device {
namespace {

// Those that cmake/libtorch-requirements*.txt pin. Targets: the text of torch.cuda.get_arch_list() in these
// wheels.
const std::array<CudaBuild, 2>& known_builds() {
  static const std::array<CudaBuild, 2> builds = {
      CudaBuild{"2.11.0", "13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"},
      CudaBuild{"2.7.1", "12.6", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"}};
  return builds;
}

int first_number(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

struct Capability {
  int major = 0, minor = 0;
  auto operator<=>(const Capability&) const = default;
};

Capability capability_of(const std::string& text) {
  const size_t point = text.find('.');
  return {first_number(text), point == std::string::npos ? 0 : first_number(text.substr(point + 1))};
}

struct Target {
  Capability capability;
  bool is_ptx = false;
  bool is_exact = false;  // "sm_90a": for that capability alone
};

std::vector<Target> targets_of(const CudaBuild& build) {
  std::string text = build.targets;
  for (const CudaBuild& known : known_builds()) {
    if (text.empty() && known.libtorch == build.libtorch && known.cuda == build.cuda) {
      text = known.targets;
    }
  }
  std::vector<Target> targets;
  for (const std::string& word : split(text, ' ')) {
    const size_t line = word.find('_');
    const int number = line == std::string::npos ? 0 : first_number(std::string_view(word).substr(line + 1));
    if (number > 0) {
      targets.push_back({{number / 10, number % 10}, word.starts_with("compute"), word.ends_with('a')});
    }
  }
  return targets;
}

bool runs(const Target& target, const Capability& card) {
  if (target.is_exact) {
    return target.capability == card;
  }
  return target.capability <= card && (target.is_ptx || target.capability.major == card.major);
}

// What NVML says of the newest CUDA counts, because a compatibility package may bring a newer one.
bool is_driver_enough(const std::string& cuda, const CudaInventory& inventory) {
  if (first_number(cuda) == 0) {
    return true;
  }
  if (inventory.driver_cuda > 0) {
    return inventory.driver_cuda / 1000 >= first_number(cuda);
  }
  return inventory.driver.empty() || first_number(inventory.driver) >= least_driver(cuda);
}

std::string build_text(const CudaBuild& build) {
  return cat("this build (LibTorch ", build.libtorch, ", CUDA ", build.cuda, ")");
}

std::string sentence(std::vector<std::string> choices) {
  std::erase(choices, "");
  std::string text = choices.front();
  for (size_t i = 1; i < choices.size(); ++i) {
    text += cat(i + 1 == choices.size() ? ", or " : ", ", choices[i]);
  }
  text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  return text + ".";
}

std::string named(const CudaDevice& device) {
  return cat("GPU ", device.index, " (", device.name, ")");
}

}  // namespace

bool has_code_for(const CudaBuild& build, const std::string& capability) {
  const std::vector<Target> targets = targets_of(build);
  const Capability card = capability_of(capability);
  return card.major == 0 || targets.empty() ||
         std::any_of(targets.begin(), targets.end(),
                     [&](const Target& target) { return runs(target, card); });
}

std::string capabilities_text(const CudaBuild& build) {
  std::vector<std::string> texts;
  for (const Target& target : targets_of(build)) {
    texts.push_back(cat(target.capability.major, ".", target.capability.minor, target.is_ptx ? "+" : ""));
  }
  return join(texts, ", ");
}

// Source: docs.nvidia.com/deploy/cuda-compatibility, "minor version compatibility".
int least_driver(const std::string& cuda) {
  constexpr std::array<std::pair<int, int>, 3> drivers = {{{13, 580}, {12, 525}, {11, 450}}};
  const auto found = std::find_if(drivers.begin(), drivers.end(),
                                  [&](const auto& row) { return row.first == first_number(cuda); });
  return found == drivers.end() ? 0 : found->second;
}

std::string card_problem(const CudaBuild& build, const std::string& name, const std::string& capability) {
  return has_code_for(build, capability) ? ""
                                         : cat(name, " has compute capability ", capability, ", ",
                                               build_text(build), " has code for ", capabilities_text(build));
}

std::string driver_problem(const CudaBuild& build, const CudaInventory& inventory) {
  if (is_driver_enough(build.cuda, inventory)) {
    return "";
  }
  const int newest = inventory.driver_cuda, least = least_driver(build.cuda);
  return cat("the NVIDIA driver ", inventory.driver,
             newest > 0 ? cat(" runs CUDA up to ", newest / 1000, ".", newest % 1000 / 10) : " is too old",
             ", ", build_text(build), " needs ", first_number(build.cuda), ".0",
             least > 0 ? cat(" (driver ", least, ")") : "", " or newer");
}

std::string other_build(const CudaBuild& build, const std::vector<std::string>& capabilities,
                        const CudaInventory& inventory) {
  for (const CudaBuild& known : known_builds()) {
    if (known.libtorch != build.libtorch && is_driver_enough(known.cuda, inventory) &&
        std::all_of(capabilities.begin(), capabilities.end(),
                    [&](const std::string& capability) { return has_code_for(known, capability); })) {
      return cat("build yolodist with LibTorch ", known.libtorch, " (CUDA ", known.cuda, ", driver ",
                 least_driver(known.cuda), " or newer; docs/installing.md)");
    }
  }
  return "";
}

std::string driver_advice(const CudaBuild& build, const CudaInventory& inventory) {
  std::vector<std::string> capabilities;
  for (const CudaDevice& device : inventory.devices) {
    capabilities.push_back(device.capability);
  }
  const int least = least_driver(build.cuda);
  return sentence(
      {least > 0 ? cat("install the NVIDIA driver ", least, " or newer") : "install a newer NVIDIA driver",
       other_build(build, capabilities, inventory), "use --device cpu"});
}

void check_runnable(const CudaBuild& build, const std::vector<CudaDevice>& chosen,
                    const CudaInventory& inventory) {
  for (const CudaDevice& device : chosen) {
    const std::string problem = card_problem(build, named(device), device.capability);
    if (problem.empty()) {
      continue;
    }
    std::vector<std::string> others;
    for (const CudaDevice& other : inventory.devices) {
      if (has_code_for(build, other.capability)) {
        others.push_back(std::to_string(other.index));
      }
    }
    const bool another_runs = !others.empty() && driver_problem(build, inventory).empty();
    throw DeviceUnavailable(problem, sentence({another_runs ? cat("use --device ", join(others, ",")) : "",
                                               other_build(build, {device.capability}, inventory),
                                               another_runs ? "" : "use --device cpu"}));
  }
  if (const std::string problem = driver_problem(build, inventory); !chosen.empty() && !problem.empty()) {
    throw DeviceUnavailable(problem, driver_advice(build, inventory));
  }
}

}  // namespace yolodist::device
