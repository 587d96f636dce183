// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "worker/memory/budget.h"
#include "worker/train/train_step.h"

namespace yolodist::train {

// Brings the pictures of one iteration to a card while the iteration before is computed: on a stream of its
// own, and with never more than those two iterations' pictures there. start and hand_over take turns.
class Upload {
 public:
  explicit Upload(at::Device device);  // made on the thread that computes
  ~Upload();                           // waits for nothing
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  // Begins to copy the groups' images, which lie in pinned memory, and puts in their place what they become
  // on the device. Where the device has no room, they stay as they are from then on: whoever needs them
  // uploads them. On any thread; waits for the card to be done with the iteration before the last.
  void start(std::vector<GroupBatch>& groups);

  // From now on the current stream of the calling thread may use what start has begun to bring. What was
  // handed over before is no longer used by what that stream gets from now on.
  void hand_over();

 private:
  struct Streams;
  at::Device device_;
  std::unique_ptr<Streams> streams_;
  bool has_room_ = true;
  std::vector<at::Tensor> arriving_, in_use_, used_;
  int64_t staging_bytes_ = 0;
  std::optional<memory::Charge> staging_;  // pinned memory, which LibTorch keeps for the next time
};

}  // namespace yolodist::train
