// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::workers {

// How to start a worker.
struct WorkerCommand {
  std::filesystem::path program;
  std::vector<std::string> prefix;       // words put before the program: gdb, nsys, apptainer exec
  std::vector<std::string> environment;  // all of it, "NAME=value"
  int attempt = 0;
  int blocked_signal = 0;  // one that the launcher takes for a request to stop and that would end the worker
};

// yolodist-worker beside this program. Throws DeviceUnavailable when it is not there and UsageError when the
// prefix is not a program. With a prefix, the worker may be in a container where we cannot see it.
std::filesystem::path find_worker_program(const std::vector<std::string>& prefix);

// The program that a shell would run for `name`; nothing if there is none.
std::optional<std::string> find_program(const std::string& name);

// --worker-prefix cut into words as a shell would: blanks, '…', "…" and backslash. Throws UsageError for a
// quote that is not closed.
std::vector<std::string> split_command(std::string_view text);

struct WorkerEnvironment {
  std::function<bool(std::string_view name)> is_dropped;  // what belongs to the launcher's MPI
  int threads = 1;
  bool on_cuda = false;
  std::optional<std::string> cuda_visible_devices;  // as the user had it; nothing = unset
  std::vector<std::string> interfaces{};            // for NCCL; none = as the user has it
};
// NCCL_SOCKET_IFNAME for exactly these interfaces.
std::string nccl_interfaces(const std::vector<std::string>& interfaces);

// The launcher's environment for a worker. Compute threads wait passively unless the user says otherwise:
// where cores are shared, spinning ones were measured to halve throughput.
std::vector<std::string> worker_environment(const std::vector<std::string>& current,
                                            const WorkerEnvironment& wanted);

// This process's environment as a list.
std::vector<std::string> current_environment();

}  // namespace yolodist::workers
