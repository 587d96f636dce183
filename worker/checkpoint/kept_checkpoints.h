// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "worker/checkpoint/checkpoint.h"

namespace yolodist::checkpoint {

// The last checkpoints of a run lie where run::kept_checkpoints(last) says, newest first.

// Makes place for a new `last`: last-1 becomes last-2, and `last` is there as last-1 as well. `last` itself
// stays where it is, so that a kill at any moment leaves it. By hard links, by a copy where the file system
// has none. Does nothing when there is no `last`. Throws StorageError.
void keep_earlier(const std::filesystem::path& last);

// Writes a file of the run whose checkpoints are kept as `last`; if it is `last` itself, the earlier ones are
// kept. Where there is no room, the oldest kept ones are given up for it, and `given_up` names them.
// `require_ours` throws when the files are no longer this job's: asked before anything is taken away.
// `before_rename` as in AtomicFile::commit, but may be called more than once. Throws StorageError; `file` is
// then as it was.
void write_making_room(
    const std::filesystem::path& file, const std::filesystem::path& last, const Checkpoint& checkpoint,
    const std::function<void()>& before_rename, std::vector<std::filesystem::path>& given_up,
    const std::function<void()>& require_ours = [] {});

struct Readable {
  std::filesystem::path file;
  Checkpoint checkpoint;
  std::vector<std::string> passed_over;  // what is wrong with each newer one
};
// The newest kept checkpoint that can be read whole. Throws DataError, naming what is wrong with each, when
// there is none.
Readable read_newest(const std::filesystem::path& last);

// Puts a kept checkpoint in the place of `last`, and takes those away that are newer and cannot be read: else
// a full disk would give up the good one first. Returns where it is now; where that fails, it stays.
std::filesystem::path make_last(const std::filesystem::path& file, const std::filesystem::path& last);

}  // namespace yolodist::checkpoint
