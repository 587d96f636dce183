// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/shadow_pass.h"

#include <algorithm>
#include <utility>

#include "common/plan/cpu_workspace.h"

namespace yolodist::plan {

using model_spec::ConvSpec;
using Kind = model_spec::Operation::Kind;

bool is_single_piece(const std::string& block) {
  return block == "Conv" || block == "DWConv" || block == "Focus" || block == "GhostConv" ||
         block == "Concat" || block == "Upsample" || block == "Detect";
}

void Ledger::add(Term term, int layer, int64_t bytes) {
  current_[static_cast<size_t>(term)] += bytes;
  if (layer >= 0) {
    layers_.resize(std::max(layers_.size(), static_cast<size_t>(layer) + 1));
    layers_[static_cast<size_t>(layer)] += bytes;
  }
  total_ += bytes;
  if (total_ > peak_) {
    peak_ = total_;
    at_peak_ = current_;
    peak_phase_ = phase;
    has_peak_operation_ = operation != nullptr;
    if (has_peak_operation_) {
      peak_operation_.kind = operation->kind;
      peak_operation_.layer = operation->layer;
      peak_operation_.conv = operation->conv;
    }
  }
}

int64_t Ledger::of_layer(int layer) const {
  return static_cast<size_t>(layer) < layers_.size() ? layers_[static_cast<size_t>(layer)] : 0;
}

namespace {

int64_t element_bytes_of(Precision precision) {
  switch (precision) {
    case Precision::fp64:
      return 8;
    case Precision::fp32:
      return 4;
    case Precision::fp16:
    case Precision::bf16:
      return 2;
  }
  return 4;
}

int64_t weight_count(const ConvSpec& conv) {
  return int64_t{conv.c_out} * (conv.c_in / conv.groups) * conv.kernel * conv.kernel;
}

}  // namespace

ShadowPass::ShadowPass(const model_spec::ModelSpec& spec, const model_spec::OperationTable& table,
                       const Workload& workload, Ledger& ledger)
    : spec_(spec),
      table_(table),
      workload_(workload),
      ledger_(ledger),
      element_bytes_(element_bytes_of(workload.precision)),
      master_bytes_(workload.precision == Precision::fp64 ? 8 : 4),
      needs_gradient_(table.tensors.size(), false),
      kept_bytes_(spec.layers.size(), 0) {
  for (const Operation& operation : table.operations) {
    bool needs = trains(operation) && (operation.conv != nullptr || operation.kind == Kind::detect ||
                                       operation.kind == Kind::normalise);
    for (const int input : operation.inputs) {
      needs = needs || needs_gradient_[static_cast<size_t>(input)];
    }
    needs_gradient_[static_cast<size_t>(operation.output)] = needs;
  }
}

bool ShadowPass::trains(const Operation& operation) const {
  return workload_.frozen.empty() || !workload_.frozen[static_cast<size_t>(operation.layer)];
}

Recompute ShadowPass::policy_of(int layer) const {
  return workload_.recompute.empty() ? Recompute::none : workload_.recompute[static_cast<size_t>(layer)];
}

int64_t ShadowPass::bytes_of(int tensor) const {
  return table_.tensors[static_cast<size_t>(tensor)].elements() * workload_.pictures * element_bytes_;
}

Tensor ShadowPass::allocate(Term term, int64_t bytes) {
  return std::make_shared<Storage>(ledger_, term, bytes);
}

int64_t ShadowPass::cpu_only(int64_t bytes) const {
  return workload_.device == DeviceKind::cpu ? bytes : 0;
}

void ShadowPass::workspace(int64_t bytes) {
  const Storage passing(ledger_, Term::transient, cpu_only(bytes));
}

void ShadowPass::accumulate(std::map<int, Gradient>& gradients, int tensor, Gradient gradient) {
  if (!needs_gradient_[static_cast<size_t>(tensor)]) {
    return;
  }
  Gradient& sum = gradients[tensor];
  if (!sum.storage) {
    sum = std::move(gradient);
  } else if (sum.storage.use_count() > 1) {
    // The engine adds in place only to what nobody else holds.
    sum = {allocate(Term::transient, sum.bytes), sum.bytes};
  }
}

// A piece: convolution, batch norm and nonlinearity, as worker/ops/piece runs them.
ShadowPass::Value ShadowPass::run_piece(const Operation& operation, Value x, Recompute policy,
                                        std::vector<Backward>* tape) {
  const Shape s = shape_of(operation);
  const ConvCall& call = s.call;
  const bool needs = tape != nullptr && needs_gradient_[static_cast<size_t>(s.output)];
  const bool trains_weight = trains(operation);

  Tensor weight_copy;
  Tensor y = x.tensor;
  if (s.convolves) {
    if (s.casts) {
      weight_copy =
          allocate(depth_ > 0 || !needs ? Term::transient : Term::precision_copies, call.weight_bytes);
    }
    const Tensor copy = allocate(Term::transient, cpu_only(weight_copy_bytes(call)));
    y = allocate(kept_term(), s.out_bytes);
    workspace(forward_workspace_bytes(call));
  }
  const Recipe input_recipe = policy != Recompute::none ? x.recipe : nullptr;
  const Tensor input = s.convolves && needs && trains_weight && !input_recipe ? x.tensor : nullptr;
  x = {};
  Tensor statistics, u = y, z = y;
  if (s.normalises) {
    statistics = allocate(kept_term(), 3 * s.channels * master_bytes_);
    u = z = allocate(kept_term(), s.out_bytes);
  }
  const bool keeps_u = needs && s.activates && policy == Recompute::none;
  if (keeps_u) {
    z = allocate(kept_term(), s.out_bytes);  // without it the nonlinearity works in place
  }
  if (!needs) {
    return {z, nullptr};
  }
  Value result{z, nullptr};
  if (s.normalises) {
    result.recipe = std::make_shared<const std::function<Tensor()>>(
        [this, y, statistics, bytes = s.out_bytes] { return allocate(Term::transient, bytes); });
  }
  // What the node holds; the closure runs once and drops things as the node does.
  struct Kept {
    Tensor x, y, u, statistics, weight_copy;
    Recipe recipe;
  };
  auto kept = std::make_shared<Kept>();
  kept->x = input;
  kept->recipe = s.convolves && trains_weight ? input_recipe : nullptr;
  kept->y = s.normalises ? y : nullptr;
  kept->u = keeps_u ? u : nullptr;
  kept->statistics = statistics;
  kept->weight_copy = weight_copy;
  const bool needs_input = needs_gradient_[static_cast<size_t>(s.input)];
  tape->push_back(
      [this, s, kept, needs_input, trains_weight, &operation](std::map<int, Gradient>& gradients) {
        ledger_.operation = &operation;
        Gradient gradient = std::move(gradients[s.output]);
        gradients.erase(s.output);
        if (s.is_detect && s.casts) {  // back from the loss's fp32
          gradient = {allocate(Term::transient, s.out_bytes), s.out_bytes};
        }
        if (s.activates) {
          Tensor du = kept->u ? std::exchange(kept->u, nullptr) : allocate(Term::transient, s.out_bytes);
          gradient = {std::move(du), s.out_bytes};  // written over u
        }
        if (s.normalises) {
          const bool has_own_kernel =
              workload_.device == DeviceKind::cpu && workload_.precision != Precision::fp64;
          // Our kernel writes over a gradient that nobody else holds: the one that has gone through a
          // nonlinearity.
          if (!has_own_kernel || !s.activates) {
            Tensor dy = allocate(Term::transient, s.out_bytes);
            workspace(has_own_kernel ? 0 : s.out_bytes);
            gradient = {std::move(dy), s.out_bytes};
          }
          kept->y.reset();
        }
        if (!s.convolves) {
          accumulate(gradients, s.input, std::move(gradient));
          return;
        }
        if (kept->recipe) {
          kept->x = (*kept->recipe)();
          kept->recipe.reset();
        }
        Tensor dx, dw;
        {
          const Tensor copy = allocate(Term::transient, cpu_only(weight_copy_bytes(s.call)));
          if (needs_input) {
            dx = allocate(Term::transient, s.in_bytes);
            workspace(input_gradient_workspace_bytes(s.call));
          }
          if (trains_weight) {
            dw = allocate(Term::transient, s.call.weight_bytes);
            workspace(weight_gradient_workspace_bytes(s.call));
            if (s.casts) {
              dw = allocate(Term::transient, s.call.weight_bytes * 2);
            }
          }
        }
        *kept = {};
        gradient = {};
        if (needs_input) {
          accumulate(gradients, s.input, {std::move(dx), s.in_bytes});
        }
      });
  return result;
}

ShadowPass::Shape ShadowPass::shape_of(const Operation& operation) const {
  Shape s;
  const ConvSpec* conv = operation.conv;
  s.input = operation.inputs[0];
  s.output = operation.output;
  s.is_detect = operation.kind == Kind::detect;
  s.convolves = operation.kind != Kind::normalise;
  s.normalises = operation.kind == Kind::normalise || (!s.is_detect && !conv->bare);
  s.activates = operation.kind == Kind::normalise ||
                (s.normalises && conv->activated && spec_.activation != "Identity");
  s.casts = element_bytes_ == 2;
  s.in_bytes = bytes_of(s.input);
  s.out_bytes = bytes_of(s.output);
  s.channels = table_.tensors[static_cast<size_t>(s.output)].channels;
  const int64_t weights = !s.convolves  ? 0
                          : s.is_detect ? s.channels * table_.tensors[static_cast<size_t>(s.input)].channels
                                        : weight_count(*conv);
  s.call = {.weight_bytes = weights * element_bytes_,
            .input_bytes = s.in_bytes / workload_.pictures,
            .output_bytes = s.out_bytes / workload_.pictures,
            .output_channels = s.channels,
            .kernel = conv != nullptr ? conv->kernel : 1,
            .stride = conv != nullptr ? conv->stride : 1,
            .groups = conv != nullptr ? conv->groups : 1,
            .pictures = workload_.pictures,
            .threads = workload_.threads,
            .is_half = s.casts};
  return s;
}

ShadowPass::Value ShadowPass::run(const Operation& operation, std::vector<Value> inputs, Recompute policy,
                                  std::vector<Backward>* tape) {
  ledger_.operation = &operation;
  const int output = operation.output;
  const int64_t out_bytes = bytes_of(output);
  switch (operation.kind) {
    case Kind::conv:
    case Kind::normalise:
    case Kind::detect:
      return run_piece(operation, std::move(inputs[0]), policy, tape);
    default:
      break;
  }
  Value result{allocate(kept_term(), out_bytes), nullptr};
  const bool needs = tape != nullptr && needs_gradient_[static_cast<size_t>(output)];
  switch (operation.kind) {
    case Kind::concat: {
      const bool has_recipe =
          std::any_of(inputs.begin(), inputs.end(), [](const Value& part) { return part.recipe != nullptr; });
      if (has_recipe) {
        std::vector<Value> parts;
        for (const Value& part : inputs) {
          parts.push_back(part.recipe ? Value{nullptr, part.recipe} : Value{part.tensor, nullptr});
        }
        result.recipe = std::make_shared<const std::function<Tensor()>>([this, parts, out_bytes] {
          Tensor whole = allocate(Term::transient, out_bytes);
          for (const Value& part : parts) {
            const Tensor rebuilt = part.recipe ? (*part.recipe)() : nullptr;
          }
          return whole;
        });
      }
      if (needs) {
        tape->push_back([this, &operation, output](std::map<int, Gradient>& gradients) {
          ledger_.operation = &operation;
          const Gradient whole = std::move(gradients[output]);
          gradients.erase(output);
          for (const int input : operation.inputs) {
            accumulate(gradients, input, {whole.storage, bytes_of(input)});
          }
        });
      }
      break;
    }
    case Kind::add:
      if (needs) {
        tape->push_back([this, &operation, output](std::map<int, Gradient>& gradients) {
          ledger_.operation = &operation;
          const Gradient whole = std::move(gradients[output]);
          gradients.erase(output);
          for (const int input : operation.inputs) {
            accumulate(gradients, input, whole);
          }
        });
      }
      break;
    case Kind::upsample:
      if (inputs[0].recipe) {
        const Recipe source = inputs[0].recipe;
        result.recipe = std::make_shared<const std::function<Tensor()>>([this, source, out_bytes] {
          const Tensor small = (*source)();
          return allocate(Term::transient, out_bytes);
        });
      }
      [[fallthrough]];
    default: {
      if (!needs) {
        break;
      }
      // max_pool keeps its input and, as int64, where each maximum was; the others keep nothing.
      std::vector<Tensor> kept;
      if (operation.kind == Kind::max_pool) {
        kept = {inputs[0].tensor, allocate(kept_term(), out_bytes / element_bytes_ * 8)};
      }
      auto holder = std::make_shared<std::vector<Tensor>>(std::move(kept));
      tape->push_back([this, &operation, output, holder](std::map<int, Gradient>& gradients) {
        ledger_.operation = &operation;
        const Gradient from = std::move(gradients[output]);
        gradients.erase(output);
        const int input = operation.inputs[0];
        Tensor dx = allocate(Term::transient, bytes_of(input));
        holder->clear();
        accumulate(gradients, input, {std::move(dx), bytes_of(input)});
      });
      break;
    }
  }
  return result;
}

ShadowPass::Value ShadowPass::run_range(size_t begin, size_t end, std::map<int, Value> values,
                                        Recompute policy, std::vector<Backward>* tape) {
  const auto is_taken_later = [&](int tensor, size_t after) {
    for (size_t k = after + 1; k < end; ++k) {
      const auto& inputs = table_.operations[k].inputs;
      if (std::find(inputs.begin(), inputs.end(), tensor) != inputs.end()) {
        return true;
      }
    }
    return false;
  };
  Value last;
  for (size_t i = begin; i < end; ++i) {
    const Operation& operation = table_.operations[i];
    std::vector<Value> inputs;
    for (const int input : operation.inputs) {
      inputs.push_back(values.at(input));
    }
    for (const int input : operation.inputs) {
      if (!is_taken_later(input, i)) {
        values.erase(input);
      }
    }
    last = {};
    last = run(operation, std::move(inputs), policy, tape);
    values[operation.output] = last;
  }
  return last;
}

// A layer that runs again in backward: keeps its input alone.
ShadowPass::Value ShadowPass::run_block(size_t begin, size_t end, Value x, std::vector<Backward>& tape) {
  const int input = table_.operations[begin].inputs[0], output = table_.operations[end - 1].output;
  auto kept = std::make_shared<Value>(x.recipe ? Value{nullptr, x.recipe} : Value{x.tensor, nullptr});
  Value result =
      run_range(begin, end, {{input, Value{std::move(x.tensor), nullptr}}}, Recompute::none, nullptr);
  tape.push_back([this, begin, end, input, output, kept](std::map<int, Gradient>& gradients) {
    ledger_.operation = &table_.operations[begin];
    std::map<int, Gradient> inner;
    inner[output] = std::move(gradients[output]);
    gradients.erase(output);
    ++depth_;
    std::vector<Backward> inner_tape;
    Tensor again = kept->recipe ? (*kept->recipe)() : kept->tensor;
    *kept = {};
    run_range(begin, end, {{input, Value{std::move(again), nullptr}}}, Recompute::none, &inner_tape);
    play(inner_tape, inner);
    --depth_;
    const auto found = inner.find(input);
    if (found != inner.end()) {
      Gradient gradient = std::move(found->second);
      inner.clear();
      accumulate(gradients, input, std::move(gradient));
    }
  });
  return {result.tensor, nullptr};
}

void ShadowPass::play(std::vector<Backward>& tape, std::map<int, Gradient>& gradients) {
  while (!tape.empty()) {
    const Backward step = std::move(tape.back());
    tape.pop_back();
    step(gradients);
  }
}

std::vector<Tensor> ShadowPass::walk(Tensor input, std::vector<Backward>* tape) {
  std::map<int, int> last_reader;  // of a tensor: a layer
  for (const Operation& operation : table_.operations) {
    for (const int tensor : operation.inputs) {
      last_reader[tensor] = operation.layer;
    }
  }
  std::map<int, Value> outputs{{0, Value{std::move(input), nullptr}}};
  std::vector<Tensor> raw;
  for (size_t begin = 0, end = 0; begin < table_.operations.size(); begin = end) {
    const int layer = table_.operations[begin].layer;
    while (end < table_.operations.size() && table_.operations[end].layer == layer) {
      ++end;
    }
    std::map<int, Value> inputs = outputs;
    std::erase_if(inputs, [&](const auto& item) { return !is_input_of(item.first, begin, end); });
    std::erase_if(outputs, [&](const auto& item) { return last_reader[item.first] <= layer; });
    const std::string& block = spec_.layers[static_cast<size_t>(layer)].block;
    if (block == "Detect") {
      for (size_t i = begin; i < end; ++i) {
        const Operation& level = table_.operations[i];
        raw.push_back(run(level, {inputs.at(level.inputs[0])}, policy_of(layer), tape).tensor);
        if (element_bytes_ == 2) {  // loss and decode take fp32
          raw.back() = allocate(Term::loss, bytes_of(level.output) * 2);
        }
      }
    } else if (tape != nullptr && policy_of(layer) == Recompute::block && !is_single_piece(block) &&
               needs_gradient_[static_cast<size_t>(table_.operations[end - 1].output)]) {
      Value x = std::move(inputs.begin()->second);
      inputs.clear();
      outputs[table_.operations[end - 1].output] = run_block(begin, end, std::move(x), *tape);
    } else {
      outputs[table_.operations[end - 1].output] =
          run_range(begin, end, std::move(inputs), policy_of(layer), tape);
    }
  }
  return raw;
}

bool ShadowPass::is_input_of(int tensor, size_t begin, size_t end) const {
  for (size_t i = begin; i < end; ++i) {
    const auto& inputs = table_.operations[i].inputs;
    if (std::find(inputs.begin(), inputs.end(), tensor) != inputs.end()) {
      return true;
    }
  }
  return false;
}

std::vector<Tensor> ShadowPass::forward(Tensor input) {
  ledger_.phase = Ledger::Phase::forward;
  std::vector<Tensor> raw = walk(std::move(input), &tape_);
  for (size_t layer = 0; layer < kept_bytes_.size(); ++layer) {
    kept_bytes_[layer] = ledger_.of_layer(static_cast<int>(layer));
  }
  return raw;
}

void ShadowPass::backward(std::vector<Tensor> gradients) {
  ledger_.phase = Ledger::Phase::backward;
  std::map<int, Gradient> of_tensor;
  for (const Operation& operation : table_.operations) {
    if (operation.kind == Kind::detect) {
      Tensor& gradient = gradients[of_tensor.size()];
      of_tensor[operation.output] = {std::move(gradient), bytes_of(operation.output)};
    }
  }
  gradients.clear();
  play(tape_, of_tensor);
}

std::vector<Tensor> ShadowPass::infer(Tensor input) {
  ledger_.phase = Ledger::Phase::validation;
  return walk(std::move(input), nullptr);
}

}  // namespace yolodist::plan
