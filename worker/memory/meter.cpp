// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/meter.h"

#include <ATen/Context.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>

#include "worker/libtorch/cuda.h"
#include "worker/memory/budget.h"

namespace yolodist::memory {
namespace {

namespace cuda_memory = c10::cuda::CUDACachingAllocator;

constexpr size_t aggregate = 0;  // of LibTorch's statistics: both of its pools

// Of the CUDA device: a worker has one.
std::atomic<int64_t> cuda_limit{0};

// The highest peak that resets have ended.
std::atomic<int64_t> highest_before{0};

void raise_highest(int64_t to) {
  int64_t seen = highest_before.load();
  while (seen < to && !highest_before.compare_exchange_weak(seen, to)) {
  }
}

int64_t total_bytes(c10::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(total);
}

// LibTorch starts CUDA lazily; before that its caching allocator has no devices.
void start_cuda() {
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
}

// Of the CUDA device. Never destroyed: tensors may be released after the end of main.
AddressedHolders& cuda_holders() {
  static AddressedHolders& instance = *new AddressedHolders;
  return instance;
}

// Called by the caching allocator on the thread that takes or gives back, with its lock held.
void note_trace(const cuda_memory::TraceEntry& entry) {
  if (entry.action_ == cuda_memory::TraceEntry::ALLOC) {
    cuda_holders().take(entry.addr_, rounded(static_cast<int64_t>(entry.size_)), current_mark());
  } else if (entry.action_ == cuda_memory::TraceEntry::FREE_REQUESTED) {
    cuda_holders().give_back(entry.addr_);  // its statistics, too, count it as free from here on
  }
}

// Called by the caching allocator on the thread that asked, without its lock, after it has given back to the
// device what it kept unused and asked once more.
void leave_cuda_shortage(c10::Device device, int64_t requested) {
  const Mark& mark = current_mark();
  Shortage shortage{.requested_bytes = requested,
                    .held_bytes = read(device).current_bytes,
                    .budget_bytes = cuda_limit.load(),
                    .mark = mark,
                    .piece = mark.piece == nullptr ? "" : *mark.piece,
                    .holders = holders(device)};
  shortage.mark.piece = nullptr;
  leave_shortage(std::move(shortage));
}

}  // namespace

Reading read(c10::Device device) {
  const Counters host = counters();
  if (!device.is_cuda()) {
    return {.current_bytes = host.current_bytes,
            .peak_bytes = host.peak_bytes,
            .highest_bytes = std::max(host.peak_bytes, highest_before.load()),
            .reserved_bytes = host.current_bytes,
            .host_bytes = host.host_bytes};
  }
  // Tensors on the host are staging, whatever they are for; what was charged lies on the card.
  Reading reading{.current_bytes = host.charged_bytes,
                  .peak_bytes = host.charged_bytes,
                  .highest_bytes = 0,
                  .reserved_bytes = host.charged_bytes,
                  .host_bytes = host.host_bytes + host.current_bytes - host.charged_bytes};
  if (cuda_memory::get() != nullptr && cuda_memory::get()->initialized()) {
    const auto statistics = cuda_memory::getDeviceStats(device.index());
    reading.current_bytes += statistics.allocated_bytes[aggregate].current;
    reading.peak_bytes += statistics.allocated_bytes[aggregate].peak;
    reading.reserved_bytes += statistics.reserved_bytes[aggregate].current;
  }
  reading.highest_bytes = std::max(reading.peak_bytes, highest_before.load());
  return reading;
}

void reset_peak(c10::Device device) {
  raise_highest(read(device).peak_bytes);
  reset_peak();
  if (device.is_cuda() && cuda_memory::get()->initialized()) {
    cuda_memory::resetPeakStats(device.index());
  }
}

std::vector<Holder> holders(c10::Device device) {
  if (!device.is_cuda()) {
    return holders();
  }
  std::vector<Holder> found = cuda_holders().holders();
  const std::vector<Holder> charged = charged_holders();
  found.insert(found.end(), charged.begin(), charged.end());
  return merged(std::move(found));
}

void forget_highest() {
  highest_before = 0;
}

void limit(c10::Device device, int64_t bytes) {
  if (!device.is_cuda()) {
    set_budget(bytes);
    return;
  }
  start_cuda();
  cuda_limit = std::max<int64_t>(bytes, 0);
  // The fraction bounds what LibTorch takes from the device, whole segments of 2 MiB or more, of which some
  // may lie unused; those that are wholly unused it gives back before it fails.
  const double total = static_cast<double>(total_bytes(device));
  const double left = static_cast<double>(std::max<int64_t>(bytes - counters().charged_bytes, 0));
  cuda_memory::setMemoryFraction(bytes > 0 ? std::min(left / total, 1.0) : 1.0, device.index());
}

int64_t limit_of(c10::Device device) {
  return device.is_cuda() ? cuda_limit.load() : budget_bytes();
}

void watch_for_shortage(c10::Device device) {
  if (!device.is_cuda()) {
    return;
  }
  start_cuda();
  cuda_memory::attachAllocatorTraceTracker(note_trace);
  cuda_memory::attachOutOfMemoryObserver([](int64_t index, size_t requested, size_t, size_t) {
    leave_cuda_shortage(c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)),
                        static_cast<int64_t>(requested));
  });
}

void PhasePeaks::note(Phase phase) {
  int64_t& peak = peaks_[static_cast<size_t>(phase)];
  peak = std::max(peak, read(device_).peak_bytes);
  reset_peak(device_);
}

int64_t PhasePeaks::highest() const {
  return *std::max_element(peaks_.begin(), peaks_.end());
}

}  // namespace yolodist::memory
