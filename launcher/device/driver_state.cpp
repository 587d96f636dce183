// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/driver_state.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/base/text.h"

namespace yolodist::device {
namespace {

namespace fs = std::filesystem;

// Of NVML's manual.
constexpr int no_permission = 4, driver_not_loaded = 9, version_mismatch = 18;

constexpr const char* give_cards_to_container =
    "start the container with --gpus all (docker, podman) or --nv (apptainer)";
constexpr const char* ask_scheduler = "ask the scheduler for GPUs (SLURM: --gpus-per-node)";

std::string content(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// The word like "580.65.06" in the kernel's "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  …".
std::string version_in(const std::string& text) {
  for (const std::string& word : split(text.substr(0, text.find('\n')), ' ')) {
    const bool is_number = std::all_of(word.begin(), word.end(),
                                       [](unsigned char c) { return std::isdigit(c) != 0 || c == '.'; });
    if (is_number && word.find('.') != std::string::npos) {
      return word;
    }
  }
  return "";
}

bool is_nvidia_card(const fs::path& pci_device) {
  constexpr const char* nvidia = "0x10de";
  constexpr const char* display = "0x03";
  return content(pci_device / "vendor").starts_with(nvidia) &&
         content(pci_device / "class").starts_with(display);
}

bool is_card_node(const std::string& name) {
  constexpr std::string_view start = "nvidia";
  return name.starts_with(start) && name.size() > start.size() &&
         std::all_of(name.begin() + start.size(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

template <typename Use>
void for_each_entry(const fs::path& folder, Use use) {
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    use(entry->path());
  }
}

std::string missing_files(const DriverFiles& files) {
  std::vector<std::string> missing;
  if (!files.has_module) {
    missing.emplace_back("no kernel module");
  }
  if (!files.has_control) {
    missing.emplace_back("no /dev/nvidiactl");
  }
  if (files.card_nodes == 0) {
    missing.emplace_back("no /dev/nvidia0");
  }
  return join(missing, ", ");
}

std::string in_brackets(const std::string& first, const std::string& more) {
  return cat(" (", first, first.empty() || more.empty() ? "" : ", ", more, ")");
}

std::string version_of(const std::string& version) {
  return version.empty() ? "" : cat(" ", version);
}

DriverProblem may_not_open(const std::string& what) {
  return {cat("no permission for ", what),
          cat("ls -l /dev/nvidia* shows who may; under a scheduler, ", ask_scheduler, ".")};
}

}  // namespace

DriverFiles read_driver_files(const fs::path& root) {
  DriverFiles files;
  for_each_entry(root / "sys/bus/pci/devices",
                 [&](const fs::path& device) { files.has_card = files.has_card || is_nvidia_card(device); });
  const std::string version = content(root / "proc/driver/nvidia/version");
  files.has_module = !version.empty();
  files.module_version = version_in(version);
  const fs::path control = root / "dev/nvidiactl";
  std::error_code failure;
  files.has_control = fs::exists(control, failure);
  files.may_open_control = access(control.c_str(), R_OK | W_OK) == 0;
  for_each_entry(root / "dev",
                 [&](const fs::path& node) { files.card_nodes += is_card_node(node.filename()) ? 1 : 0; });
  for (const char* mark : {".dockerenv", "run/.containerenv", ".singularity.d"}) {
    files.is_container = files.is_container || fs::exists(root / mark, failure);
  }
  return files;
}

DriverProblem library_is_missing(const std::string& library, const DriverFiles& files) {
  if (files.has_module) {
    return {cat(library, " is not found, though the kernel has NVIDIA's driver",
                version_of(files.module_version)),
            files.is_container
                ? cat("Take a container with the driver's libraries: ", give_cards_to_container, ".")
                : cat("Install the driver's libraries", version_of(files.module_version),
                      " (nvidia-smi must work).")};
  }
  return {cat("no NVIDIA driver", in_brackets(cat(library, " not found"), missing_files(files)),
              files.has_card ? ", though the PCI bus has an NVIDIA card" : ""),
          cat("Install the NVIDIA driver (nvidia-smi must work)",
              files.is_container ? cat(" on the host, and ", give_cards_to_container)
                                 : "; in a container, start it with --gpus all",
              ".")};
}

DriverProblem driver_does_not_answer(int result, const std::string& text, const std::string& library_version,
                                     const DriverFiles& files) {
  if (result == version_mismatch) {
    return {cat("driver/library version mismatch: the library is ",
                library_version.empty() ? "another" : library_version, ", the kernel module",
                files.module_version.empty() ? " does not say" : version_of(files.module_version)),
            files.is_container
                ? "Leave the driver's libraries out of the image: the container gets the host's."
                : "The driver was updated while it was in use: reboot, or unload and load its modules."};
  }
  if (result == no_permission || (files.has_control && !files.may_open_control)) {
    return may_not_open("/dev/nvidiactl");
  }
  if (!files.has_module) {
    return {
        cat("the NVIDIA driver's kernel module is not loaded", in_brackets(text, missing_files(files))),
        cat("As root: modprobe nvidia; after a new kernel, install the driver again; with Secure Boot, the "
            "module must be signed",
            files.is_container ? " (all on the container's host)" : "", ".")};
  }
  if (result == driver_not_loaded || !files.has_control) {
    return {cat("the NVIDIA driver", version_of(files.module_version), " is loaded, but not reached",
                in_brackets(text, missing_files(files))),
            files.is_container ? cat("Give it its device nodes: ", give_cards_to_container, ".")
                               : "As root: nvidia-smi once, or nvidia-modprobe, makes the device nodes."};
  }
  return {cat("the NVIDIA driver does not answer (", text, ")"),
          "nvidia-smi and the kernel's log (dmesg, NVRM) say more."};
}

DriverProblem no_card_is_shown(const ClosedCards& closed, const DriverFiles& files) {
  const std::string cards = cat("the ", closed.count, closed.count == 1 ? " card" : " cards");
  if (closed.count > 0 && closed.all_refused) {
    DriverProblem problem = may_not_open(cards);
    problem.what += ", which the NVIDIA driver has";
    return problem;
  }
  if (closed.count > 0) {
    return {cat("the NVIDIA driver cannot open ", cards, in_brackets(closed.text, "")),
            "The kernel's log (dmesg: NVRM, Xid) says more; a reset of the card or a new start of the host "
            "may help."};
  }
  return {cat("the NVIDIA driver knows no device here", files.card_nodes == 0 ? " (no /dev/nvidia0)" : ""),
          files.is_container
              ? cat("If the host has cards: ", give_cards_to_container, ".")
              : cat("nvidia-smi -L lists what there is; in a batch job, ", ask_scheduler, ".")};
}

DriverProblem cuda_library_is_missing(const std::string& driver, const DriverFiles& files) {
  return {cat("libcuda.so.1 is not found, though the NVIDIA driver", version_of(driver), " answers"),
          files.is_container
              ? "Start the container with -e NVIDIA_DRIVER_CAPABILITIES=compute,utility."
              : cat("Install the driver's CUDA library", version_of(driver), " (Debian: libcuda1).")};
}

}  // namespace yolodist::device
