// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/allocation_checks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double most_clock_skew_seconds = 1;
// A link this many times slower than the middle one of its kind stands out.
constexpr double slow_factor = 3;

std::string rate_text(double bytes_per_second) {
  return cat(to_string(Bytes{static_cast<int64_t>(bytes_per_second)}), "/s");
}

std::string time_text(double seconds) {
  return std::abs(seconds) < 1 ? printf_string("%.1f ms", seconds * 1000) : printf_string("%.1f s", seconds);
}

// "rank 1 on node2", "ranks 0-3 on node1", "ranks 0-3".
std::string names_of(const std::vector<const Place*>& places) {
  if (places.size() == 1) {
    return rank_name(*places.front());
  }
  device::Cores ranks;
  std::set<std::string> hosts;
  for (const Place* place : places) {
    ranks.push_back(place->rank);
    hosts.insert(place->host);
  }
  return cat("ranks ", device::cores_text(ranks), hosts.size() == 1 ? cat(" on ", *hosts.begin()) : "");
}

// What ranks say of their own hosts. Equal advice is said once, with the first one's figures.
void judge_hosts(const Allocation& allocation, std::vector<HostCheck>& checks) {
  using Key = std::tuple<CheckLevel, std::string, std::string>;
  std::vector<std::pair<Key, std::vector<const Place*>>> groups;
  std::map<Key, std::string> texts;
  const auto add = [&](const RankReport& rank, const HostCheck& check) {
    const Key key(check.level, check.name, check.what_now);
    if (texts.emplace(key, check.text).second) {
      groups.emplace_back(key, std::vector<const Place*>());
    }
    std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return group.first == key;
    })->second.push_back(&rank.place);
  };
  for (const RankReport& rank : allocation.ranks) {
    for (const HostCheck& check : rank.checks) {
      // What started this rank is there; and whether one core is too few depends on the other ranks.
      const bool is_judged_elsewhere =
          check.name == "MPI" || (check.name == "cores" && rank.place.cores.size() == 1);
      if (check.level != CheckLevel::ok && !is_judged_elsewhere) {
        add(rank, check);
      }
    }
    const bool is_said = std::any_of(rank.checks.begin(), rank.checks.end(), [&](const HostCheck& check) {
      return check.text == rank.device_problem;
    });
    if (!rank.device_problem.empty() && !is_said) {
      add(rank, {CheckLevel::bad, "devices", rank.device_problem, rank.device_hint});
    }
  }
  for (const auto& [key, places] : groups) {
    const auto& [level, name, what_now] = key;
    checks.push_back({level, name, cat(names_of(places), ": ", texts.at(key)), what_now});
  }
}

void judge_placement(const Allocation& allocation, std::vector<HostCheck>& checks) {
  std::vector<Place> places;
  for (const RankReport& rank : allocation.ranks) {
    if (!rank.device_problem.empty()) {
      return;  // said already; what follows from it is not worth a line
    }
    places.push_back(rank.place);
  }
  try {
    settle_places(places, 0);
    checks.push_back(
        {CheckLevel::ok, "devices",
         places.front().device ? cat(places.size(), " GPUs, one a rank") : "the CPU on all ranks", ""});
  } catch (const Error& error) {
    checks.push_back({CheckLevel::bad, "devices", error.what(), error.hint()});
  }
  for (const PlaceNote& note : place_notes(places)) {
    if (note.is_warning) {
      checks.push_back({CheckLevel::warn, "placement", note.text, note.what_now});
    }
  }
}

void judge_versions(const Allocation& allocation, std::vector<HostCheck>& checks) {
  std::map<std::string, std::vector<const Place*>> builds;
  for (const RankReport& rank : allocation.ranks) {
    builds[cat("yolodist ", rank.versions.yolodist, " (", rank.versions.git, "), LibTorch ",
               rank.versions.libtorch, ", CUDA ", rank.versions.cuda, ", NCCL ", rank.versions.nccl, ", ",
               rank.mpi)]
        .push_back(&rank.place);
  }
  if (builds.size() == 1) {
    checks.push_back({CheckLevel::ok, "versions", builds.begin()->first, ""});
    return;
  }
  std::vector<std::string> texts;
  for (const auto& [build, places] : builds) {
    texts.push_back(cat(names_of(places), ": ", build));
  }
  checks.push_back({CheckLevel::bad, "versions", join(texts, "; "),
                    "Start the same build on all hosts: one installed tree that all see, or the same copy."});
}

void judge_clocks(const Allocation& allocation, std::vector<HostCheck>& checks) {
  double most = 0;
  bool is_fine = true;
  for (size_t i = 1; i < allocation.links.size(); ++i) {
    const double ahead = allocation.links[i].clock_ahead_seconds;
    most = std::max(most, std::abs(ahead));
    if (std::abs(ahead) > most_clock_skew_seconds) {
      is_fine = false;
      checks.push_back(
          {CheckLevel::warn, "clocks",
           cat("the clock of ", rank_name(allocation.ranks[i].place), " is ", time_text(std::abs(ahead)),
               ahead > 0 ? " ahead of" : " behind", " that of rank 0"),
           "Let chrony or ntpd set the clocks: logs and failure reports are put in order by them."});
    }
  }
  if (is_fine && allocation.links.size() > 1) {
    checks.push_back({CheckLevel::ok, "clocks", cat("at most ", time_text(most), " apart"), ""});
  }
}

// Ranks on rank 0's host and others are compared among themselves only. Of two, none is called slow.
void judge_links(const Allocation& allocation, std::vector<HostCheck>& checks) {
  for (const bool is_same_host : {true, false}) {
    std::vector<size_t> ranks;
    for (size_t i = 1; i < allocation.links.size(); ++i) {
      if ((allocation.ranks[i].place.host == allocation.ranks[0].place.host) == is_same_host) {
        ranks.push_back(i);
      }
    }
    if (ranks.empty()) {
      continue;
    }
    std::vector<double> rates;
    for (const size_t i : ranks) {
      rates.push_back(allocation.links[i].bytes_per_second);
    }
    std::sort(rates.begin(), rates.end());
    const double usual = rates[(rates.size() - 1) / 2];
    for (const size_t i : ranks) {
      const double rate = allocation.links[i].bytes_per_second;
      if (rate * slow_factor < usual) {
        checks.push_back(
            {CheckLevel::warn, "network",
             cat(rank_name(allocation.ranks[i].place), " exchanges ", rate_text(rate),
                 " with rank 0, others ", rate_text(usual)),
             "Every step waits for the slowest: look at that host's network and at what else runs there; "
             "--net-if chooses one of several networks."});
      }
    }
  }
}

void judge_network(const Allocation& allocation, std::vector<HostCheck>& checks) {
  std::vector<Place> places;
  for (const RankReport& rank : allocation.ranks) {
    places.push_back(rank.place);
  }
  std::vector<const Place*> lost;
  for (const Place& place : places) {
    const bool is_alone = std::all_of(places.begin(), places.end(),
                                      [&](const Place& other) { return other.host == place.host; });
    if (!is_alone && network_text(place, places) == "-") {
      lost.push_back(&place);
    }
  }
  if (!lost.empty()) {
    checks.push_back(
        {CheckLevel::warn, "network",
         cat(names_of(lost), ": no network interface that leads to the other hosts"),
         "NCCL needs one: ip addr and ip route show what there is; --net-if names the one to use."});
  }
  judge_links(allocation, checks);
  if (allocation.reduce_seconds > 0 && allocation.ranks.size() > 1) {
    checks.push_back(
        {CheckLevel::ok, "all-reduce",
         cat(to_string(Bytes{allocation.reduced_bytes}), " over ", allocation.ranks.size(),
             allocation.ranks.size() == 1 ? " rank in " : " ranks in ", time_text(allocation.reduce_seconds),
             ", ", rate_text(static_cast<double>(allocation.reduced_bytes) / allocation.reduce_seconds),
             " (host memory, MPI)"),
         ""});
  }
}

json to_json(const std::vector<HostCheck>& checks) {
  json list = json::array();
  for (const HostCheck& check : checks) {
    list.push_back({{"level", name_of(check.level)},
                    {"name", check.name},
                    {"text", check.text},
                    {"what_now", check.what_now}});
  }
  return list;
}

json bytes_or_null(const std::optional<Bytes>& bytes) {
  return bytes ? json(bytes->count) : json();
}
std::optional<Bytes> bytes_of(const json& count) {
  return count.is_null() ? std::nullopt : std::optional(Bytes{count.get<int64_t>()});
}

json to_json(const cli::BuildVersions& versions, const std::string& mpi) {
  return {{"yolodist", versions.yolodist}, {"git", versions.git},   {"libtorch", versions.libtorch},
          {"cuda", versions.cuda},         {"nccl", versions.nccl}, {"mpi", mpi}};
}

}  // namespace

std::string rank_name(const Place& place) {
  return cat("rank ", place.rank, " on ", place.host);
}

std::string encode(const RankReport& report) {
  const json document = {{"place", place_to_json(report.place)},
                         {"device_problem", report.device_problem},
                         {"device_hint", report.device_hint},
                         {"checks", to_json(report.checks)},
                         {"memory_available", bytes_or_null(report.memory_available)},
                         {"shared_memory_free", bytes_or_null(report.shared_memory_free)},
                         {"versions", to_json(report.versions, report.mpi)}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

RankReport decode_report(const std::string& text) {
  const json document = json::parse(text);
  RankReport report;
  report.place = place_from_json(document.at("place"));
  report.device_problem = document.at("device_problem").get<std::string>();
  report.device_hint = document.at("device_hint").get<std::string>();
  for (const json& check : document.at("checks")) {
    const std::string level = check.at("level").get<std::string>();
    report.checks.push_back({level == "bad"    ? CheckLevel::bad
                             : level == "warn" ? CheckLevel::warn
                                               : CheckLevel::ok,
                             check.at("name").get<std::string>(), check.at("text").get<std::string>(),
                             check.at("what_now").get<std::string>()});
  }
  report.memory_available = bytes_of(document.at("memory_available"));
  report.shared_memory_free = bytes_of(document.at("shared_memory_free"));
  const json& versions = document.at("versions");
  report.versions = {versions.at("yolodist").get<std::string>(), versions.at("git").get<std::string>(),
                     versions.at("libtorch").get<std::string>(), versions.at("cuda").get<std::string>(),
                     versions.at("nccl").get<std::string>()};
  report.mpi = versions.at("mpi").get<std::string>();
  return report;
}

std::vector<HostCheck> judge(const Allocation& allocation) {
  std::vector<HostCheck> checks;
  judge_hosts(allocation, checks);
  judge_placement(allocation, checks);
  judge_versions(allocation, checks);
  judge_clocks(allocation, checks);
  judge_network(allocation, checks);
  return checks;
}

std::string allocation_text(const Allocation& allocation, const std::vector<HostCheck>& checks,
                            bool can_train) {
  std::vector<Place> places;
  std::set<std::string> hosts;
  for (const RankReport& rank : allocation.ranks) {
    places.push_back(rank.place);
    hosts.insert(rank.place.host);
  }
  const auto amount = [](const std::optional<Bytes>& bytes) { return bytes ? to_string(*bytes) : "-"; };
  std::vector<std::vector<std::string>> rows = {
      {"rank", "host", "device", "cores", "network", "memory", "/dev/shm", "clock", "with rank 0"}};
  for (size_t i = 0; i < places.size(); ++i) {
    const RankReport& rank = allocation.ranks[i];
    const bool has_link = i > 0 && i < allocation.links.size();
    rows.push_back(
        {std::to_string(places[i].rank), places[i].host,
         rank.device_problem.empty() ? device_text(places[i].device) : "none",
         device::cores_text(places[i].cores), network_text(places[i], places), amount(rank.memory_available),
         amount(rank.shared_memory_free),
         has_link ? printf_string("%+.1f ms", allocation.links[i].clock_ahead_seconds * 1000) : "-",
         has_link ? rate_text(allocation.links[i].bytes_per_second) : "-"});
  }
  std::string text = cat("yolodist doctor: ", places.size(), places.size() == 1 ? " rank" : " ranks", " on ",
                         hosts.size(), hosts.size() == 1 ? " host" : " hosts", ", started by ",
                         allocation.started_by, "\n", table_text(rows), "\n");
  for (const HostCheck& check : checks) {
    text += check_text(check);
  }
  return text + (can_train ? "Training can run here.\n" : "Training cannot run here.\n");
}

ordered_json allocation_document(const Allocation& allocation, const std::vector<HostCheck>& checks,
                                 bool can_train) {
  std::vector<Place> places;
  for (const RankReport& rank : allocation.ranks) {
    places.push_back(rank.place);
  }
  ordered_json document = {{"schema", 1},
                           {"can_train", can_train},
                           {"started_by", allocation.started_by},
                           {"checks", to_json(checks)},
                           {"ranks", ordered_json::array()}};
  for (size_t i = 0; i < places.size(); ++i) {
    const RankReport& rank = allocation.ranks[i];
    const Place& place = places[i];
    const std::vector<std::string> network = split(network_text(place, places), ' ');
    const bool has_link = i > 0 && i < allocation.links.size();
    const mpi::PeerLink link = has_link ? allocation.links[i] : mpi::PeerLink();
    const auto measured = [&](double value) { return has_link ? ordered_json(value) : ordered_json(); };
    ordered_json row = {{"rank", place.rank}, {"host", place.host}, {"local_rank", place.local_rank}};
    row["device"] = nullptr;
    if (place.device) {
      row["device"] = {{"index", place.device->index},
                       {"uuid", place.device->uuid},
                       {"pci", place.device->pci},
                       {"name", place.device->name},
                       {"capability", place.device->capability},
                       {"memory_bytes", place.device->memory.count}};
    }
    row["cores"] = device::cores_text(place.cores);
    row["allowed_cores"] = place.cores.size();
    row["online_cores"] = place.online_cores;
    row["interface"] = network.size() == 2 ? ordered_json(network[0]) : ordered_json();
    row["address"] = network.size() == 2 ? ordered_json(network[1]) : ordered_json();
    row["memory_available_bytes"] = bytes_or_null(rank.memory_available);
    row["shared_memory_free_bytes"] = bytes_or_null(rank.shared_memory_free);
    row["clock_ahead_seconds"] = measured(link.clock_ahead_seconds);
    row["round_trip_seconds"] = measured(link.round_trip_seconds);
    row["bytes_per_second"] = measured(link.bytes_per_second);
    row["versions"] = to_json(rank.versions, rank.mpi);
    row["checks"] = to_json(rank.checks);
    document["ranks"].push_back(row);
  }
  const bool was_measured = allocation.reduce_seconds > 0;
  document["all_reduce"] = {
      {"bytes", allocation.reduced_bytes},
      {"seconds", was_measured ? ordered_json(allocation.reduce_seconds) : ordered_json()},
      {"bytes_per_second",
       was_measured ? ordered_json(static_cast<double>(allocation.reduced_bytes) / allocation.reduce_seconds)
                    : ordered_json()}};
  return document;
}

}  // namespace yolodist::commands
