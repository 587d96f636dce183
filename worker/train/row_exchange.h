// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "worker/comm/communicator.h"

namespace yolodist::train {

// How a rank came through an iteration.
struct RankReport {
  bool ran_out = false;    // of memory: nobody takes this iteration for done
  bool lost_link = false;  // to the other devices: likewise
  int64_t current_bytes = 0, peak_bytes = 0, reserved_bytes = 0;
  // From the beginning of the iteration until its gradients were complete, on a card until their computation
  // was given to it: with its data, without waiting for other ranks.
  double ready_ms = 0;
};

// What all ranks tell each other after backward: each its report, and a row of doubles for each of its
// groups. All get the rows in the order of the groups, so that every rank adds in the same order.
class RowExchange {
 public:
  // `groups_of_rank`: indices of groups, a list a rank; outlives this.
  RowExchange(const std::vector<std::vector<int>>& groups_of_rank, size_t row_length);

  // Collective. `rows` are this rank's, in the order of its groups; of a rank that ran out there may be
  // fewer.
  void start(comm::Communicator& communicator, const RankReport& mine,
             const std::vector<std::vector<double>>& rows);
  // Throws PeerLost.
  void finish();

  const std::vector<RankReport>& reports() const { return reports_; }  // by rank
  std::vector<std::vector<double>>& rows() { return rows_; }           // by group
  bool anyone_ran_out() const;
  bool anyone_lost_link() const;

 private:
  const std::vector<std::vector<int>>& groups_of_rank_;
  size_t row_length_;
  size_t rank_length_;  // doubles that a rank sends
  std::vector<double> mine_, all_;
  std::unique_ptr<comm::Work> work_;
  std::vector<RankReport> reports_;
  std::vector<std::vector<double>> rows_;
};

}  // namespace yolodist::train
