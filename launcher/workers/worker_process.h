// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/protocol/messages.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::workers {

// How a worker ended.
struct WorkerEnd {
  int exit_code = 0;      // its own, or 128 + signal
  int signal_number = 0;  // 0 = it exited
};

// A worker process, the socket to it and the memory shared with it. Nothing here blocks. To be made on the
// main thread: the kernel ends the worker when the thread that started it ends.
class WorkerProcess {
 public:
  // Throws UsageError when the prefix's program cannot be started, InternalError when the worker cannot.
  explicit WorkerProcess(const WorkerCommand& command);
  // Ends it if it still runs.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  int pid() const { return pid_; }
  int socket() const { return socket_; }
  bool is_closed() const { return is_closed_; }  // the worker's end of the socket is gone

  // The messages that have come. Throws InternalError for one that cannot be read.
  std::vector<protocol::ToLauncher> receive();
  void send(const protocol::ToWorker& message);
  bool has_unsent() const { return !unsent_.empty(); }
  void send_unsent();

  // Maps what the worker added to the shared memory, up to `bytes`. Throws StorageError.
  void map_up_to(int64_t bytes);
  // Where [offset, offset + bytes) of the shared memory is. Throws InternalError when it is not mapped in one
  // piece.
  std::byte* memory(int64_t offset_bytes, int64_t bytes) const;

  void signal(int number);
  // Asks the kernel whether it has ended; to be called after SIGCHLD.
  void reap();
  // Not empty once reap() has seen its end.
  const std::optional<WorkerEnd>& end() const { return end_; }

 private:
  struct Extent {
    int64_t begin = 0, bytes = 0;
    std::byte* memory = nullptr;
  };

  const int attempt_;
  int pid_ = -1;
  int socket_ = -1;
  int memory_fd_ = -1;
  bool is_closed_ = false;
  protocol::LineReader lines_;
  std::string unsent_;
  std::vector<Extent> extents_;
  std::optional<WorkerEnd> end_;
};

}  // namespace yolodist::workers
