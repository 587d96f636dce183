// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "launcher/cli/doctor_command_line.h"
#include "launcher/commands/allocation_checks.h"
#include "launcher/commands/host_checks.h"
#include "launcher/commands/job.h"
#include "launcher/commands/placement.h"
#include "launcher/device/cuda_support.h"
#include "launcher/device/device_choice.h"
#include "launcher/mpi/launch_environment.h"
#include "launcher/mpi/roll_call.h"
#include "launcher/mpi/session.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

using nlohmann::ordered_json;

// LibTorch's libraries are some gigabytes, over a network perhaps.
constexpr std::chrono::seconds worker_patience{120};

constexpr std::chrono::seconds mpi_end_limit{30};
constexpr std::chrono::seconds measuring_limit{60};
constexpr int64_t reduced_bytes = int64_t{8} << 20;

const char* variable(const char* name) {
  return std::getenv(name);
}

device::CudaInventory look_for_devices() {
  const char* visible = variable("CUDA_VISIBLE_DEVICES");
  return device::read_cuda_inventory(visible == nullptr ? std::nullopt : std::optional<std::string>(visible));
}

Situation look(const std::string& device, device::CudaInventory inventory, std::chrono::seconds patience) {
  Situation s;
  s.host = device::read_host_facts();
  s.inventory = std::move(inventory);
  s.device = device;
  s.versions = cli::build_versions();
  s.mpi = mpi::library_version();
  s.mpirun = workers::find_program("mpirun");
  try {
    s.worker_program = workers::find_worker_program({}).string();
    s.worker = workers::probe_worker(s.worker_program, patience);
  } catch (const DeviceUnavailable& error) {
    s.worker_problem = error.what();
  }
  try {
    config::share_folder();
  } catch (const DataError& error) {
    s.share_problem = error.what();
  }
  return s;
}

bool is_fit(const std::vector<HostCheck>& checks) {
  return std::none_of(checks.begin(), checks.end(),
                      [](const HostCheck& check) { return check.level == CheckLevel::bad; });
}

std::string document_text(const ordered_json& document) {
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json document_of(const Situation& s, const std::vector<HostCheck>& checks, bool can_train) {
  const auto amount = [](const std::optional<Bytes>& bytes) {
    return bytes ? ordered_json(bytes->count) : ordered_json();
  };
  ordered_json document = {{"schema", 1},
                           {"host", s.host.host},
                           {"can_train", can_train},
                           {"checks", ordered_json::array()},
                           {"devices", ordered_json::array()}};
  const device::CudaBuild build = cuda_build(s.versions);
  const bool driver_suits = device::driver_problem(build, s.inventory).empty();
  for (const HostCheck& check : checks) {
    document["checks"].push_back({{"level", name_of(check.level)},
                                  {"name", check.name},
                                  {"text", check.text},
                                  {"what_now", check.what_now}});
  }
  for (const device::CudaDevice& device : s.inventory.devices) {
    document["devices"].push_back({{"index", device.index},
                                   {"uuid", device.uuid},
                                   {"pci", device.pci},
                                   {"name", device.name},
                                   {"capability", device.capability},
                                   {"runs", device::has_code_for(build, device.capability) && driver_suits},
                                   {"memory_bytes", device.memory.count},
                                   {"free_bytes", device.free.count}});
  }
  document["driver"] = s.inventory.driver;
  document["driver_cuda"] = s.inventory.driver_cuda;
  document["least_driver"] = device::least_driver(build.cuda);
  document["device_problem"] = s.inventory.problem;
  document["versions"] = {{"yolodist", s.versions.yolodist},
                          {"git", s.versions.git},
                          {"libtorch", s.versions.libtorch},
                          {"cuda", s.versions.cuda},
                          {"nccl", s.versions.nccl},
                          {"mpi", s.mpi},
                          {"capabilities", device::capabilities_text(build)}};
  document["host_memory_bytes"] = s.host.memory.count;
  document["host_memory_available_bytes"] = amount(s.host.memory_available);
  document["cgroup_memory_bytes"] = amount(s.host.cgroup.memory);
  document["shared_memory_free_bytes"] =
      s.host.shared_memory ? ordered_json(s.host.shared_memory->free.count) : ordered_json();
  document["disk_free_bytes"] = s.host.folder ? ordered_json(s.host.folder->free.count) : ordered_json();
  document["allowed_cores"] = s.host.allowed_cores;
  document["cgroup_cores"] = s.host.cgroup.cores ? ordered_json(*s.host.cgroup.cores) : ordered_json();
  return document;
}

std::string text_of(const Situation& s, const std::vector<HostCheck>& checks, bool can_train) {
  std::string text = cat("yolodist doctor on ", s.host.host, "\n");
  for (const HostCheck& check : checks) {
    text += check_text(check);
  }
  return text + (can_train ? "Training can run here.\n" : "Training cannot run here.\n");
}

int doctor_alone(const cli::DoctorCommandLine& line) {
  const Situation situation = look(line.device, look_for_devices(), worker_patience);
  const std::vector<HostCheck> checks = judge(situation);
  const bool can_train = is_fit(checks);
  print(line.json ? document_text(document_of(situation, checks, can_train))
                  : text_of(situation, checks, can_train));
  return to_int(can_train ? ExitCode::ok : ExitCode::no_device);
}

RankReport look_at_own_rank(const mpi::Session& session, const cli::DoctorCommandLine& line,
                            const device::CudaInventory& inventory) {
  RankReport report;
  DeviceSituation devices{device::parse_device(line.device), inventory, {}};
  try {
    report.place = own_place(session, devices, variable);
  } catch (const DeviceUnavailable& error) {
    report.device_problem = error.what();
    report.device_hint = error.hint();
    devices.request.kind = device::DeviceRequest::Kind::cpu;
    report.place = own_place(session, devices, variable);
  }
  // A worker that hangs has to be found before this rank is given up itself.
  const std::chrono::seconds patience{std::max(1, line.timeout_seconds * 4 / 5)};
  const Situation situation = look(line.device, inventory, std::min(worker_patience, patience));
  report.checks = judge(situation);
  report.memory_available = memory_left(situation.host);
  if (situation.host.shared_memory) {
    report.shared_memory_free = situation.host.shared_memory->free;
  }
  report.versions = situation.versions;
  report.mpi = situation.mpi;
  return report;
}

std::vector<RankReport> decode_reports(const std::vector<std::string>& texts) {
  std::vector<RankReport> reports;
  for (const std::string& text : texts) {
    reports.push_back(decode_report(text));
  }
  return reports;
}

// On rank 0 the answer is printed, and its exit code is that of all.
int look_at_allocation(mpi::Session& session, const cli::DoctorCommandLine& line,
                       const mpi::LaunchEnvironment& environment, const device::CudaInventory& inventory) {
  const auto limit = std::chrono::seconds(line.timeout_seconds);
  mpi::Patience patience{limit, "telling where it runs", {}};
  Place place;
  place.rank = session.rank();
  place.host = host_name();
  patience.names = mpi::call_roll(session, cat(rank_name(place), " (pid ", getpid(), ")"), patience);

  patience.what = "looking at its host and at whether the worker starts";
  Allocation allocation;
  allocation.started_by = environment.by == mpi::StartedBy::srun ? "srun" : "mpirun";
  allocation.ranks =
      decode_reports(mpi::call_roll(session, encode(look_at_own_rank(session, line, inventory)), patience));
  patience.limit = std::min(limit, measuring_limit);
  patience.what = "measuring the way to rank 0";
  allocation.links = mpi::measure_links(session, patience);
  patience.what = "the all-reduce";
  allocation.reduced_bytes = reduced_bytes;
  allocation.reduce_seconds = mpi::measure_all_reduce(session, reduced_bytes, patience);

  bool can_train = false;
  if (session.rank() == 0) {
    const std::vector<HostCheck> checks = judge(allocation);
    can_train = is_fit(checks);
    print(line.json ? document_text(allocation_document(allocation, checks, can_train))
                    : allocation_text(allocation, checks, can_train));
  }
  const std::string code = mpi::broadcast_text(session, can_train ? "fit" : "not fit", 0,
                                               Deadline::after(measuring_limit), "the end of doctor");
  return to_int(code == "fit" ? ExitCode::ok : ExitCode::no_device);
}

int end_in_order(mpi::Session& session, int exit_code) {
  std::fflush(stdout);
  mpi::barrier(session, Deadline::after(mpi_end_limit), "ending together");
  session.finalize(mpi_end_limit);
  return exit_code;
}

int doctor_of_allocation(const cli::DoctorCommandLine& line, const mpi::LaunchEnvironment& environment) {
  const device::CudaInventory inventory = look_for_devices();
  setenv("CUDA_VISIBLE_DEVICES", "", /*overwrite=*/1);  // a CUDA-aware MPI must not open a card
  mpi::Session session{std::chrono::seconds(line.timeout_seconds)};
  try {
    try {
      mpi::check_world_size(environment, session.size());
    } catch (const UsageError& error) {
      if (environment.is_leader()) {
        log::error(error.one_line());
      }
      return end_in_order(session, to_int(error.exit_code()));
    }
    return end_in_order(session, look_at_allocation(session, line, environment, inventory));
  } catch (const Error& error) {
    log::error(error.one_line());
    session.abort(to_int(error.exit_code()));
  } catch (const std::exception& error) {
    log::error(cat(error.what(), " (a bug in yolodist; please report it)"));
    session.abort(to_int(ExitCode::internal));
  }
}

}  // namespace

int doctor(const std::vector<std::string>& words) {
  const cli::DoctorCommandLine line = cli::parse_doctor(words);
  if (line.wants_help) {
    return print(cli::doctor_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  device::parse_device(line.device);  // before anything is looked at
  log::configure({.console_level = log::Level::info, .prefix = "", .console_to_stderr = line.json});
  // In a batch shell with several tasks it looks at this host, as alone.
  const mpi::LaunchEnvironment environment =
      mpi::read_launch_environment(variable, /*will_start_mpirun=*/true);
  return environment.expected_size <= 1 ? doctor_alone(line) : doctor_of_allocation(line, environment);
}

}  // namespace yolodist::commands
