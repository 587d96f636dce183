// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/bucketed_reducer.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <functional>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/libtorch/autograd.h"

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

}  // namespace

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
  std::vector<int64_t> counts;
  for (const at::Tensor& parameter : parameters) {
    check(parameter.is_contiguous() && parameter.scalar_type() == parameters[0].scalar_type(),
          "parameters are contiguous and of one dtype");
    counts.push_back(parameter.numel());
  }
  for (plan::Bucket& layout : plan::buckets_of(counts, static_cast<int64_t>(parameters[0].element_size()),
                                               communicator_.world_size(), bucket_bytes)) {
    for (const size_t i : layout.parameters) {
      bucket_of_[i] = buckets_.size();
    }
    buckets_.push_back({.layout = std::move(layout), .waiting_for = 0, .work = nullptr});
  }
}

void BucketedReducer::bind(const std::vector<at::Tensor>& parameters) {
  const int64_t element_bytes = static_cast<int64_t>(parameters[0].element_size());
  int64_t total = 0;
  for (const Bucket& bucket : buckets_) {
    total += bucket.layout.element_count;
  }
  charge_.emplace(total * element_bytes, memory::Kind::gradients);
  std::byte* memory = communicator_.allocate_shared(static_cast<size_t>(total * element_bytes)).data();
  const at::TensorOptions options =
      at::TensorOptions().dtype(parameters[0].scalar_type()).device(parameters[0].device());
  for (const Bucket& bucket : buckets_) {
    const at::Tensor flat = at::from_blob(memory, {bucket.layout.element_count}, options);
    flats_.push_back(flat);
    int64_t offset = 0;
    for (const size_t i : bucket.layout.parameters) {
      gradients_[i] = flat.as_strided(parameters[i].sizes(), parameters[i].strides(), offset);
      offset += parameters[i].numel();
      parameters[i].mutable_grad() = gradients_[i];
      torch::autograd::impl::set_post_acc_grad_hooks(
          parameters[i], std::make_unique<GradientHook>([this, i] { on_gradient(i); }));
    }
    memory += bucket.layout.element_count * element_bytes;
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
    bucket.waiting_for = static_cast<int>(bucket.layout.parameters.size());
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
    communicator_.name_next(cat("bucket ", bucket));
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

void BucketedReducer::abandon() {
  for (Bucket& bucket : buckets_) {
    bucket.work.reset();
  }
  armed_ = false;
  next_to_start_ = 0;
}

}  // namespace yolodist::parallel
