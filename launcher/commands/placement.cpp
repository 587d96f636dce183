// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/placement.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/commands/error_text.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds answer_limit{120};

// mpirun binds one or two ranks to one core each unless told otherwise: decoding threads would starve.
bool widen_mask(const mpi::GetVariable& get, const device::Cores& cores) {
  if (!mpi::is_default_binding(get)) {
    return false;
  }
  const std::optional<device::Cores> parent = device::allowed_cores_of(getppid());
  return parent && parent->size() > cores.size() && device::contains(*parent, cores) &&
         device::set_allowed_cores(*parent);
}

json to_json(const Place& place) {
  json document = {{"rank", place.rank},
                   {"node", place.node},
                   {"local_rank", place.local_rank},
                   {"host", place.host},
                   {"cores", device::cores_text(place.cores)},
                   {"is_widened", place.is_widened}};
  if (place.device) {
    document["device"] = {{"index", place.device->index},
                          {"uuid", place.device->uuid},
                          {"pci", place.device->pci},
                          {"name", place.device->name},
                          {"memory", place.device->memory.count}};
  }
  return document;
}

Place place_from_json(const json& document) {
  Place place;
  place.rank = document.at("rank").get<int>();
  place.node = document.at("node").get<int>();
  place.local_rank = document.at("local_rank").get<int>();
  place.host = document.at("host").get<std::string>();
  place.cores = device::cores_from_text(document.at("cores").get<std::string>());
  place.is_widened = document.at("is_widened").get<bool>();
  if (document.contains("device")) {
    const json& device = document.at("device");
    place.device =
        device::CudaDevice{device.at("index").get<int>(), device.at("uuid").get<std::string>(),
                           device.at("pci").get<std::string>(), device.at("name").get<std::string>(),
                           Bytes{device.at("memory").get<int64_t>()}};
  }
  return place;
}

json describe_own_place(mpi::Session& session, const DeviceSituation& situation,
                        const mpi::GetVariable& get) {
  try {
    workers::find_worker_program(situation.worker_prefix);
    Place place;
    place.rank = session.rank();
    place.node = session.node();
    place.local_rank = session.local_rank();
    place.host = device::host_name();
    place.is_widened = widen_mask(get, device::allowed_cores());
    place.cores = device::allowed_cores();
    const std::vector<device::CudaDevice> devices =
        device::devices_to_use(situation.request, situation.inventory);
    if (!devices.empty()) {
      place.device = device::device_of_rank(devices, session.local_rank(), session.local_size());
    }
    return to_json(place);
  } catch (const Error& error) {
    const std::string what =
        session.size() == 1 ? error.what()
                            : cat("rank ", session.rank(), " on ", device::host_name(), ": ", error.what());
    return {{"error", error_to_json(Error(error.exit_code(), what, error.hint()))}};
  }
}

}  // namespace

std::vector<Place> agree_on_places(mpi::Session& session, const DeviceSituation& situation,
                                   const mpi::GetVariable& get, int wanted_threads) {
  const std::vector<std::string> texts =
      mpi::all_gather_texts(session, describe_own_place(session, situation, get).dump(),
                            Deadline::after(answer_limit), "telling each other where the ranks run");
  std::vector<Place> places;
  for (const std::string& text : texts) {
    const json document = json::parse(text);
    if (document.contains("error")) {
      throw error_from_json(document.at("error"));
    }
    places.push_back(place_from_json(document));
  }
  settle_places(places, wanted_threads);
  return places;
}

void settle_places(std::vector<Place>& places, int wanted_threads) {
  std::map<int, std::pair<device::Cores, int>> nodes;  // union of the masks, ranks
  std::map<std::pair<int, std::string>, int> holders;  // of a device: rank
  const Place& first = places.front();
  for (const Place& place : places) {
    auto& [cores, ranks] = nodes[place.node];
    cores = device::union_of(cores, place.cores);
    ++ranks;
    if (place.device.has_value() != first.device.has_value()) {
      throw DeviceUnavailable(cat("rank ", place.device ? place.rank : first.rank, " has a GPU, but rank ",
                                  place.device ? first.rank : place.rank, " on ",
                                  place.device ? first.host : place.host, " has none"),
                              "Use hosts with GPUs only, or --device cpu.");
    }
    if (!place.device) {
      continue;
    }
    const auto [holder, is_first] = holders.emplace(std::pair(place.node, place.device->uuid), place.rank);
    if (!is_first) {
      throw DeviceUnavailable(
          cat("ranks ", holder->second, " and ", place.rank, " on ", place.host, " have the same GPU ",
              place.device->uuid),
          "Start one rank a GPU; with SLURM, give each task its own or all GPUs of the node.");
    }
  }
  for (Place& place : places) {
    const auto& [cores, ranks] = nodes[place.node];
    place.threads = wanted_threads > 0 ? wanted_threads : device::threads_a_rank(cores, ranks);
  }
}

std::string places_table(const std::vector<Place>& places) {
  size_t host_width = 4, device_width = 6, cores_width = 5;
  std::vector<std::string> devices, cores;
  for (const Place& place : places) {
    devices.push_back(place.device ? cat(place.device->index, " ", place.device->name, ", ",
                                         to_string(place.device->memory), ", ", place.device->pci)
                                   : "cpu");
    cores.push_back(device::cores_text(place.cores));
    host_width = std::max(host_width, place.host.size());
    device_width = std::max(device_width, devices.back().size());
    cores_width = std::max(cores_width, cores.back().size());
  }
  const auto row = [&](const std::string& rank, const std::string& host, const std::string& device,
                       const std::string& core, const std::string& threads) {
    return printf_string("  %4s  %-*s  %-*s  %-*s  %s", rank.c_str(), static_cast<int>(host_width),
                         host.c_str(), static_cast<int>(device_width), device.c_str(),
                         static_cast<int>(cores_width), core.c_str(), threads.c_str());
  };
  std::vector<std::string> lines = {row("rank", "host", "device", "cores", "threads")};
  for (size_t i = 0; i < places.size(); ++i) {
    lines.push_back(row(std::to_string(places[i].rank), places[i].host, devices[i], cores[i],
                        std::to_string(places[i].threads)));
  }
  return join(lines, "\n");
}

}  // namespace yolodist::commands
