// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// Where the double's ranks meet: a shared memory that moves data in pieces, without locks, so that a process
// that is killed leaves nothing locked.
namespace yolodist::test::nccl_double {

enum class Kind { all_reduce, reduce_scatter, all_gather, broadcast, send, receive };

struct Operation {
  Kind kind = Kind::all_reduce;
  const void* source = nullptr;
  void* destination = nullptr;
  size_t count = 0;
  ncclDataType_t type = ncclInt8;
  ncclRedOp_t reduction = ncclSum;
  int peer = 0;  // or root
};

class Meeting {
 public:
  static constexpr int most_ranks = 8;

  // Asked while waiting: true = give up.
  using GiveUp = std::function<bool()>;

  // Makes the shared memory; returns its name.
  static std::string create();
  // For a name whose ranks do not all come. Does nothing when it is gone.
  static void remove(const std::string& name);

  // Waits until all ranks of the world are there, then removes the name. nullptr when given up.
  static std::shared_ptr<Meeting> join(const std::string& name, int rank, int world_size,
                                       const GiveUp& give_up);
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  // Returns false when given up. Calls of the ranks that do not fit together wait for that for ever.
  bool collective(const Operation& operation, const GiveUp& give_up);
  // All sends and receives of a group, together.
  bool exchange(const std::vector<Operation>& operations, const GiveUp& give_up);

  void mark_aborted();
  // A peer has aborted, or its process is gone.
  bool has_lost_peer() const;

 private:
  struct Shared;
  Meeting(Shared* shared, int rank, int world_size) : shared_(shared), rank_(rank), world_size_(world_size) {}
  bool barrier(const GiveUp& give_up);
  bool move_piece(const Operation& operation, size_t begin, size_t count, const GiveUp& give_up);

  Shared* shared_;
  const int rank_, world_size_;
};

size_t size_of(ncclDataType_t type);

}  // namespace yolodist::test::nccl_double
