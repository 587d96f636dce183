// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "worker/comm/communicator.h"

namespace yolodist::test {

// Bytes on a device, and the way there and back. The copies are ordered on the device's current stream, which
// is the one that a communicator waits for.
inline at::Tensor upload(const void* data, size_t bytes, at::Device device) {
  const auto host = at::from_blob(const_cast<void*>(data), {static_cast<int64_t>(bytes)}, at::kByte);
  at::Tensor there =
      at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte).device(device));
  there.copy_(host);
  return there;
}

inline void download(const at::Tensor& from, void* to) {
  at::from_blob(to, {from.numel()}, at::kByte).copy_(from);
}

// Gives a communicator of device memory the interface of one of host memory, by copies to and fro, so that it
// can run what is written for host memory.
class StagedCommunicator : public comm::Communicator {
 public:
  StagedCommunicator(comm::Communicator& inner, at::Device device) : inner_(inner), device_(device) {}

  int rank() const override { return inner_.rank(); }
  int world_size() const override { return inner_.world_size(); }
  int64_t all_reduce_count() const override { return inner_.all_reduce_count(); }
  void name_next(std::string name) override { inner_.name_next(std::move(name)); }

  std::span<std::byte> allocate_shared(size_t bytes) override {
    shared_.assign(bytes + alignment, std::byte{0});
    void* start = shared_.data();
    size_t room = shared_.size();
    std::align(alignment, bytes, start, room);
    return {static_cast<std::byte*>(start), bytes};
  }

  std::unique_ptr<comm::Work> all_reduce(void* data, size_t count, comm::Dtype dtype,
                                         comm::Reduction reduction) override {
    const at::Tensor there = upload(data, count * comm::size_of(dtype), device_);
    return std::make_unique<Staged>(inner_.all_reduce(there.data_ptr(), count, dtype, reduction), there,
                                    there, data);
  }
  std::unique_ptr<comm::Work> all_gather(const void* mine, size_t bytes, void* gathered) override {
    const at::Tensor own = upload(mine, bytes, device_);
    const at::Tensor all = room_for(bytes * static_cast<size_t>(world_size()));
    return std::make_unique<Staged>(inner_.all_gather(own.data_ptr(), bytes, all.data_ptr()), own, all,
                                    gathered);
  }
  std::unique_ptr<comm::Work> broadcast(void* data, size_t bytes, int root) override {
    const at::Tensor there = upload(data, bytes, device_);
    return std::make_unique<Staged>(inner_.broadcast(there.data_ptr(), bytes, root), there, there, data);
  }
  std::unique_ptr<comm::Work> reduce_scatter(const void* data, void* mine, size_t count, comm::Dtype dtype,
                                             comm::Reduction reduction) override {
    const size_t piece = count * comm::size_of(dtype);
    const at::Tensor whole = upload(data, piece * static_cast<size_t>(world_size()), device_);
    // In place stays in place.
    const std::ptrdiff_t offset = static_cast<const char*>(mine) - static_cast<const char*>(data);
    const bool is_in_place = offset >= 0 && offset < whole.numel();
    const at::Tensor own =
        is_in_place ? whole.narrow(0, offset, static_cast<int64_t>(piece)) : room_for(piece);
    return std::make_unique<Staged>(
        inner_.reduce_scatter(whole.data_ptr(), own.data_ptr(), count, dtype, reduction), whole, own, mine);
  }

 private:
  static constexpr size_t alignment = 64;

  // Copies back once the result is there.
  class Staged : public comm::Work {
   public:
    Staged(std::unique_ptr<comm::Work> inner, at::Tensor given, at::Tensor result, void* to)
        : inner_(std::move(inner)), given_(std::move(given)), result_(std::move(result)), to_(to) {}
    bool is_done() override { return inner_->is_done(); }
    void wait(Deadline deadline) override {
      inner_->wait(deadline);
      if (!is_copied_) {
        download(result_, to_);
        is_copied_ = true;
      }
    }

   private:
    std::unique_ptr<comm::Work> inner_;
    at::Tensor given_, result_;
    void* to_;
    bool is_copied_ = false;
  };

  at::Tensor room_for(size_t bytes) const {
    return at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte).device(device_));
  }

  comm::Communicator& inner_;
  at::Device device_;
  std::vector<std::byte> shared_;
};

}  // namespace yolodist::test
