// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/activation.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

namespace yolodist::ops {
namespace {

at::Tensor upsampled(const at::Tensor& x, int64_t scale) {
  const double factor = static_cast<double>(scale);
  return at::upsample_nearest2d(x, {x.size(2) * scale, x.size(3) * scale}, factor, factor);
}

class JoinAgain : public Recipe {
 public:
  JoinAgain(const at::Tensor& whole, const std::vector<Activation>& parts)
      : sizes_(whole.sizes().vec()), options_(whole.options()) {
    for (const Activation& part : parts) {
      parts_.push_back(part.from ? Activation{{}, part.from} : Activation{part.value.detach(), nullptr});
      channels_.push_back(part.value.size(1));
    }
  }

  // One part after the other, so that only one is alive beside the whole.
  at::Tensor rebuild() const override {
    const c10::NoGradGuard no_grad;
    at::Tensor whole = at::empty(sizes_, options_.memory_format(at::MemoryFormat::ChannelsLast));
    int64_t offset = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      at::Tensor place = whole.narrow(1, offset, channels_[i]);
      place.copy_(parts_[i].from ? parts_[i].from->rebuild() : parts_[i].value);
      offset += channels_[i];
    }
    return whole;
  }

 private:
  std::vector<Activation> parts_;  // either a recipe or a value
  std::vector<int64_t> channels_, sizes_;
  at::TensorOptions options_;
};

class UpsampleAgain : public Recipe {
 public:
  UpsampleAgain(std::shared_ptr<const Recipe> from, int64_t scale) : from_(std::move(from)), scale_(scale) {}
  at::Tensor rebuild() const override {
    const c10::NoGradGuard no_grad;
    return upsampled(from_->rebuild(), scale_);
  }

 private:
  std::shared_ptr<const Recipe> from_;
  int64_t scale_;
};

}  // namespace

Activation join(const std::vector<Activation>& parts, bool wants_recipe) {
  std::vector<at::Tensor> values;
  for (const Activation& part : parts) {
    values.push_back(part.value);
  }
  Activation whole{at::cat(values, 1), nullptr};
  if (wants_recipe &&
      std::any_of(parts.begin(), parts.end(), [](const Activation& part) { return part.from != nullptr; })) {
    whole.from = std::make_shared<const JoinAgain>(whole.value, parts);
  }
  return whole;
}

Activation upsample(const Activation& x, int64_t scale) {
  return {upsampled(x.value, scale), x.from ? std::make_shared<const UpsampleAgain>(x.from, scale) : nullptr};
}

}  // namespace yolodist::ops
