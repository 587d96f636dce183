// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/placement.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/text.h"
#include "launcher/cli/version.h"
#include "launcher/commands/error_text.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds answer_limit{120};

std::vector<std::string> words_of(pid_t process) {
  std::ifstream file(cat("/proc/", process, "/cmdline"), std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) {
    words.push_back(word);
  }
  return words;
}

// mpirun binds one or two ranks to one core each unless told otherwise: decoding threads would starve.
bool widen_mask(const mpi::GetVariable& get, const device::Cores& cores) {
  if (!mpi::is_default_binding(get, words_of(getppid()))) {
    return false;
  }
  const std::optional<device::Cores> parent = device::allowed_cores_of(getppid());
  return parent && parent->size() > cores.size() && device::contains(*parent, cores) &&
         device::set_allowed_cores(*parent);
}

// "1 and 3", "0-3", "0, 2 and 5".
std::string ranks_text(const device::Cores& ranks) {
  std::string text = device::cores_text(ranks);
  const size_t comma = text.rfind(',');
  if (comma != std::string::npos) {
    text.replace(comma, 1, " and ");
  }
  return text;
}

}  // namespace

device::CudaBuild cuda_build(const cli::BuildVersions& versions) {
  return {versions.libtorch, versions.cuda, versions.cuda_targets};
}

json place_to_json(const Place& place) {
  json document = {{"rank", place.rank},
                   {"node", place.node},
                   {"local_rank", place.local_rank},
                   {"host", place.host},
                   {"cores", device::cores_text(place.cores)},
                   {"is_widened", place.is_widened},
                   {"no_device", place.no_device},
                   {"no_device_hint", place.no_device_hint},
                   {"has_unused_card", place.has_unused_card},
                   {"visible_devices", place.visible_devices},
                   {"online_cores", place.online_cores},
                   {"addresses", json::array()}};
  for (const device::NetworkAddress& address : place.addresses) {
    document["addresses"].push_back(
        {address.interface, address.address, address.prefix_bits, address.is_default_way});
  }
  if (place.visible_to_worker) {
    document["visible_to_worker"] = *place.visible_to_worker;
  }
  if (place.device) {
    document["device"] = {{"index", place.device->index},
                          {"uuid", place.device->uuid},
                          {"pci", place.device->pci},
                          {"name", place.device->name},
                          {"memory", place.device->memory.count},
                          {"capability", place.device->capability}};
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
  place.no_device = document.at("no_device").get<std::string>();
  place.no_device_hint = document.at("no_device_hint").get<std::string>();
  place.has_unused_card = document.at("has_unused_card").get<bool>();
  place.visible_devices = document.at("visible_devices").get<int>();
  place.online_cores = document.at("online_cores").get<int>();
  for (const json& address : document.at("addresses")) {
    place.addresses.push_back({address.at(0).get<std::string>(), address.at(1).get<std::string>(),
                               address.at(2).get<int>(), address.at(3).get<bool>()});
  }
  if (document.contains("visible_to_worker")) {
    place.visible_to_worker = document.at("visible_to_worker").get<std::string>();
  }
  if (document.contains("device")) {
    const json& device = document.at("device");
    place.device = device::CudaDevice{device.at("index").get<int>(),
                                      device.at("uuid").get<std::string>(),
                                      device.at("pci").get<std::string>(),
                                      device.at("name").get<std::string>(),
                                      Bytes{device.at("memory").get<int64_t>()},
                                      Bytes{},
                                      device.at("capability").get<std::string>()};
  }
  return place;
}

Place own_place(const mpi::Session& session, const DeviceSituation& situation, const mpi::GetVariable& get) {
  Place place;
  place.rank = session.rank();
  place.node = session.node();
  place.local_rank = session.local_rank();
  place.host = host_name();
  place.is_widened = widen_mask(get, device::allowed_cores());
  place.cores = device::allowed_cores();
  place.online_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  place.addresses = device::network_addresses();
  const std::vector<device::CudaDevice> devices =
      device::devices_to_use(situation.request, situation.inventory);
  place.visible_devices = static_cast<int>(situation.inventory.devices.size());
  if (devices.empty()) {
    place.no_device = situation.inventory.problem;
    place.no_device_hint = situation.inventory.what_now;
    place.has_unused_card =
        situation.request.kind != device::DeviceRequest::Kind::cpu && situation.inventory.has_card;
    return place;
  }
  place.device = device::device_of_rank(devices, session.local_rank(), session.local_size());
  device::check_runnable(cuda_build(), {*place.device}, situation.inventory);
  place.visible_to_worker = device::visible_to_worker(situation.inventory, *place.device);
  return place;
}

namespace {

json describe_own_place(mpi::Session& session, const DeviceSituation& situation,
                        const mpi::GetVariable& get) {
  try {
    workers::find_worker_program(situation.worker_prefix);
    return place_to_json(own_place(session, situation, get));
  } catch (const Error& error) {
    const std::string what = session.size() == 1
                                 ? error.what()
                                 : cat("rank ", session.rank(), " on ", host_name(), ": ", error.what());
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
  std::map<std::string, const Place*> holders;         // of a device
  const Place& first = places.front();
  for (const Place& place : places) {
    auto& [cores, ranks] = nodes[place.node];
    cores = device::union_of(cores, place.cores);
    ++ranks;
    if (place.device.has_value() != first.device.has_value()) {
      const Place& with = place.device ? place : first;
      const Place& without = place.device ? first : place;
      throw DeviceUnavailable(
          cat("rank ", with.rank, " has a GPU, but rank ", without.rank, " on ", without.host, " has none",
              without.no_device.empty() ? "" : cat(": ", without.no_device)),
          "Use hosts with GPUs only, or --device cpu.");
    }
    if (!place.device) {
      continue;
    }
    // A UUID is one card in the world: ranks in different containers of a host do not share a node.
    const std::string card =
        place.device->uuid.empty() ? cat(place.node, " ", place.device->pci) : place.device->uuid;
    const auto [holder, is_first] = holders.emplace(card, &place);
    if (!is_first) {
      throw DeviceUnavailable(
          cat(holder->second->host == place.host
                  ? cat("ranks ", holder->second->rank, " and ", place.rank, " on ", place.host)
                  : cat("rank ", holder->second->rank, " on ", holder->second->host, " and rank ", place.rank,
                        " on ", place.host),
              " have the same GPU ", place.device->uuid,
              place.visible_devices == 1 ? ", the only one that each of them sees" : ""),
          "Start one rank a GPU; with SLURM, give each task its own or all GPUs of the node.");
    }
  }
  for (Place& place : places) {
    const auto& [cores, ranks] = nodes[place.node];
    // Not more than its own mask holds, where masks differ.
    place.threads = wanted_threads > 0 ? wanted_threads
                                       : std::min(device::threads_a_rank(cores, ranks),
                                                  std::max(1, static_cast<int>(place.cores.size())));
  }
}

std::string device_text(const std::optional<device::CudaDevice>& device) {
  if (!device) {
    return "cpu";
  }
  // The PCI domain is 0 nearly everywhere.
  const std::string_view pci = device->pci;
  const std::string_view short_pci = pci.starts_with("00000000:") ? pci.substr(9) : pci;
  return cat(device->index, " ", device->name, ", ", to_string(device->memory), ", ", short_pci);
}

std::string network_text(const Place& place, const std::vector<Place>& places) {
  const device::NetworkAddress* way = nullptr;
  for (const Place& other : places) {
    if (way == nullptr && other.host != place.host) {
      way = device::way_to(place.addresses, other.addresses);
    }
  }
  if (way == nullptr) {
    way = device::way_to(place.addresses, {});
  }
  return way == nullptr ? "-" : cat(way->interface, " ", way->address);
}

std::string places_table(const std::vector<Place>& places) {
  const bool on_several_hosts = std::any_of(
      places.begin(), places.end(), [&](const Place& place) { return place.host != places.front().host; });
  std::vector<std::vector<std::string>> rows = {{"rank", "host", "device", "cores", "threads"}};
  for (const Place& place : places) {
    rows.push_back({std::to_string(place.rank), place.host, device_text(place.device),
                    device::cores_text(place.cores), std::to_string(place.threads)});
    if (on_several_hosts) {
      rows.back().push_back(network_text(place, places));
    }
  }
  if (on_several_hosts) {
    rows.front().emplace_back("network");
  }
  return table_text(rows);
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const std::vector<std::string>& row : rows) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::vector<std::string> lines;
  for (const std::vector<std::string>& row : rows) {
    std::string line = printf_string("  %*s", static_cast<int>(widths[0]), row[0].c_str());
    for (size_t column = 1; column < row.size(); ++column) {
      const bool is_last = column + 1 == row.size();
      line += printf_string("  %-*s", is_last ? 0 : static_cast<int>(widths[column]), row[column].c_str());
    }
    lines.push_back(line);
  }
  return join(lines, "\n");
}

std::vector<PlaceNote> place_notes(const std::vector<Place>& places) {
  std::vector<PlaceNote> notes;
  std::map<int, int> ranks_of;                                          // node
  std::map<std::string, device::Cores> slices_of;                       // card: ranks
  std::map<std::pair<std::string, std::string>, device::Cores> unused;  // why and what now: ranks
  device::Cores bound, alone;                                           // ranks
  bool is_widened = false;
  for (const Place& place : places) {
    ++ranks_of[place.node];
    is_widened = is_widened || place.is_widened;
  }
  for (const Place& place : places) {
    const int ranks = ranks_of[place.node];
    // Where the host has no more to give, nothing is to be said.
    if (place.cores.size() == 1 && place.online_cores >= 2 * ranks) {
      bound.push_back(place.rank);
    }
    if (place.has_unused_card) {
      unused[{place.no_device, place.no_device_hint}].push_back(place.rank);
    }
    if (place.device && device::is_slice(*place.device)) {
      slices_of[cat(place.node, " ", place.device->pci)].push_back(place.rank);
    } else if (place.device && place.visible_devices == 1 && ranks > 1) {
      alone.push_back(place.rank);
    }
  }
  if (is_widened) {
    notes.push_back(
        {false,
         "mpirun had bound the ranks to single cores; the workers may use all cores (mpirun --bind-to core "
         "keeps the binding)"});
  }
  if (!bound.empty()) {
    notes.push_back(
        {true,
         cat(bound.size() == 1 ? "rank " : "ranks ", ranks_text(bound),
             bound.size() == 1 ? " may use one core only: it" : " may use one core only each: they",
             " will wait for decoded pictures"),
         "srun: --cpus-per-task N, and export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK before it; "
         "mpirun: --bind-to none"});
  }
  if (!alone.empty()) {
    notes.push_back(
        {true,
         cat(alone.size() == 1 ? "rank " : "ranks ", ranks_text(alone), alone.size() == 1 ? " sees" : " see",
             " one GPU each: the GPUs of a host then cannot reach each other's memory directly, "
             "and gradients take slower ways"),
         "SLURM: --gpus-per-node instead of --gpus-per-task, or srun --gpu-bind=none"});
  }
  for (const auto& [reason, ranks] : unused) {
    notes.push_back(
        {true,
         cat(ranks.size() == 1 ? "rank " : "ranks ", ranks_text(ranks), ranks.size() == 1 ? " is" : " are",
             " on the CPU, though there is a GPU: ", reason.first),
         reason.second});
  }
  for (const auto& [card, ranks] : slices_of) {
    if (ranks.size() > 1) {
      notes.push_back({true,
                       cat("ranks ", ranks_text(ranks),
                           " are on slices of one card: NCCL may refuse that (Duplicate GPU)"),
                       "Slices of different cards, or whole cards, if it does."});
    }
  }
  return notes;
}

}  // namespace yolodist::commands
