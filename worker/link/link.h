// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/deadline.h"
#include "common/base/exit_code.h"
#include "common/protocol/link_arguments.h"
#include "common/protocol/messages.h"

namespace yolodist::link {

using protocol::LinkArguments;
using protocol::parse_link_arguments;

// A piece of the shared memory, mapped here. Lives as long as the Link.
struct SharedExtent {
  std::span<std::byte> memory;
  int64_t offset_bytes = 0;  // where it begins in the shared memory
};

// The worker's end of the link. Use, in the worker's main, first thing and on the main thread:
//
//   Link link(parse_link_arguments(argc, argv));
//   const protocol::Start start = link.wait_for_start(Deadline::after(60s));
//   … bind the device …
//   link.send_hello("cpu" or uuid);                // the launcher waits for it
//   … train; each iteration: stop_requested(), send_progress(...) …
//   link.send_done(ExitCode::ok or ExitCode::state_saved);   or   link.send_failure(report);
//   return the same code from main.
//
// The constructor asks the kernel to kill this process when the launcher dies (PR_SET_PDEATHSIG) and checks
// that it has not died already. The end of the socket means the same: the process ends at once with
// peer_lost, wherever it is. SIGINT is ignored (the launcher gets it too). SIGUSR1, SIGUSR2 and a SIGTERM
// that does not come from the launcher (SLURM signals every process) count as a stop request; SIGTERM from
// the launcher ends the process. SIGXFSZ is ignored, so that a full or limited file system is an error that
// can be reported.
//
// All methods may be called from any thread.
class Link {
 public:
  // Called when a collective is over, on the link's thread: be short, do not throw. `error` is "" when it
  // worked.
  using OnDone = std::function<void(const std::string& error)>;

  // Called on the link's thread with samples of other ranks: be short, do not throw.
  using OnPeerSample = std::function<void(const protocol::PeerSample& sample)>;

  explicit Link(const LinkArguments& arguments);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Throws PeerLost at the deadline and InternalError for a message that cannot be read.
  protocol::Start wait_for_start(Deadline deadline);

  // True once a stop was asked for on this rank. The training loop spreads it over the ranks by its
  // per-iteration reduction, then all save and end with state_saved.
  bool stop_requested() const;
  std::string stop_reason() const;  // "SIGUSR1"; "" while there is none

  void send_hello(const std::string& device);
  void send_progress(const protocol::Progress& progress);
  void send_sample(const protocol::Sample& sample);
  void send_failure(const run::FailureReport& report);
  void send_done(ExitCode exit_code);

  // Rank 0: who gets the samples of the others from now on; nullptr = nobody. When it returns, the one before
  // is not called any more.
  void on_peer_sample(OnPeerSample on_peer_sample);

  // Grows the shared memory by at least `bytes` (zeroed) and maps the new part; `offset_bytes` is its place.
  // Throws StorageError when there is no room (the memory is really allocated, not promised), PeerLost when
  // the launcher does not answer in time.
  SharedExtent extend_shared_memory(int64_t bytes, Deadline deadline);

  // Hands a collective to the launcher; its `sequence` is filled in. Returns the sequence number: calls of
  // one channel are numbered in the order in which they come. Every rank must start the same ones in the same
  // order.
  int64_t start_collective(protocol::Collective collective, OnDone on_done);

  int attempt() const { return arguments_.attempt; }

 private:
  void read_messages();
  void handle(protocol::ToWorker message);
  void send(const protocol::ToLauncher& message);
  void send_locked(const protocol::ToLauncher& message);
  void throw_if_broken_locked() const;

  const LinkArguments arguments_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<protocol::Start> start_;
  int64_t confirmed_bytes_ = 0;
  std::exception_ptr broken_;
  std::map<std::pair<protocol::Channel, int64_t>, OnDone> outstanding_;
  std::string stop_reason_;

  std::mutex peer_sample_mutex_;
  OnPeerSample on_peer_sample_;

  std::mutex send_mutex_;  // keeps lines whole and sequence numbers in the order of the lines
  int64_t next_sequence_[protocol::channel_count] = {};
  std::mutex extend_mutex_;
  int64_t mapped_bytes_ = 0;
  std::vector<SharedExtent> extents_;

  std::atomic<bool> closing_{false};
  std::thread reader_;
};

}  // namespace yolodist::link
