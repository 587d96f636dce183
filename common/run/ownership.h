// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/run/run_directory.h"

namespace yolodist::run {

// Fencing: a job that takes over a run writes a random token; a stale job of the same run sees that the token
// is no longer its own and must not write any more. claim_run throws StorageError. still_ours is false when
// the token cannot be read; is_anothers only when it is there and not ours.
std::string claim_run(const RunDirectory& run);
bool still_ours(const RunDirectory& run, const std::string& token);
bool is_anothers(const RunDirectory& run, const std::string& token);

// Who trains in a run directory now, so that a second job does not take a run away from one that is alive.
// Kept in the file .owner, whose time of change is renewed every few seconds.
struct Owner {
  std::string host;
  std::string processes;  // boot and process namespace in which `pid` means something
  int64_t pid = 0;        // of rank 0's launcher
  int64_t start_ticks =
      0;            // when it began, since the host's start: tells it from a later process of that number
  std::string job;  // of the scheduler, without restarts: "slurm 123_4"; "" = none
  bool operator==(const Owner&) const = default;
};
inline constexpr std::chrono::seconds owner_interval{5};  // between two renewals
inline constexpr std::chrono::seconds owner_silence{30};  // without one: it is gone

Owner this_process(const std::string& job);
// Nothing where there is none, or none that can be read.
std::optional<Owner> read_owner(const RunDirectory& run);
// Throws StorageError.
void write_owner(const RunDirectory& run, const Owner& owner);
void renew_owner(const RunDirectory& run);   // silently nothing where it cannot
void remove_owner(const RunDirectory& run);  // likewise

// The owner, if it is alive, or may be. On this host that is known at once. On another, the same scheduler's
// job is never in its own way (it was requeued from there); of other jobs, the file has to be renewed while
// we look. Blocks for up to owner_silence in that case, after calling `on_wait` with the owner. Read errors:
// nobody.
std::optional<Owner> living_owner(const RunDirectory& run, const Owner& self,
                                  void (*on_wait)(const Owner& owner));

// "process 4711 on node3, job slurm 123".
std::string to_text(const Owner& owner);

}  // namespace yolodist::run
