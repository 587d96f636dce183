// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/host_checks.h"

#include <algorithm>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/commands/placement.h"
#include "launcher/device/cuda_support.h"
#include "launcher/device/device_choice.h"

namespace yolodist::commands {
namespace {

using device::Space;

constexpr int64_t mib = 1 << 20, gib = 1 << 30;
// What a rank takes of host memory with its libraries, decoding threads and staging, roughly.
constexpr int64_t rank_host_bytes = 4 * gib;
constexpr int64_t least_shared_bytes = 512 * mib;  // NCCL's buffers between the GPUs of a host, some ranks
constexpr int64_t least_disk_bytes = 2 * gib;      // checkpoints and pictures of a run, a large model
constexpr int64_t least_open_files = 1024;

HostCheck ok(std::string name, std::string text) {
  return {CheckLevel::ok, std::move(name), std::move(text), ""};
}

std::string space_text(const Space& space) {
  return cat(to_string(space.free), " free of ", to_string(space.total));
}

// What is used where nothing is asked for; bad only where CUDA is asked for and is not there.
void judge_devices(const Situation& s, std::vector<HostCheck>& checks) {
  const device::DeviceRequest request = device::parse_device(s.device);
  const bool needs_cuda = request.kind == device::DeviceRequest::Kind::cuda;
  const device::CudaBuild build = cuda_build(s.versions);
  HostCheck check = ok("devices", "");
  try {
    const std::vector<device::CudaDevice> devices = device::devices_to_use(request, s.inventory);
    if (devices.empty() && s.inventory.has_card && request.kind != device::DeviceRequest::Kind::cpu) {
      check.level = CheckLevel::warn;
      check.what_now = s.inventory.what_now;
    }
    if (devices.empty()) {
      check.text = request.kind == device::DeviceRequest::Kind::cpu ? "the CPU, as asked for"
                                                                    : cat("the CPU: ", s.inventory.problem);
    }
    for (const device::CudaDevice& device : devices) {
      check.text += cat(check.text.empty() ? "" : "; ", device.index, ": ", device.name, ", ",
                        device.capability.empty() ? "" : cat("compute capability ", device.capability, ", "),
                        to_string(device.memory), ", ", to_string(device.free), " free");
    }
    if (device::driver_problem(build, s.inventory).empty()) {  // said of the driver below
      device::check_runnable(build, devices, s.inventory);
    }
    const auto in_use = std::find_if(devices.begin(), devices.end(), [](const device::CudaDevice& device) {
      return device.free.count > 0 && device.free.count < device.memory.count * 9 / 10;
    });
    if (in_use != devices.end()) {
      check.level = CheckLevel::warn;
      check.what_now = cat("Others hold memory of device ", in_use->index,
                           ": nvidia-smi shows them. Plans take the whole card.");
    }
  } catch (const Error& error) {
    check = {CheckLevel::bad, "devices", error.what(), error.hint()};
  }
  checks.push_back(check);

  if (s.inventory.driver.empty() && s.inventory.driver_cuda == 0) {
    checks.push_back({needs_cuda ? CheckLevel::bad : CheckLevel::ok, "driver",
                      s.inventory.problem.empty() ? "it does not say its version" : s.inventory.problem,
                      needs_cuda ? s.inventory.what_now : ""});
    return;
  }
  check =
      ok("driver", cat("NVIDIA ", s.inventory.driver,
                       s.inventory.driver_cuda > 0 ? cat(", for CUDA up to ", s.inventory.driver_cuda / 1000,
                                                         ".", s.inventory.driver_cuda % 1000 / 10)
                                                   : ""));
  if (const std::string problem = device::driver_problem(build, s.inventory); !problem.empty()) {
    // Without --device the GPUs are taken where there are any, and refused like that.
    const bool is_needed = needs_cuda || (request.kind == device::DeviceRequest::Kind::automatic &&
                                          !s.inventory.devices.empty());
    check.level = is_needed ? CheckLevel::bad : CheckLevel::ok;
    check.text = problem;
    check.what_now = is_needed ? device::driver_advice(build, s.inventory) : "";
  }
  checks.push_back(check);
}

void judge_programs(const Situation& s, std::vector<HostCheck>& checks) {
  const std::string capabilities = device::capabilities_text(cuda_build(s.versions));
  checks.push_back(
      ok("versions", cat("yolodist ", s.versions.yolodist, " (", s.versions.git, "), LibTorch ",
                         s.versions.libtorch, ", CUDA ", s.versions.cuda, ", NCCL ", s.versions.nccl,
                         capabilities.empty() ? "" : cat(", GPUs of compute capability ", capabilities))));
  if (s.worker_program.empty()) {
    checks.push_back({CheckLevel::bad, "worker", s.worker_problem,
                      "Build or install yolodist-worker into the same folder as yolodist."});
  } else if (!s.worker.runs) {
    checks.push_back(
        {CheckLevel::bad, "worker", cat(s.worker_program, ": ", s.worker.problem),
         "It needs LibTorch: link it to lib/yolodist/libtorch beside bin/, or set LD_LIBRARY_PATH "
         "(docs/installing.md)."});
  } else {
    checks.push_back(ok("worker", cat(s.worker_program, " starts, LibTorch is found")));
  }
  checks.push_back(
      {s.mpirun ? CheckLevel::ok : CheckLevel::warn, "MPI",
       cat(s.mpi, s.mpirun ? cat(", ", *s.mpirun) : ", no mpirun on PATH"),
       s.mpirun ? "" : "Several ranks on this host need mpirun; under SLURM, srun --mpi=pmix does."});
  checks.push_back(s.share_problem.empty() ? ok("shipped files", "models, hyps and the sample are there")
                                           : HostCheck{CheckLevel::warn, "shipped files", s.share_problem,
                                                       "Install share/yolodist, or set YOLODIST_SHARE."});
}

void judge_memory(const Situation& s, std::vector<HostCheck>& checks) {
  const device::HostFacts& host = s.host;
  HostCheck check = ok("host memory", to_string(host.memory));
  if (host.memory_available) {
    check.text += cat(", ", to_string(*host.memory_available), " available");
  }
  if (host.cgroup.memory && host.cgroup.memory->count < host.memory.count) {
    check.text += cat(", limited to ", to_string(*host.cgroup.memory), " for this job or container");
  }
  if (memory_left(host).count < rank_host_bytes) {
    check.level = CheckLevel::warn;
    check.what_now = cat("Less than ", to_string(Bytes{rank_host_bytes}),
                         " for a rank: the kernel may kill it. Fewer --workers, no --cache ram.");
  }
  checks.push_back(check);

  if (!host.shared_memory) {
    checks.push_back({CheckLevel::warn, "/dev/shm", "not there",
                      "NCCL and --cache ram need it; in a container: --shm-size 8g."});
  } else {
    check = ok("/dev/shm", space_text(*host.shared_memory));
    if (host.shared_memory->free.count < least_shared_bytes || !host.shared_memory->is_writable) {
      check.level = CheckLevel::warn;
      check.what_now =
          "NCCL between several GPUs, and --cache ram, need more: docker --shm-size 8g or --ipc=host; or "
          "--cache disk.";
    }
    checks.push_back(check);
  }
}

void judge_cores(const Situation& s, std::vector<HostCheck>& checks) {
  const device::HostFacts& host = s.host;
  HostCheck check =
      ok("cores", cat(host.allowed_cores, " of ", host.online_cores, " allowed (", host.core_list, ")"));
  if (host.cgroup.cores && *host.cgroup.cores < host.allowed_cores) {
    check.text += printf_string(", but time for %.1f", *host.cgroup.cores);
    check.level = CheckLevel::warn;
    check.what_now = printf_string(
        "Threads are made for %.0f cores and will wait for each other: --threads %.0f, or a larger CPU "
        "limit.",
        static_cast<double>(host.allowed_cores), std::max(1.0, *host.cgroup.cores));
  } else if (host.allowed_cores == 1 && host.online_cores > 1) {
    check.level = CheckLevel::warn;
    check.what_now =
        "Decoding pictures will be slow: ask the scheduler for more cores a task, or start mpirun with "
        "--bind-to none.";
  }
  checks.push_back(check);
}

void judge_limits(const Situation& s, std::vector<HostCheck>& checks) {
  const auto& [open_files, locked_bytes] = s.host.limits;
  HostCheck check = ok("open files", open_files ? std::to_string(*open_files) : "unlimited");
  if (open_files && *open_files < least_open_files) {
    check.level = CheckLevel::warn;
    check.what_now = "ulimit -n 4096 before starting.";
  }
  checks.push_back(check);
  check = ok("locked memory", locked_bytes ? to_string(Bytes{*locked_bytes}) : "unlimited");
  if (locked_bytes && s.host.has_infiniband) {
    check.level = CheckLevel::warn;
    check.what_now = "InfiniBand needs ulimit -l unlimited; else MPI and NCCL use slower ways or fail.";
  }
  checks.push_back(check);
  if (s.host.folder) {
    check = ok("disk", cat(space_text(*s.host.folder), " in ", s.host.folder_path));
    if (s.host.folder->free.count < least_disk_bytes || !s.host.folder->is_writable) {
      check.level = CheckLevel::warn;
      check.what_now = s.host.folder->is_writable
                           ? "Runs and checkpoints go here: make room, or use --project elsewhere."
                           : "This folder cannot be written: use --project elsewhere.";
    }
    checks.push_back(check);
  } else {
    checks.push_back(
        {CheckLevel::warn, "disk", "the current folder cannot be looked at", "Change to another folder."});
  }
}

}  // namespace

std::vector<HostCheck> judge(const Situation& situation) {
  std::vector<HostCheck> checks;
  judge_devices(situation, checks);
  judge_programs(situation, checks);
  judge_memory(situation, checks);
  judge_cores(situation, checks);
  judge_limits(situation, checks);
  return checks;
}

Bytes memory_left(const device::HostFacts& host) {
  int64_t left = host.memory_available.value_or(host.memory).count;
  if (host.cgroup.memory && host.cgroup.memory->count < host.memory.count) {
    left = std::min(left, host.cgroup.memory->count - host.cgroup.memory_used.value_or(Bytes{0}).count);
  }
  return {left};
}

std::string check_text(const HostCheck& check) {
  std::string text = cat(printf_string("  %-5s", name_of(check.level)),
                         printf_string("%-14s", check.name.c_str()), check.text, "\n");
  if (!check.what_now.empty()) {
    text += cat(std::string(21, ' '), check.what_now, "\n");
  }
  return text;
}

const char* name_of(CheckLevel level) {
  switch (level) {
    case CheckLevel::ok:
      return "ok";
    case CheckLevel::warn:
      return "warn";
    case CheckLevel::bad:
      return "bad";
  }
  return "";
}

}  // namespace yolodist::commands
