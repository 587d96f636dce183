// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/doctor.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "launcher/cli/doctor_command_line.h"
#include "launcher/commands/host_checks.h"
#include "launcher/commands/job.h"
#include "launcher/device/device_choice.h"
#include "launcher/mpi/launch_environment.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

using nlohmann::ordered_json;

// LibTorch's libraries are some gigabytes, over a network perhaps.
constexpr std::chrono::seconds worker_patience{120};

Situation look(const std::string& device) {
  Situation s;
  s.host = device::read_host_facts();
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  s.inventory =
      device::read_cuda_inventory(visible == nullptr ? std::nullopt : std::optional<std::string>(visible));
  s.device = device;
  s.versions = cli::build_versions();
  s.mpi = mpi::library_version();
  s.mpirun = workers::find_program("mpirun");
  try {
    s.worker_program = workers::find_worker_program({}).string();
    s.worker = workers::probe_worker(s.worker_program, worker_patience);
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

ordered_json document_of(const Situation& s, const std::vector<HostCheck>& checks, bool can_train) {
  const auto amount = [](const std::optional<Bytes>& bytes) {
    return bytes ? ordered_json(bytes->count) : ordered_json();
  };
  ordered_json document = {{"schema", 1},
                           {"host", s.host.host},
                           {"can_train", can_train},
                           {"checks", ordered_json::array()},
                           {"devices", ordered_json::array()}};
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
                                   {"memory_bytes", device.memory.count},
                                   {"free_bytes", device.free.count}});
  }
  document["driver"] = s.inventory.driver;
  document["driver_cuda"] = s.inventory.driver_cuda;
  document["versions"] = {{"yolodist", s.versions.yolodist}, {"git", s.versions.git},
                          {"libtorch", s.versions.libtorch}, {"cuda", s.versions.cuda},
                          {"nccl", s.versions.nccl},         {"mpi", s.mpi}};
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
    text += cat(printf_string("  %-5s", name_of(check.level)), printf_string("%-14s", check.name.c_str()),
                check.text, "\n");
    if (!check.what_now.empty()) {
      text += cat(std::string(21, ' '), check.what_now, "\n");
    }
  }
  return text + (can_train ? "Training can run here.\n" : "Training cannot run here.\n");
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
  const Situation situation = look(line.device);
  const std::vector<HostCheck> checks = judge(situation);
  const bool can_train = std::none_of(checks.begin(), checks.end(),
                                      [](const HostCheck& check) { return check.level == CheckLevel::bad; });
  print(line.json ? document_of(situation, checks, can_train)
                            .dump(2, ' ', false, ordered_json::error_handler_t::replace) +
                        "\n"
                  : text_of(situation, checks, can_train));
  return to_int(can_train ? ExitCode::ok : ExitCode::no_device);
}

}  // namespace yolodist::commands
