// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nccl_double_faults.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>

#include "tests/support/nccl_double_streams.h"

namespace yolodist::test::nccl_double {
namespace {

std::vector<Fault> faults_of_environment() {
  const std::map<std::string, Action> actions = {{"init_fails", Action::init_fails},
                                                 {"init_stalls", Action::init_stalls},
                                                 {"call_fails", Action::call_fails},
                                                 {"async_error", Action::async_error},
                                                 {"stall", Action::stall},
                                                 {"device_error", Action::device_error},
                                                 {"abort_hangs", Action::abort_hangs},
                                                 {"destroy_hangs", Action::destroy_hangs},
                                                 {"exit_process", Action::exit_process}};
  const char* text = std::getenv("YOLODIST_NCCL_FAULTS");
  std::vector<Fault> faults;
  std::istringstream list(text == nullptr ? "" : text);
  for (std::string entry; std::getline(list, entry, ',');) {
    std::istringstream fields(entry);
    std::string action, rank, call, result;
    std::getline(fields, action, ':');
    std::getline(fields, rank, ':');
    std::getline(fields, call, ':');
    std::getline(fields, result, ':');
    if (!actions.contains(action) || rank.empty() || call.empty()) {
      std::fprintf(stderr, "YOLODIST_NCCL_FAULTS: '%s' is not ACTION:RANK:CALL[:RESULT]\n", entry.c_str());
      std::abort();
    }
    faults.push_back({.action = actions.at(action), .rank = std::stoi(rank), .call = std::stoll(call)});
    if (!result.empty()) {
      faults.back().result = std::stoi(result);
    }
  }
  return faults;
}

struct Faults {
  std::mutex mutex;
  std::vector<Fault> to_come = faults_of_environment();
  bool peers_notice = false;
};

// Never destroyed: streams may still run when the program ends.
Faults& faults() {
  static Faults* const the_faults = new Faults;
  return *the_faults;
}

}  // namespace

void inject(const Fault& fault) {
  const std::lock_guard lock(faults().mutex);
  faults().to_come.push_back(fault);
}

void reset() {
  forget_calls();
  const std::lock_guard lock(faults().mutex);
  faults().to_come.clear();
  faults().peers_notice = false;
}

void set_peers_notice(bool notice) {
  const std::lock_guard lock(faults().mutex);
  faults().peers_notice = notice;
}

bool peers_notice() {
  const std::lock_guard lock(faults().mutex);
  return faults().peers_notice;
}

std::optional<Fault> take_fault(int rank, const std::function<bool(const Fault&)>& fits) {
  const std::lock_guard lock(faults().mutex);
  std::vector<Fault>& to_come = faults().to_come;
  const auto found = std::find_if(to_come.begin(), to_come.end(), [&](const Fault& fault) {
    return (fault.rank < 0 || fault.rank == rank) && fits(fault);
  });
  if (found == to_come.end()) {
    return std::nullopt;
  }
  const Fault fault = *found;
  to_come.erase(found);
  return fault;
}

std::optional<Fault> take_fault(int rank, Action action) {
  return take_fault(rank, [action](const Fault& fault) { return fault.action == action; });
}

}  // namespace yolodist::test::nccl_double
