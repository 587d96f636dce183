// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/train_options.h"
#include "launcher/device/cuda_inventory.h"
#include "launcher/device/device_choice.h"
#include "launcher/device/host.h"
#include "launcher/mpi/launch_environment.h"
#include "launcher/mpi/session.h"

namespace yolodist::commands {

// Where a rank runs and on what.
struct Place {
  int rank = 0, node = 0, local_rank = 0;
  std::string host;
  device::Cores cores;
  bool is_widened = false;                   // the mask was wider than mpirun had left it
  std::optional<device::CudaDevice> device;  // nothing = CPU
  int threads = 1;
};

// What --device and the machine give, before MPI is there.
struct DeviceSituation {
  device::DeviceRequest request;
  device::CudaInventory inventory;
  std::vector<std::string> worker_prefix;
};

// Widens this process's core mask where mpirun's default binding left it narrow, chooses the device, tells
// the other ranks and counts threads. Collective. Returns the places of all ranks. Throws the same error on
// every rank: DeviceUnavailable for a device that is not there, taken twice, or CUDA on some ranks only.
std::vector<Place> agree_on_places(mpi::Session& session, const DeviceSituation& situation,
                                   const mpi::GetVariable& get, int wanted_threads);

// The table that rank 0 prints at the start.
std::string places_table(const std::vector<Place>& places);

// The rules of agree_on_places for places that are known already: threads, and what is not allowed.
void settle_places(std::vector<Place>& places, int wanted_threads);

}  // namespace yolodist::commands
