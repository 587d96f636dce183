// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/config/train_options.h"
#include "launcher/cli/version.h"
#include "launcher/device/cuda_inventory.h"
#include "launcher/device/cuda_support.h"
#include "launcher/device/device_choice.h"
#include "launcher/device/host.h"
#include "launcher/device/network.h"
#include "launcher/mpi/launch_environment.h"
#include "launcher/mpi/session.h"

namespace yolodist::commands {

// Where a rank runs and on what.
struct Place {
  int rank = 0, node = 0, local_rank = 0;
  std::string host;
  device::Cores cores;
  bool is_widened = false;                       // the mask was wider than mpirun had left it
  std::optional<device::CudaDevice> device;      // nothing = CPU
  std::string no_device, no_device_hint;         // why there is none, where none was to be had; what now
  bool has_unused_card = false;                  // nobody asked for the CPU
  int visible_devices = 0;                       // that this rank could choose from
  std::optional<std::string> visible_to_worker;  // CUDA_VISIBLE_DEVICES of a worker on `device`
  int online_cores = 0;                          // of the host
  std::vector<device::NetworkAddress> addresses;
  int threads = 1;
};
nlohmann::json place_to_json(const Place& place);
Place place_from_json(const nlohmann::json& document);

// What this yolodist was built with.
device::CudaBuild cuda_build(const cli::BuildVersions& versions = cli::build_versions());

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

// This rank's own, but for the threads; widens its mask. Throws DeviceUnavailable, also for a card or a
// driver that this build does not run on.
Place own_place(const mpi::Session& session, const DeviceSituation& situation, const mpi::GetVariable& get);

// The table that rank 0 prints at the start. With several hosts it has the way to the others: interface and
// address.
std::string places_table(const std::vector<Place>& places);
// "0 NVIDIA T4, 15.0 GiB, 65:00.0", "cpu".
std::string device_text(const std::optional<device::CudaDevice>& device);
// The interface and address by which a rank reaches those of other hosts: "eth0 10.0.0.1"; "-" = none is
// known. On a single host the default way.
std::string network_text(const Place& place, const std::vector<Place>& places);

// Rows of equally many columns, the first one on the right, the last not padded.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// What rank 0 says after the table, a line each: what makes this placement slower than it has to be.
struct PlaceNote {
  bool is_warning = false;
  std::string text;
  std::string what_now{};  // "" where nothing is to be done
};
std::vector<PlaceNote> place_notes(const std::vector<Place>& places);

// The rules of agree_on_places for places that are known already: threads, and what is not allowed.
void settle_places(std::vector<Place>& places, int wanted_threads);

}  // namespace yolodist::commands
