// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/error.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"

namespace yolodist::optim {
namespace {

using test::random_tensor;
using test::values_of;

constexpr int step_count = 5;

// What a step trains with: different in every step, as in warm-up.
std::array<double, group_count> lr_of(int step) {
  return {0.1 - 0.01 * step, 0.002 * (step + 1), 0.003 * (step + 1)};
}
double momentum_of(int step) {
  return 0.8 + 0.02 * step;
}

// What a step with finite gradients is told.
at::Tensor good() {
  return at::zeros({}, at::kFloat);
}

// One number trained by the rules as they are written in the papers and in PyTorch's documentation.
struct ScalarReference {
  Optimizer::Settings settings;
  double first = 0, second = 0;

  void step(double& value, double gradient, double lr, double momentum, double decay, int count) {
    if (settings.rule == Rule::sgd) {
      gradient += decay * value;
      first = momentum * first + gradient;
      value -= lr * (gradient + momentum * first);  // Nesterov
      return;
    }
    if (settings.rule == Rule::adam) {
      gradient += decay * value;
    } else {
      value -= lr * decay * value;
    }
    first = momentum * first + (1 - momentum) * gradient;
    second = settings.beta2 * second + (1 - settings.beta2) * gradient * gradient;
    const double unbiased_first = first / (1 - std::pow(momentum, count));
    const double unbiased_second = second / (1 - std::pow(settings.beta2, count));
    value -= lr * unbiased_first / (std::sqrt(unbiased_second) + settings.eps);
  }
};

// One parameter a group; sizes that no vector width divides.
std::array<std::vector<Parameter>, group_count> parameters_of(at::ScalarType dtype) {
  std::array<std::vector<Parameter>, group_count> groups;
  const std::vector<std::vector<int64_t>> sizes = {{13}, {3, 5, 3, 3}, {7}};
  for (size_t g = 0; g < group_count; ++g) {
    const at::Tensor value = random_tensor(static_cast<uint32_t>(g), sizes[g], dtype);
    groups[g].push_back({"parameter" + std::to_string(g), value, at::zeros_like(value)});
  }
  return groups;
}

void expect_reference(Rule rule, at::ScalarType dtype, double tolerance) {
  at::set_num_threads(1);
  Optimizer::Settings settings;
  settings.rule = rule;
  settings.weight_decay = 0.05;  // large enough to be seen
  Optimizer optimizer(settings, parameters_of(dtype));
  std::vector<std::vector<ScalarReference>> references;
  std::vector<std::vector<double>> expected;
  for (const auto& group : optimizer.parameters()) {
    expected.push_back(values_of(group[0].value));
    references.emplace_back(expected.back().size(), ScalarReference{settings});
  }
  for (int step = 0; step < step_count; ++step) {
    for (size_t g = 0; g < group_count; ++g) {
      const at::Tensor& gradient = optimizer.parameters()[g][0].gradient;
      gradient.copy_(random_tensor(static_cast<uint32_t>(100 + 10 * step) + static_cast<uint32_t>(g),
                                   gradient.sizes().vec(), dtype, -2, 2));
      const std::vector<double> numbers = values_of(gradient);
      const double decay = g == static_cast<size_t>(Group::decayed_weight) ? settings.weight_decay : 0;
      for (size_t i = 0; i < numbers.size(); ++i) {
        references[g][i].step(expected[g][i], numbers[i], lr_of(step)[g], momentum_of(step), decay, step + 1);
      }
    }
    optimizer.step(lr_of(step), momentum_of(step), good());
    for (size_t g = 0; g < group_count; ++g) {
      const std::vector<double> actual = values_of(optimizer.parameters()[g][0].value);
      for (size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[g][i], tolerance)
            << "step " << step << ", group " << g << ", element " << i;
      }
    }
  }
}

// Values and updates are about 1; a step is some ten roundings. Adam divides by the root of squares that lose
// half the digits, but of numbers that are not small here.
TEST(Optimizer, SgdIsTheHandWrittenRule) {
  expect_reference(Rule::sgd, at::kDouble, 1e-14);
  expect_reference(Rule::sgd, at::kFloat, 2e-6);
}
TEST(Optimizer, AdamIsTheHandWrittenRule) {
  expect_reference(Rule::adam, at::kDouble, 1e-14);
  expect_reference(Rule::adam, at::kFloat, 2e-6);
}
TEST(Optimizer, AdamWIsTheHandWrittenRule) {
  expect_reference(Rule::adamw, at::kDouble, 1e-14);
  expect_reference(Rule::adamw, at::kFloat, 2e-6);
}

// The fused kernels walk raw memory: strides that differ would be updated wrongly without an error.
TEST(Optimizer, RefusesGradientsWithOtherStrides) {
  for (const Rule rule : {Rule::sgd, Rule::adam, Rule::adamw}) {
    const at::Tensor value = random_tensor(1, {4, 3, 3, 3}, at::kFloat);
    std::array<std::vector<Parameter>, group_count> groups;
    groups[1].push_back(
        {"model.3.conv.weight", value, at::empty_like(value).contiguous(at::MemoryFormat::ChannelsLast)});
    Optimizer::Settings settings;
    settings.rule = rule;
    const std::string message = test::thrown<InternalError>([&] { Optimizer(settings, std::move(groups)); });
    EXPECT_NE(message.find("model.3.conv.weight"), std::string::npos) << message;
  }
}

TEST(Optimizer, TrainsAChannelsLastWeightLikeAContiguousOne) {
  at::set_num_threads(1);
  for (const Rule rule : {Rule::sgd, Rule::adam, Rule::adamw}) {
    std::vector<std::vector<double>> results;
    for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      const at::Tensor value = random_tensor(1, {4, 3, 3, 3}, at::kDouble).contiguous(format);
      const at::Tensor gradient = random_tensor(2, {4, 3, 3, 3}, at::kDouble).contiguous(format);
      std::array<std::vector<Parameter>, group_count> groups;
      groups[1].push_back({"weight", value, gradient});
      Optimizer::Settings settings;
      settings.rule = rule;
      Optimizer optimizer(settings, std::move(groups));
      for (int step = 0; step < step_count; ++step) {
        optimizer.step(lr_of(step), momentum_of(step), good());
      }
      results.push_back(values_of(value));
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

TEST(Optimizer, StateIsAliveAndNamed) {
  at::set_num_threads(1);
  Optimizer::Settings settings;
  Optimizer sgd(settings, parameters_of(at::kDouble));
  const auto momentum = sgd.state().at("momentum");
  EXPECT_EQ(sgd.state().size(), 1U);
  ASSERT_EQ(momentum.size(), group_count);
  EXPECT_EQ(momentum[1].first, "parameter1");
  EXPECT_EQ(momentum[1].second.sizes(), sgd.parameters()[1][0].value.sizes());

  // A second optimizer that takes over values and state goes on exactly as the first.
  settings.rule = Rule::adamw;
  Optimizer first(settings, parameters_of(at::kFloat)), second(settings, parameters_of(at::kFloat));
  const auto train = [](Optimizer& optimizer, int step) {
    for (const auto& group : optimizer.parameters()) {
      group[0].gradient.copy_(random_tensor(static_cast<uint32_t>(step), group[0].gradient.sizes().vec()));
    }
    optimizer.step(lr_of(step), 0.9, good());
  };
  train(first, 0);
  train(first, 1);
  EXPECT_EQ(first.state().at("step")[0].second.item<double>(), 2);
  for (size_t g = 0; g < group_count; ++g) {
    second.parameters()[g][0].value.copy_(first.parameters()[g][0].value);
  }
  const auto stored = first.state();
  ASSERT_EQ(stored.size(), 3U);
  for (const auto& [kind, tensors] : second.state()) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].first, stored.at(kind)[i].first);
      tensors[i].second.copy_(stored.at(kind)[i].second);
    }
  }
  train(first, 2);
  train(second, 2);
  for (size_t g = 0; g < group_count; ++g) {
    EXPECT_EQ(values_of(first.parameters()[g][0].value), values_of(second.parameters()[g][0].value));
  }
}

// A step whose gradients are not finite leaves parameters and all state as they are, the count of steps too.
TEST(Optimizer, SkipsABadStep) {
  for (const Rule rule : {Rule::sgd, Rule::adam, Rule::adamw}) {
    Optimizer::Settings settings;
    settings.rule = rule;
    Optimizer optimizer(settings, parameters_of(at::kFloat));
    const auto step = [&](double gradient, const at::Tensor& is_bad) {
      for (const auto& group : optimizer.parameters()) {
        group[0].gradient.fill_(gradient);
      }
      optimizer.step(lr_of(0), 0.9, is_bad);
    };
    const auto everything = [&] {
      std::vector<std::vector<double>> values;
      for (const auto& group : optimizer.parameters()) {
        values.push_back(values_of(group[0].value));
      }
      for (const auto& [kind, tensors] : optimizer.state()) {
        for (const auto& [name, tensor] : tensors) {
          values.push_back(values_of(tensor));
        }
      }
      return values;
    };
    step(1, good());
    const auto before = everything();
    step(HUGE_VAL, at::ones({}, at::kFloat));
    EXPECT_EQ(everything(), before);
    step(1, good());
    EXPECT_NE(everything(), before);
  }
}

TEST(Optimizer, RulesAreNamedAsYolov5Names) {
  EXPECT_EQ(rule_named("SGD"), Rule::sgd);
  EXPECT_EQ(rule_named("Adam"), Rule::adam);
  EXPECT_EQ(rule_named("AdamW"), Rule::adamw);
  const std::string message = test::thrown<UsageError>([] { rule_named("sgd"); });
  EXPECT_NE(message.find("'sgd'"), std::string::npos) << message;
  EXPECT_NE(message.find("SGD, Adam or AdamW"), std::string::npos) << message;
}

}  // namespace
}  // namespace yolodist::optim
