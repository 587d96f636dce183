// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "worker/comm/communicator.h"

// What a communicator did last, for the report of a failure.
namespace yolodist::comm {

enum class CollectiveKind { all_reduce, reduce_scatter, all_gather, broadcast, exchange };

struct CollectiveRecord {
  enum class State {
    starting,  // called, not yet on its way
    running,   // on its way; may be over without anybody having looked
    done,
    failed,
  };
  // From 0, counted by all ranks alike. An exchange, which not all ranks call, has the number of the
  // collective that follows it.
  int64_t sequence = 0;
  CollectiveKind kind = CollectiveKind::all_reduce;
  int64_t bytes = 0;     // of the result on this rank
  std::string detail{};  // all else that has to be equal on all ranks: "f32 sum", "from rank 0"
  std::string tag{};     // what it is for: "bucket 3"; may be empty
  State state = State::starting;

  // Whether the calls of two ranks can belong together.
  bool matches(const CollectiveRecord& other) const {
    return kind == other.kind && bytes == other.bytes && detail == other.detail;
  }
};

// "#17 all_reduce of 4.0 MiB (f32 sum, bucket 3)"
std::string to_string(const CollectiveRecord& record);

// The last collectives of one rank.
class CollectiveTrace {
 public:
  static constexpr size_t kept = 16;

  // Numbers the record and keeps it. Returns its key for settle(), which counts exchanges too.
  int64_t add(CollectiveRecord record);
  // Does nothing when the record is not kept any more.
  void settle(int64_t key, CollectiveRecord::State state);
  void clear() { *this = CollectiveTrace(); }

  const std::deque<CollectiveRecord>& records() const { return records_; }

 private:
  std::deque<CollectiveRecord> records_;
  int64_t next_key_ = 0, next_sequence_ = 0;

  friend CollectiveTrace trace_from_json(const nlohmann::json& document);
};

// A list, the oldest first, of {"sequence", "kind", "bytes", "detail", "tag", "state"}.
nlohmann::json to_json(const CollectiveTrace& trace);
// Throws nlohmann::json::exception.
CollectiveTrace trace_from_json(const nlohmann::json& document);

// One sentence on where the ranks stood, trace r being that of rank r: who called something else than the
// others, or is behind, or that all are in step. A rank without records has called nothing.
std::string compare(const std::vector<CollectiveTrace>& traces);

// A collective failed, and the peers are to blame as far as this rank can see.
class CollectiveFailure : public PeerLost {
 public:
  CollectiveFailure(const std::string& message, const std::string& hint, nlohmann::json collectives)
      : PeerLost(message, hint), collectives_(std::move(collectives)) {}
  // For the failure report: {"rank": …, "last": [this rank's trace], "ranks": [a trace each, if they could be
  // asked], "verdict": "…"}.
  const nlohmann::json& collectives() const { return collectives_; }

 private:
  nlohmann::json collectives_;
};

}  // namespace yolodist::comm
