// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/mark.h"

namespace yolodist::optim {

Rule rule_named(const std::string& name) {
  if (name == "SGD") {
    return Rule::sgd;
  }
  if (name == "Adam") {
    return Rule::adam;
  }
  if (name == "AdamW") {
    return Rule::adamw;
  }
  throw UsageError(cat("--optimizer: there is no '", name, "'"), "Choose SGD, Adam or AdamW.");
}

Optimizer::Optimizer(const Settings& settings, std::array<std::vector<Parameter>, group_count> parameters)
    : settings_(settings), parameters_(std::move(parameters)) {
  const memory::KindScope kind(memory::Kind::optimizer);
  for (size_t g = 0; g < group_count; ++g) {
    for (const Parameter& parameter : parameters_[g]) {
      check(parameter.value.strides() == parameter.gradient.strides(),
            cat("parameter and gradient of ", parameter.name, " have equal strides"));
      GroupTensors& group = groups_[g];
      group.values.push_back(parameter.value);
      group.gradients.push_back(parameter.gradient);
      group.first.push_back(at::zeros_like(parameter.gradient));
      check(group.first.back().strides() == parameter.value.strides(),
            "optimizer state has the parameter's strides");
      if (settings_.rule != Rule::sgd) {
        group.second.push_back(at::zeros_like(parameter.gradient));
        group.steps.push_back(
            at::zeros({}, parameter.value.options().dtype(at::kFloat).requires_grad(false)));
      }
    }
  }
}

void Optimizer::step(const std::array<double, group_count>& lr, double momentum, const at::Tensor& is_bad) {
  const c10::NoGradGuard no_grad;
  const at::Tensor is_good = settings_.rule == Rule::sgd ? at::Tensor() : 1 - is_bad;
  for (size_t g = 0; g < group_count; ++g) {
    GroupTensors& group = groups_[g];
    if (group.values.empty()) {
      continue;
    }
    const double decay = g == static_cast<size_t>(Group::decayed_weight) ? settings_.weight_decay : 0.0;
    if (settings_.rule == Rule::sgd) {
      at::_fused_sgd_(group.values, group.gradients, group.first, decay, momentum, lr[g], /*dampening=*/0.0,
                      /*nesterov=*/true, /*maximize=*/false, /*is_first_step=*/false, /*grad_scale=*/{},
                      is_bad);
      continue;
    }
    for (at::Tensor& count : group.steps) {
      count.add_(is_good);
    }
    if (settings_.rule == Rule::adam) {
      at::_fused_adam_(group.values, group.gradients, group.first, group.second, {}, group.steps, lr[g],
                       momentum, settings_.beta2, decay, settings_.eps, /*amsgrad=*/false,
                       /*maximize=*/false, /*grad_scale=*/{}, is_bad);
    } else {
      at::_fused_adamw_(group.values, group.gradients, group.first, group.second, {}, group.steps, lr[g],
                        momentum, settings_.beta2, decay, settings_.eps, /*amsgrad=*/false,
                        /*maximize=*/false, /*grad_scale=*/{}, is_bad);
    }
  }
}

std::map<std::string, std::vector<std::pair<std::string, at::Tensor>>> Optimizer::state() const {
  std::map<std::string, std::vector<std::pair<std::string, at::Tensor>>> result;
  for (size_t g = 0; g < group_count; ++g) {
    for (size_t i = 0; i < parameters_[g].size(); ++i) {
      const std::string& name = parameters_[g][i].name;
      if (settings_.rule == Rule::sgd) {
        result["momentum"].emplace_back(name, groups_[g].first[i]);
      } else {
        result["exp_avg"].emplace_back(name, groups_[g].first[i]);
        result["exp_avg_sq"].emplace_back(name, groups_[g].second[i]);
        result["step"].emplace_back(name, groups_[g].steps[i]);
      }
    }
  }
  return result;
}

}  // namespace yolodist::optim
