// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/deadline.h"
#include "common/plan/buckets.h"
#include "worker/comm/communicator.h"
#include "worker/memory/budget.h"

namespace yolodist::parallel {

// Sums gradients over ranks, once an optimizer step, while backward goes on.
//
// Gradients are views into flat buckets that lie in the communicator's shared memory; parameters enter the
// buckets in reverse order, since backward reaches the last layers first. In a step:
//
//   reducer.zero();                          // at the step's start
//   for each micro-batch:
//     if (it is this rank's last of the step) reducer.arm();
//     backward
//   reducer.start_remaining();               // what has not started: all, on a rank with an empty shard
//   reducer.finish(deadline);                // waits for all
//
// Buckets start in index order on every rank. Nothing is averaged: losses are divided by global counts
// already.
class BucketedReducer {
 public:
  // `parameters`: leaves that require gradients, contiguous, of one dtype, in model order; all get a
  // gradient.
  BucketedReducer(comm::Communicator& communicator, const std::vector<at::Tensor>& parameters,
                  size_t bucket_bytes);
  ~BucketedReducer();
  BucketedReducer(const BucketedReducer&) = delete;
  BucketedReducer& operator=(const BucketedReducer&) = delete;

  void zero();
  void arm();
  // After it every rank has started all buckets, so that other collectives keep one order on all ranks.
  void start_remaining();
  // Collective. Throws PeerLost when a peer does not come.
  void finish(Deadline deadline);

  // Forgets a step that has failed, after the communicator has been aborted: what was under way is not waited
  // for, and gradients are undefined until zero().
  void abandon();

  // The gradient of parameter i, a view with the parameter's strides.
  const at::Tensor& gradient(size_t parameter) const { return gradients_[parameter]; }
  // The flat buckets, padding (zero) included: norms and finite checks go over these.
  const std::vector<at::Tensor>& buckets() const { return flats_; }
  int64_t reduced_steps() const { return reduced_steps_; }

 private:
  struct Bucket {
    plan::Bucket layout;
    int waiting_for = 0;  // gradients still to come in the armed backward
    std::unique_ptr<comm::Work> work;
  };
  void lay_out(const std::vector<at::Tensor>& parameters, size_t bucket_bytes);
  void bind(const std::vector<at::Tensor>& parameters);
  void on_gradient(size_t parameter);
  void start_ready_buckets();
  void start(size_t bucket);

  comm::Communicator& communicator_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> flats_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;
  size_t next_to_start_ = 0;
  bool armed_ = false;
  int64_t reduced_steps_ = 0;
  std::optional<memory::Charge> charge_;  // LibTorch does not know of the buckets
};

}  // namespace yolodist::parallel
