// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/base/deadline.h"

namespace yolodist::mpi {

// MPI from MPI_Init to MPI_Finalize, on the main thread, with a communicator of its own for each purpose and
// the rank layout. Start and end stand under a timer that ends the process with peer_lost when `limit`
// passes.
class Session {
 public:
  struct Communicators;  // launcher/mpi/communicators.h, for this room only

  explicit Session(std::chrono::seconds limit);
  // Without finalize() before, the job ends by abort(): the other ranks cannot know that this one left.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this host
  int local_size() const { return local_size_; }
  int node() const {
    return node_;
  }  // the lowest rank of this host; equal for exactly the ranks that share it

  // Nothing may be under way any more. Collective.
  void finalize(std::chrono::seconds limit);
  // Ends all ranks at once. For an unanswered peer; the only end whose code survives mpirun and srun alike.
  [[noreturn]] void abort(int exit_code);

  const Communicators& communicators() const { return *communicators_; }

 private:
  std::unique_ptr<Communicators> communicators_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, node_ = 0;
  bool ended_ = false;
};

// For start-up and the end, outside the event loop: they sleep while they wait. Collective, all on the same
// communicator. Throw PeerLost naming `what` when the deadline passes; then only abort() is left.
std::string broadcast_text(Session& session, std::string text, int root, Deadline deadline,
                           const std::string& what);
std::vector<std::string> all_gather_texts(Session& session, const std::string& mine, Deadline deadline,
                                          const std::string& what);
void barrier(Session& session, Deadline deadline, const std::string& what);

}  // namespace yolodist::mpi
