// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "worker/optim/parameter_groups.h"

namespace yolodist::optim {

enum class Rule { sgd, adam, adamw };
// Throws UsageError naming the known ones.
Rule rule_named(const std::string& name);

// SGD with Nesterov momentum, Adam or AdamW over the three groups, by LibTorch's fused kernels. All state is
// allocated on construction, so a step allocates nothing that could fail half-way.
class Optimizer {
 public:
  struct Settings {
    Rule rule = Rule::sgd;
    double weight_decay = 5e-4;  // of the decayed weights, already scaled to the batch
    double beta2 = 0.999;        // Adam, AdamW
    double eps = 1e-8;
  };

  // parameters[g] are those of group g. Throws InternalError when a gradient's strides differ from its
  // parameter's.
  Optimizer(const Settings& settings, std::array<std::vector<Parameter>, group_count> parameters);

  // One update from the gradients, or none where `is_bad` (fp32 scalar on the parameters' device) holds 1:
  // the device decides, and nothing waits for it. `momentum` is SGD's momentum or Adam's beta1.
  void step(const std::array<double, group_count>& lr, double momentum, const at::Tensor& is_bad);

  // State by kind ("momentum"; "exp_avg", "exp_avg_sq", "step") and parameter name. The tensors are the live
  // ones: write into them to restore.
  std::map<std::string, std::vector<std::pair<std::string, at::Tensor>>> state() const;

  const std::array<std::vector<Parameter>, group_count>& parameters() const { return parameters_; }

 private:
  struct GroupTensors {
    std::vector<at::Tensor> values, gradients, first, second, steps;
  };
  Settings settings_;
  std::array<std::vector<Parameter>, group_count> parameters_;
  std::array<GroupTensors, group_count> groups_;
};

}  // namespace yolodist::optim
