// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace yolodist::device {

struct CudaDevice {
  int index = 0;     // nvidia-smi's number (of the card, for a slice of a card)
  std::string uuid;  // "GPU-…", or "MIG-…" for a slice
  std::string pci;   // "00000000:65:00.0"
  std::string name;
  Bytes memory;              // of the whole card or slice
  Bytes free{};              // of it, now
  std::string capability{};  // compute capability, "7.5"; "" = it does not say
};

struct CudaInventory {
  std::vector<CudaDevice> devices;  // those that CUDA_VISIBLE_DEVICES leaves, in its order
  std::string problem;              // why there is none: "no NVIDIA driver (libnvidia-ml.so.1 not found)"
  std::string what_now{};           // about that: a sentence
  bool has_card = false;            // there is a card, though it may not be usable
  std::string driver{};             // "550.54.14"; "" = it does not say
  int driver_cuda = 0;              // the newest CUDA that the driver runs: 12040 = 12.4; 0 = it does not say
  std::optional<std::string> visible{};  // CUDA_VISIBLE_DEVICES as it was given
};

// A slice of a card (MIG).
bool is_slice(const CudaDevice& device);

// Asks the driver through NVML, loaded at run time: no CUDA is opened, and nothing of it is needed to build.
// A card that is cut into slices is not there itself, its slices are. `visible` is CUDA_VISIBLE_DEVICES,
// nothing if unset: numbers, UUIDs, or beginnings of UUIDs that fit one device. As in CUDA, the list ends at
// the first entry that does not exist, and a device named twice leaves none. `root` is where the system's
// files are that explain what is missing.
CudaInventory read_cuda_inventory(const std::optional<std::string>& visible,
                                  const std::string& library = "libnvidia-ml.so.1",
                                  const std::filesystem::path& root = "/");

}  // namespace yolodist::device
