// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/bucketed_reducer.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <functional>

#include "common/base/error.h"

namespace yolodist::parallel {
namespace {

// Calls back when a parameter's gradient has been accumulated.
class GradientHook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit GradientHook(std::function<void()> on_gradient) : on_gradient_(std::move(on_gradient)) {}
  void operator()(const torch::autograd::Variable&) override { on_gradient_(); }

 private:
  std::function<void()> on_gradient_;
};

comm::Dtype comm_dtype(at::ScalarType type) {
  check(type == at::kFloat || type == at::kDouble, "gradients are fp32 or fp64");
  return type == at::kFloat ? comm::Dtype::f32 : comm::Dtype::f64;
}

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

size_t default_bucket_bytes(size_t gradient_bytes) {
  constexpr size_t mebibyte = size_t{1} << 20;
  return std::clamp(gradient_bytes / 8, mebibyte, 25 * mebibyte);
}

BucketedReducer::BucketedReducer(comm::Communicator& communicator, const std::vector<at::Tensor>& parameters,
                                 size_t bucket_bytes)
    : communicator_(communicator),
      parameters_(parameters),
      gradients_(parameters.size()),
      bucket_of_(parameters.size()) {
  check(!parameters.empty(), "a model has parameters");
  lay_out(parameters, bucket_bytes);
  bind(parameters);
  zero();
}

BucketedReducer::~BucketedReducer() {
  for (const at::Tensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
    parameter.mutable_grad().reset();
  }
}

void BucketedReducer::lay_out(const std::vector<at::Tensor>& parameters, size_t bucket_bytes) {
  // Padded so that every rank's part of a reduce-scatter is whole cache lines.
  const int64_t element_bytes = static_cast<int64_t>(parameters[0].element_size());
  const int64_t multiple = 64 * communicator_.world_size() / element_bytes;
  int64_t filled = 0;
  for (size_t i = parameters.size(); i-- > 0;) {
    check(parameters[i].is_contiguous() && parameters[i].scalar_type() == parameters[0].scalar_type(),
          "parameters are contiguous and of one dtype");
    const int64_t count = parameters[i].numel();
    if (buckets_.empty() || static_cast<size_t>((filled + count) * element_bytes) > bucket_bytes) {
      buckets_.emplace_back();
      filled = 0;
    }
    buckets_.back().parameters.push_back(i);
    bucket_of_[i] = buckets_.size() - 1;
    filled += count;
    buckets_.back().element_count = round_up(filled, multiple);
  }
}

void BucketedReducer::bind(const std::vector<at::Tensor>& parameters) {
  const int64_t element_bytes = static_cast<int64_t>(parameters[0].element_size());
  int64_t total = 0;
  for (const Bucket& bucket : buckets_) {
    total += bucket.element_count;
  }
  std::byte* memory = communicator_.allocate_shared(static_cast<size_t>(total * element_bytes)).data();
  const at::TensorOptions options =
      at::TensorOptions().dtype(parameters[0].scalar_type()).device(parameters[0].device());
  for (const Bucket& bucket : buckets_) {
    const at::Tensor flat = at::from_blob(memory, {bucket.element_count}, options);
    flats_.push_back(flat);
    int64_t offset = 0;
    for (const size_t i : bucket.parameters) {
      gradients_[i] = flat.as_strided(parameters[i].sizes(), parameters[i].strides(), offset);
      offset += parameters[i].numel();
      parameters[i].mutable_grad() = gradients_[i];
      torch::autograd::impl::set_post_acc_grad_hooks(
          parameters[i], std::make_unique<GradientHook>([this, i] { on_gradient(i); }));
    }
    memory += bucket.element_count * element_bytes;
  }
}

void BucketedReducer::zero() {
  for (const at::Tensor& flat : flats_) {
    at::Tensor(flat).zero_();
  }
}

void BucketedReducer::arm() {
  armed_ = true;
  for (Bucket& bucket : buckets_) {
    bucket.waiting_for = static_cast<int>(bucket.parameters.size());
  }
}

void BucketedReducer::on_gradient(size_t parameter) {
  if (!armed_) {
    return;
  }
  --buckets_[bucket_of_[parameter]].waiting_for;
  start_ready_buckets();
}

void BucketedReducer::start_ready_buckets() {
  while (next_to_start_ < buckets_.size() && buckets_[next_to_start_].waiting_for <= 0) {
    start(next_to_start_);
  }
}

void BucketedReducer::start(size_t bucket) {
  check(bucket == next_to_start_, "buckets start in index order");
  ++next_to_start_;
  if (communicator_.world_size() > 1) {
    const at::Tensor& flat = flats_[bucket];
    buckets_[bucket].work =
        communicator_.all_reduce(flat.mutable_data_ptr(), static_cast<size_t>(flat.numel()),
                                 comm_dtype(flat.scalar_type()), comm::Reduction::sum);
  }
}

void BucketedReducer::start_remaining() {
  while (next_to_start_ < buckets_.size()) {
    start(next_to_start_);
  }
}

void BucketedReducer::finish(Deadline deadline) {
  start_remaining();
  for (Bucket& bucket : buckets_) {
    if (bucket.work) {
      bucket.work->wait(deadline);
      bucket.work.reset();
    }
  }
  armed_ = false;
  next_to_start_ = 0;
  ++reduced_steps_;
}

}  // namespace yolodist::parallel
