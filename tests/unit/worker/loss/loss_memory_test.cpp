// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// What the loss holds, counted by the worker's allocator.
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "tests/unit/worker/loss/loss_cases.h"
#include "worker/memory/budget.h"

namespace yolodist::loss {
namespace {

class Counting : public ::testing::Environment {
 public:
  void SetUp() override { memory::install_counting_allocator(); }
};
const ::testing::Environment* const counting = ::testing::AddGlobalTestEnvironment(new Counting);

class LossMemory : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

int64_t gradient_bytes(const LossCase& test) {
  int64_t bytes = 0;
  for (const at::Tensor& level : test.raw) {
    bytes += memory::rounded(static_cast<int64_t>(level.nbytes()));
  }
  return bytes;
}

config::Hyperparameters with_all_options() {
  config::Hyperparameters hyp;
  hyp.cls_pw = 0.7;
  hyp.obj_pw = 1.3;
  hyp.fl_gamma = 1.5;
  hyp.label_smoothing = 0.1;
  return hyp;
}

struct Held {
  int64_t peak_bytes = 0, kept_bytes = 0, backward_bytes = 0;  // beyond what was there before
};

// One loss, and its backward where gradients are on.
Held measure(const LossCase& test, const config::Hyperparameters& hyp) {
  Held held;
  const int64_t before = memory::counters().current_bytes;
  memory::reset_peak();
  const GroupLoss loss = detection_loss(test.raw, test.matches, test.normalisers, hyp);
  held.peak_bytes = memory::counters().peak_bytes - before;
  held.kept_bytes = memory::counters().current_bytes - before;
  if (loss.total.requires_grad()) {
    memory::reset_peak();
    loss.total.backward();
    held.backward_bytes = memory::counters().peak_bytes - before - held.kept_bytes;
  }
  return held;
}

constexpr int64_t scalars_bytes = 16 * memory::granule_bytes;

void expect_within_formula(const LossCaseOptions& options, const config::Hyperparameters& hyp,
                           int64_t temporaries_bytes) {
  const LossCase test = loss_case(options);
  const Held held = measure(test, hyp);
  EXPECT_GE(held.peak_bytes, gradient_bytes(test));
  EXPECT_LE(held.peak_bytes, gradient_bytes(test) + temporaries_bytes);
  EXPECT_LE(held.kept_bytes, gradient_bytes(test) + scalars_bytes);
  EXPECT_LE(held.backward_bytes, scalars_bytes);
  for (const at::Tensor& level : test.raw) {
    EXPECT_EQ(level.grad().strides(), level.strides()) << "what Detect gets back needs no copy";
  }
}

TEST_F(LossMemory, OfFiveThousandBoxesAndAThousandClassesIsTheGradientsAndAConstant) {
  expect_within_formula({.side_px = 320, .class_count = 1000, .boxes = 5000}, {}, 5 * slab_bytes);
}

TEST_F(LossMemory, StaysWithinItsConstantWithEveryOption) {
  expect_within_formula({.side_px = 320, .class_count = 1000, .boxes = 1000}, with_all_options(),
                        loss_temporaries_bytes);
}

TEST_F(LossMemory, StaysWithinItsConstantForManyClassesAndForOne) {
  expect_within_formula({.side_px = 64, .class_count = 7500, .boxes = 100}, {}, 5 * slab_bytes);
  expect_within_formula({.side_px = 64, .class_count = 1, .boxes = 5000}, {}, 5 * slab_bytes);
}

TEST_F(LossMemory, StaysWithinItsConstantForManyPicturesInDouble) {
  expect_within_formula(
      {.pictures = 8, .side_px = 320, .class_count = 2, .boxes = 5000, .dtype = at::kDouble},
      with_all_options(), loss_temporaries_bytes);
}

TEST_F(LossMemory, WithoutGradientsIsOneValueACellAndAConstant) {
  const LossCase test = loss_case({.pictures = 2, .side_px = 320, .class_count = 100, .boxes = 2000});
  const c10::NoGradGuard no_grad;
  const Held held = measure(test, {});
  EXPECT_LE(held.peak_bytes, gradient_bytes(test) / 105 + memory::granule_bytes + 5 * slab_bytes);
  EXPECT_LE(held.kept_bytes, scalars_bytes);
}

TEST_F(LossMemory, IsGivenBackAfterBackward) {
  const LossCase test = loss_case({.side_px = 320, .class_count = 100, .boxes = 100});
  const int64_t before = memory::counters().current_bytes;
  {
    const GroupLoss loss = detection_loss(test.raw, test.matches, test.normalisers, {});
    loss.total.backward();
    for (const at::Tensor& level : test.raw) {
      level.mutable_grad().reset();
    }
    EXPECT_LE(memory::counters().current_bytes - before, scalars_bytes) << "although the loss still lives";
  }
  EXPECT_EQ(memory::counters().current_bytes, before);
}

}  // namespace
}  // namespace yolodist::loss
