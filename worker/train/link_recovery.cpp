// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/link_recovery.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/train/numbered_report.h"

namespace yolodist::train {
namespace {

// A connection that is lost again and again is no accident.
constexpr int most_reconnects = 3;

void write_report(const Training& t, const LostLink& lost) {
  write_numbered_report([&t](int number) { return t.run.link_report(t.attempt, t.rank, number); },
                        {{"rank", t.rank},
                         {"host", t.hosts.at(static_cast<size_t>(t.rank))},
                         {"attempt", t.attempt},
                         {"epoch", t.state.epoch},
                         {"iteration", t.iteration()},
                         {"what", lost.what},
                         {"collectives", lost.collectives}});
}

}  // namespace

std::string answer_lost_link(Training& t, const StepSnapshot& before, const IterationResult& result) {
  if (result.link_failure) {
    log::warning(result.link_failure->what);
    write_report(t, *result.link_failure);
  }
  const std::vector<std::string> reasons = comm::all_gather_strings(
      *t.communicator, result.link_failure ? result.link_failure->what : "", Deadline::after(peer_patience));
  const auto reason =
      std::find_if(reasons.begin(), reasons.end(), [](const std::string& text) { return !text.empty(); });
  check(reason != reasons.end(), "a rank that lost its connection says why");
  if (++t.reconnects > most_reconnects) {
    if (result.link_failure && result.link_failure->is_memory) {
      throw OutOfMemory(*reason, "Keep more of the card free for NCCL with --memory-reserve.");
    }
    throw PeerLost(cat(*reason, "; the connection between the devices was lost ", t.reconnects, " times"));
  }
  t.reducer->abandon();
  t.reconnect_devices();
  before.restore(t);
  return cat(*reason, "; the devices are connected anew (", t.reconnects, " of at most ", most_reconnects,
             " times); replaying from iteration ", t.iteration());
}

}  // namespace yolodist::train
