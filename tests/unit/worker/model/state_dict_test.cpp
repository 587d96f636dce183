// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/state_dict.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/unit/worker/model/small_models.h"

namespace yolodist::model {
namespace {

using Role = model_spec::StateEntry::Role;

TEST(StateDict, HasTheTablesEntriesInOrder) {
  for (const auto& [name, count] : {std::pair{"yolov5n", 349U}, {"yolov5n6", 459U}}) {
    const std::vector<model_spec::StateEntry> entries = test::shipped(name).entries();
    const StateDict state(entries, at::kFloat);
    ASSERT_EQ(state.size(), count);
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(state.entries()[i].name, entries[i].name);
      EXPECT_EQ(state[i].sizes().vec(), entries[i].shape) << entries[i].name;
      EXPECT_EQ(state[i].scalar_type(), entries[i].role == Role::bn_count ? at::kLong : at::kFloat)
          << entries[i].name;
      EXPECT_TRUE(state[i].is_contiguous()) << entries[i].name;
      EXPECT_FALSE(state[i].requires_grad()) << entries[i].name;
      EXPECT_TRUE(state.at(entries[i].name).is_same(state[i])) << entries[i].name;
    }
  }
}

TEST(StateDict, HasTheOfficialNames) {
  const StateDict state(test::shipped("yolov5n").entries(), at::kDouble);
  for (const char* name :
       {"model.0.conv.weight", "model.0.bn.num_batches_tracked", "model.2.cv3.bn.running_var",
        "model.6.m.2.cv2.conv.weight", "model.9.cv2.conv.weight", "model.24.anchors", "model.24.m.2.bias"}) {
    EXPECT_TRUE(state.contains(name)) << name;
  }
  EXPECT_EQ(state.at("model.0.conv.weight").sizes().vec(), (std::vector<int64_t>{16, 3, 6, 6}));
  EXPECT_EQ(state.at("model.24.anchors").sizes().vec(), (std::vector<int64_t>{3, 3, 2}));
  EXPECT_EQ(state.at("model.24.m.0.bias").sizes().vec(), (std::vector<int64_t>{255}));
  EXPECT_EQ(state.at("model.0.bn.num_batches_tracked").dim(), 0);
  EXPECT_FALSE(state.contains("model.11.conv.weight"));
  EXPECT_THROW(state.at("model.11.conv.weight"), InternalError);
}

TEST(StateDict, CloneOwnsItsMemoryAndCopySharesIt) {
  StateDict state(test::shipped("yolov5n").entries(), at::kFloat);
  const StateDict clone = state.clone();
  const StateDict copy = state;
  state[0].fill_(3);
  EXPECT_EQ(copy[0].sum().item<double>(), 3.0 * static_cast<double>(state[0].numel()));
  EXPECT_EQ(clone[0].sum().item<double>(), 0);
  state[0].requires_grad_(true);
  EXPECT_FALSE(state.clone()[0].requires_grad());
}

TEST(StateDict, FingerprintSeesEveryTensor) {
  StateDict state(test::shipped("yolov5n").entries(), at::kFloat);
  const uint64_t before = fingerprint(state);
  EXPECT_EQ(before, fingerprint(state.clone()));
  for (const size_t i : {size_t{0}, size_t{3}, size_t{5}, state.size() - 1}) {
    StateDict other = state.clone();
    other[i].view(-1)[-1].fill_(1);
    EXPECT_NE(before, fingerprint(other)) << state.entries()[i].name;
  }
}

}  // namespace
}  // namespace yolodist::model
