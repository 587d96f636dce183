// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/device/cuda_inventory.h"

namespace yolodist::device {

// What --device asks for.
struct DeviceRequest {
  enum class Kind { automatic, cpu, cuda } kind = Kind::automatic;
  std::vector<int> numbers;  // nvidia-smi's; empty = all that are visible
};

// "", "cpu", "cuda", "0", "0,1". Throws UsageError for anything else, with what is meant by it if that is
// known.
DeviceRequest parse_device(const std::string& text);

// The devices to use: none means CPU. Automatic takes CUDA where there is any.
// Throws DeviceUnavailable when CUDA was asked for and there is none, or a number is not among those visible.
std::vector<CudaDevice> devices_to_use(const DeviceRequest& request, const CudaInventory& inventory);

// The device of a rank: the only one that is visible, or the one of its place on the host.
// Throws DeviceUnavailable with the list when there are fewer devices than ranks on the host.
CudaDevice device_of_rank(const std::vector<CudaDevice>& devices, int local_rank, int local_size);

}  // namespace yolodist::device
