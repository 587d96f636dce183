// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/base/error.h"
#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist::model {
namespace {

using Role = model_spec::StateEntry::Role;
using test::random_tensor;
using test::values_of;

// Two batch norms of 3 and 2 channels.
std::vector<model_spec::StateEntry> two_norms() {
  std::vector<model_spec::StateEntry> entries;
  for (const auto& [name, channels] : {std::pair<std::string, int64_t>{"a.bn", 3}, {"b.bn", 2}}) {
    entries.push_back({name + ".weight", Role::bn_weight, {channels}});
    entries.push_back({name + ".bias", Role::bn_bias, {channels}});
    entries.push_back({name + ".running_mean", Role::bn_mean, {channels}});
    entries.push_back({name + ".running_var", Role::bn_var, {channels}});
    entries.push_back({name + ".num_batches_tracked", Role::bn_count, {}});
  }
  return entries;
}

// Statistics of a set of values a channel, [n, channels], for both batch norms.
struct Sets {
  at::Tensor a, b;
};

// Of a single value the unbiased variance is 0/0, as torch's batch norm has it.
at::Tensor unbiased_variance(const at::Tensor& values) {
  const int64_t dim = 0;
  return values.size(0) > 1
             ? values.var(dim, true)
             : at::full({values.size(1)}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
}

BatchNormRecord measured(const BatchNormTable& table, const Sets& values) {
  BatchNormRecord record(table, at::kDouble);
  const int64_t dim = 0;
  record.mean.copy_(at::cat({values.a.mean(dim), values.b.mean(dim)}));
  record.variance.copy_(at::cat({unbiased_variance(values.a), unbiased_variance(values.b)}));
  record.value_count = {values.a.size(0), values.b.size(0)};
  return record;
}

StateDict started_state(at::ScalarType dtype) {
  StateDict state(two_norms(), dtype);
  state[2].copy_(random_tensor(90, {3}));
  state[3].copy_(random_tensor(91, {3}, at::kDouble, 0.5, 2));
  state[7].copy_(random_tensor(92, {2}));
  state[8].copy_(random_tensor(93, {2}, at::kDouble, 0.5, 2));
  return state;
}

void expect_moved(const at::Tensor& after, const at::Tensor& before, const at::Tensor& batch) {
  const std::vector<double> moved = values_of(after), old = values_of(before), value = values_of(batch);
  for (size_t c = 0; c < moved.size(); ++c) {
    EXPECT_NEAR(moved[c], 0.97 * old[c] + 0.03 * value[c], 1e-14) << "channel " << c;
  }
}

TEST(BatchNormTable, LaysAllChannelsInARow) {
  const BatchNormTable table(two_norms());
  EXPECT_EQ(table.channel_count, 5);
  EXPECT_EQ(table.names, (std::vector<std::string>{"a.bn", "b.bn"}));
  EXPECT_EQ(table.places.at("b.bn").index, 1);
  EXPECT_EQ(table.places.at("b.bn").offset, 3);
  EXPECT_EQ(table.places.at("b.bn").channels, 2);
  EXPECT_EQ(row_length(table), 12U);
  const BatchNormRecord record = measured(table, {random_tensor(1, {4, 3}), random_tensor(2, {5, 2})});
  const std::vector<double> row = to_row(record);
  ASSERT_EQ(row.size(), row_length(table));
  EXPECT_EQ(row[10], 4);
  EXPECT_EQ(row[11], 5);
}

TEST(RunningStatistics, OfGroupsAreThoseOfAllValuesTogether) {
  const BatchNormTable table(two_norms());
  // Groups of different sizes and places, as the last batch of an epoch makes them; one holds a single value.
  std::vector<Sets> groups;
  std::vector<std::vector<double>> rows;
  std::vector<at::Tensor> all_a, all_b;
  for (const int64_t count : {7, 4, 1, 12}) {
    const auto seed = static_cast<uint32_t>(10 * count);
    groups.push_back(
        {random_tensor(seed, {count, 3}) * static_cast<double>(count) + 100.0 / static_cast<double>(count),
         random_tensor(seed + 1, {2 * count, 2}) - static_cast<double>(count)});
    rows.push_back(to_row(measured(table, groups.back())));
    all_a.push_back(groups.back().a);
    all_b.push_back(groups.back().b);
  }
  const StateDict state = started_state(at::kDouble);
  const StateDict before = state.clone();
  update_running_statistics(state, table, rows);
  const at::Tensor a = at::cat(all_a), b = at::cat(all_b);
  const int64_t dim = 0;
  expect_moved(state.at("a.bn.running_mean"), before.at("a.bn.running_mean"), a.mean(dim));
  expect_moved(state.at("b.bn.running_mean"), before.at("b.bn.running_mean"), b.mean(dim));
  // Pooled variances of thousands: 1e-14 of them is 1e-11.
  const std::vector<double> moved = values_of(state.at("a.bn.running_var"));
  const std::vector<double> old = values_of(before.at("a.bn.running_var")),
                            batch = values_of(a.var(dim, true));
  for (size_t c = 0; c < moved.size(); ++c) {
    EXPECT_NEAR(moved[c], 0.97 * old[c] + 0.03 * batch[c], 1e-13 * batch[c]);
  }
  expect_moved(state.at("b.bn.running_var"), before.at("b.bn.running_var"), b.var(dim, true));
  EXPECT_EQ(state.at("a.bn.num_batches_tracked").item<int64_t>(), 1) << "once an iteration, not once a group";
}

TEST(RunningStatistics, OfASingleValueAreFinite) {
  const BatchNormTable table(two_norms());
  const StateDict state = started_state(at::kDouble);
  const StateDict before = state.clone();
  BatchNormRecord record = measured(table, {random_tensor(1, {1, 3}), random_tensor(2, {1, 2})});
  ASSERT_TRUE(std::isnan(record.variance[0].item<double>()));
  update_running_statistics(state, table, {to_row(record)});
  expect_moved(state.at("a.bn.running_mean"), before.at("a.bn.running_mean"), record.mean.narrow(0, 0, 3));
  expect_moved(state.at("a.bn.running_var"), before.at("a.bn.running_var"),
               at::zeros_like(record.mean.narrow(0, 0, 3)));
}

// One picture of 32 px has one cell at stride 32.
TEST(RunningStatistics, OfAPictureOfOneCellAreFinite) {
  const c10::NoGradGuard no_grad;
  at::set_num_threads(1);
  Model model(test::shipped("yolov5n", 2), at::kFloat);
  initialise(model, 1);
  BatchNormRecord record(model.batch_norms, at::kFloat);
  forward(model, random_tensor(6, {1, 3, 32, 32}, at::kFloat, 0, 1), &record);
  EXPECT_EQ(record.value_count.at(static_cast<size_t>(model.batch_norms.places.at("model.9.cv1.bn").index)),
            1);
  update_running_statistics(model.state, model.batch_norms, {to_row(record)});
  for (size_t i = 0; i < model.state.size(); ++i) {
    EXPECT_TRUE(std::isfinite(model.state[i].to(at::kDouble).sum().item<double>()))
        << model.state.entries()[i].name;
  }
}

TEST(RunningStatistics, NeedAGroup) {
  const BatchNormTable table(two_norms());
  EXPECT_THROW(update_running_statistics(started_state(at::kDouble), table, {}), InternalError);
}

// The whole way through a forward: layer 0's batch norm against torch's own update on the same input.
void expect_official_update(at::ScalarType dtype, double tolerance) {
  const c10::NoGradGuard no_grad;
  at::set_num_threads(1);
  Model model(test::with_row("[-1, 1, Conv, [8, 1]]"), dtype);
  initialise(model, 1);
  for (const char* name : {"model.0.bn.running_mean", "model.0.bn.running_var"}) {
    model.state.at(name).copy_(random_tensor(5, {64}, dtype, 0.5, 2));
  }
  const at::Tensor images = random_tensor(6, {2, 3, 32, 48}, dtype, 0, 1);
  const at::Tensor x = at::conv2d(images, model.state.at("model.0.conv.weight"), {}, 2, 1);
  const at::Tensor mean = model.state.at("model.0.bn.running_mean").clone();
  const at::Tensor variance = model.state.at("model.0.bn.running_var").clone();
  at::batch_norm(x, model.state.at("model.0.bn.weight"), model.state.at("model.0.bn.bias"), mean, variance,
                 true, bn_momentum, bn_eps, false);
  BatchNormRecord record(model.batch_norms, dtype);
  forward(model, images, &record);
  EXPECT_EQ(record.value_count.at(0), 2 * 16 * 24);
  update_running_statistics(model.state, model.batch_norms, {to_row(record)});
  const std::vector<double> expected_mean = values_of(mean), expected_variance = values_of(variance);
  const std::vector<double> moved_mean = values_of(model.state.at("model.0.bn.running_mean"));
  const std::vector<double> moved_variance = values_of(model.state.at("model.0.bn.running_var"));
  for (size_t c = 0; c < expected_mean.size(); ++c) {
    EXPECT_NEAR(moved_mean[c], expected_mean[c], tolerance * std::abs(expected_mean[c])) << "channel " << c;
    EXPECT_NEAR(moved_variance[c], expected_variance[c], tolerance * expected_variance[c]) << "channel " << c;
  }
  EXPECT_EQ(model.state.at("model.0.bn.num_batches_tracked").item<int64_t>(), 2);
}

// A few roundings: sums over 768 values in another order (channels-last), then one multiplication and
// addition.
TEST(RunningStatistics, OfOneGroupAreTheOfficialUpdateInDouble) {
  expect_official_update(at::kDouble, 1e-14);
}
TEST(RunningStatistics, OfOneGroupAreTheOfficialUpdateInSingle) {
  expect_official_update(at::kFloat, 1e-6);
}

}  // namespace
}  // namespace yolodist::model
