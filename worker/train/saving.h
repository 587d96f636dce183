// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "common/base/error.h"
#include "common/run/run_directory.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/train/training.h"

namespace yolodist::train {

// Another job has taken over the run: this one may not write there any more, nor go on.
class RunTakenOver : public StorageError {
 public:
  using StorageError::StorageError;
};

// The run's state as it is between two iterations. Parts of an unfinished optimizer step are in it when
// `with_gradients` (the reducer's buckets then hold the sum over ranks; see collect_gradients). As copies in
// host memory, which training does not touch, or as `views` of the tensors themselves.
enum class Tensors { copies, views };
checkpoint::Checkpoint state_of(const Training& training, bool with_gradients, Tensors tensors);

// Throws unless the run is still this job's: RunTakenOver when it is another's, StorageError when that cannot
// be told. For rank 0, immediately before a file takes its place.
void require_ownership(const run::RunDirectory& run, const std::string& token);

// Sums the gradients accumulated so far into rank 0's buckets and zeroes the others', so that the sum over
// ranks is unchanged and one rank can save it. Collective.
void collect_gradients(Training& training);

// Fills model, EMA, optimizer and state from a checkpoint of this run. Every rank calls it.
// Throws DataError when the file is of another model or was not written by a training run.
void restore(Training& training, const checkpoint::Checkpoint& checkpoint, const std::filesystem::path& file);

// Starts from other weights: entries whose name and shape agree are taken (the average if there is one), all
// others stay initialised. With `skip_anchors` the model's own anchors stay. Returns how many were taken.
// Source: ultralytics/yolov5 v7.0 train.py and utils/general.py, intersect_dicts.
int transfer(model::Model& model, const checkpoint::Checkpoint& checkpoint, bool skip_anchors);

}  // namespace yolodist::train
