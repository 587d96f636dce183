// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
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
// The number of a card that is cut into slices means all of them.
// Throws DeviceUnavailable when CUDA was asked for and there is none, or a number is not among those visible.
std::vector<CudaDevice> devices_to_use(const DeviceRequest& request, const CudaInventory& inventory);

// The device of a rank: the only one that is visible, or the one of its place on the host (as MPI tells it;
// SLURM_LOCALID is that of mpirun's daemon under mpirun).
// Throws DeviceUnavailable with the list when there are fewer devices than ranks on the host.
CudaDevice device_of_rank(const std::vector<CudaDevice>& devices, int local_rank, int local_size);

// CUDA_VISIBLE_DEVICES for the worker that is to use `own`: the same devices as in the inventory, but by
// UUID, since numbers mean other cards under CUDA_DEVICE_ORDER=FASTEST_FIRST. Nothing where it was unset. A
// worker on a slice sees that slice alone: CUDA opens the first one it sees, and no other.
std::optional<std::string> visible_to_worker(const CudaInventory& inventory, const CudaDevice& own);

}  // namespace yolodist::device
