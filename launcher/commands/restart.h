// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "common/protocol/messages.h"
#include "launcher/mpi/session.h"
#include "launcher/supervise/supervisor.h"

namespace yolodist::commands {

// Whether starting all workers again from the last checkpoint may help: a worker was killed, crashed or lost
// a peer. Not after what would only happen again (usage, data, device, memory, storage, divergence), and not
// after a regular end.
bool is_worth_a_restart(int exit_code);

// Decides after each attempt of a training run whether there is another one. At most `most` restarts follow
// each other without a new checkpoint in between.
class Restarts {
 public:
  Restarts(int most, const protocol::Start& run);

  // What the workers are told next; nothing = the job ends. Rank 0 decides, all get the same. Collective.
  // Throws PeerLost.
  std::optional<protocol::Start> next(mpi::Session& session, const supervise::Outcome& outcome);

  // The job's exit code: that of the last attempt, or peer_lost when restarts were used up.
  int exit_code(const supervise::Outcome& outcome) const;

 private:
  bool has_new_checkpoint();

  int most_;
  protocol::Start run_;
  int count_ = 0;  // since the last checkpoint
  bool used_up_ = false;
  std::optional<std::filesystem::file_time_type> checkpoint_time_;
  bool has_saved_ = false;  // since the start: until then all begin again where the start did
};

}  // namespace yolodist::commands
