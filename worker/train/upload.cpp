// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/upload.h"

#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>

#include <utility>

#include "worker/libtorch/cuda.h"

namespace yolodist::train {
namespace {

// Always the same one: LibTorch keeps freed memory by stream.
c10::cuda::CUDAStream copy_stream(at::Device device) {
  static const c10::cuda::CUDAStream stream =
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
  return stream;
}

class Event {
 public:
  // A host that waits for it sleeps: its cores have pictures to decode.
  Event() {
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync));
  }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { C10_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  void hold_back(cudaStream_t stream) const { C10_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, 0)); }
  // At once where it was never recorded.
  void wait() const { C10_CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

struct Upload::Streams {
  c10::cuda::CUDAStream copying;
  Event arrived;  // on the copy stream: what start has brought
  Event used;     // on the compute stream: all that takes the iteration before
};

Upload::Upload(at::Device device) : device_(device) {
  const c10::cuda::CUDAGuard guard(device);
  streams_.reset(new Streams{.copying = copy_stream(device), .arrived = {}, .used = {}});
  // What an Upload before this one has let go of is taken up again: not before the card is done with it.
  streams_->used.record(c10::cuda::getCurrentCUDAStream(device.index()));
}

Upload::~Upload() = default;

void Upload::start(std::vector<GroupBatch>& groups) {
  const c10::cuda::CUDAStreamGuard guard(streams_->copying);  // of the device, too
  streams_->used.wait();
  used_.clear();
  int64_t bytes = 0;
  for (const GroupBatch& group : groups) {
    bytes += static_cast<int64_t>(group.images.nbytes());
  }
  if (bytes > staging_bytes_) {
    staging_bytes_ = bytes;
    staging_.emplace(bytes, memory::Kind::host);
  }
  const memory::KindScope kind(memory::Kind::input);
  const memory::SpareScope can_do_without;
  try {
    for (size_t i = 0; i < groups.size() && has_room_; ++i) {
      // LibTorch keeps pinned memory from its next user until such a copy out of it is done.
      arriving_.push_back(groups[i].images.to(device_, /*non_blocking=*/true));
      groups[i].images = arriving_.back();
    }
  } catch (const c10::OutOfMemoryError&) {
    has_room_ = false;
  }
  streams_->arrived.record(streams_->copying);
}

void Upload::hand_over() {
  const c10::cuda::CUDAStream computing = c10::cuda::getCurrentCUDAStream(device_.index());
  streams_->used.record(computing);
  streams_->arrived.hold_back(computing);
  used_ = std::exchange(in_use_, std::exchange(arriving_, {}));
}

}  // namespace yolodist::train
