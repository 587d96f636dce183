// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace yolodist::device {

// What the system shows of NVIDIA's driver besides its libraries.
struct DriverFiles {
  bool has_card = false;         // an NVIDIA display device on the PCI bus
  bool has_module = false;       // the kernel module is loaded
  std::string module_version{};  // "580.65.06"; "" = it does not say
  bool has_control = false;      // /dev/nvidiactl
  bool may_open_control = false;
  int card_nodes = 0;  // /dev/nvidia0, …
  bool is_container = false;
};
// `root` is where the system's files are: "/", or a folder with some of them.
DriverFiles read_driver_files(const std::filesystem::path& root);

// Why no card can be used, and what to do about it: a sentence each.
struct DriverProblem {
  std::string what, what_now;
};
DriverProblem library_is_missing(const std::string& library, const DriverFiles& files);
// `result` is what nvmlInit returned, `text` NVML's words for it, `library_version` that of the library.
DriverProblem driver_does_not_answer(int result, const std::string& text, const std::string& library_version,
                                     const DriverFiles& files);
// Cards that the driver has and does not open.
struct ClosedCards {
  int count = 0;
  bool all_refused = true;  // for want of permission; else something is wrong with a card
  std::string text;         // NVML's words for the last one
};
// The driver answers, but names no card.
DriverProblem no_card_is_shown(const ClosedCards& closed, const DriverFiles& files);
DriverProblem cuda_library_is_missing(const std::string& driver, const DriverFiles& files);

}  // namespace yolodist::device
