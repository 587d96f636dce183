// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/model_spec/operations.h"
#include "common/plan/cpu_workspace.h"
#include "common/plan/granule.h"
#include "common/plan/memory_model.h"

// A pass without numbers: the worker's forward and backward as allocations alone. Tensors are counted as
// LibTorch counts them, by reference, so what is alive at any moment follows from the same rules.
namespace yolodist::plan {

enum class Term { input, activations, precision_copies, buffers, loss, transient };
constexpr size_t term_count = 6;

// Blocks for which Recompute::block is the same as Recompute::activations.
bool is_single_piece(const std::string& block);

// Bytes alive, and how they were made up when most were.
class Ledger {
 public:
  void add(Term term, int layer, int64_t bytes);
  int64_t current_bytes() const { return total_; }
  int64_t of(Term term) const { return current_[static_cast<size_t>(term)]; }
  // Alive of what was taken in a layer.
  int64_t of_layer(int layer) const;
  int layer() const { return operation == nullptr ? -1 : operation->layer; }

  int64_t peak_bytes() const { return peak_; }
  int64_t at_peak(Term term) const { return at_peak_[static_cast<size_t>(term)]; }

  // Where the pass is; kept with the peak.
  enum class Phase { forward, loss, backward, validation };
  Phase phase = Phase::forward;
  const model_spec::Operation* operation = nullptr;
  Phase peak_phase() const { return peak_phase_; }
  // What ran then, without its tensors: a copy, since the table may be gone by the time it is asked for.
  const model_spec::Operation* peak_operation() const {
    return has_peak_operation_ ? &peak_operation_ : nullptr;
  }

 private:
  std::array<int64_t, term_count> current_{}, at_peak_{};
  std::vector<int64_t> layers_;
  int64_t total_ = 0, peak_ = 0;
  Phase peak_phase_ = Phase::forward;
  bool has_peak_operation_ = false;
  model_spec::Operation peak_operation_;
};

class Storage {
 public:
  Storage(Ledger& ledger, Term term, int64_t bytes)
      : ledger_(ledger), term_(term), layer_(ledger.layer()), bytes_(rounded(bytes)) {
    ledger_.add(term_, layer_, bytes_);
  }
  ~Storage() { ledger_.add(term_, layer_, -bytes_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

 private:
  Ledger& ledger_;
  Term term_;
  int layer_;
  int64_t bytes_;
};
using Tensor = std::shared_ptr<Storage>;

// One forward, and the backward that it asks for.
class ShadowPass {
 public:
  ShadowPass(const model_spec::ModelSpec& spec, const model_spec::OperationTable& table,
             const Workload& workload, Ledger& ledger);

  // Training: the raw outputs of the levels, in fp32 or fp64.
  std::vector<Tensor> forward(Tensor input);
  // Takes the gradient of each level.
  void backward(std::vector<Tensor> gradients);
  // Without anything kept for backward; `input` may go as soon as it is used.
  std::vector<Tensor> infer(Tensor input);

  // After forward: what each layer keeps for backward, the raw outputs included.
  const std::vector<int64_t>& kept_bytes() const { return kept_bytes_; }

 private:
  using Operation = model_spec::Operation;
  using Recipe = std::shared_ptr<const std::function<Tensor()>>;
  struct Value {
    Tensor tensor;
    Recipe recipe;
  };
  struct Gradient {
    Tensor storage;  // shared where it is a view, or goes to two places
    int64_t bytes = 0;
  };
  using Backward = std::function<void(std::map<int, Gradient>&)>;

  Recompute policy_of(int layer) const;
  bool trains(const Operation& operation) const;
  int64_t bytes_of(int tensor) const;
  Tensor allocate(Term term, int64_t bytes);
  int64_t cpu_only(int64_t bytes) const;
  void workspace(int64_t bytes);  // on the CPU: taken and given back within an operation
  Term kept_term() const { return depth_ > 0 ? Term::transient : Term::activations; }

  Value run(const Operation& operation, std::vector<Value> inputs, Recompute policy,
            std::vector<Backward>* tape);
  // What a piece is and takes.
  struct Shape {
    int input = 0, output = 0;
    bool is_detect = false, convolves = false, normalises = false, activates = false;
    bool casts = false;  // weights to bf16
    int64_t in_bytes = 0, out_bytes = 0, channels = 0;
    ConvCall call;
  };
  Shape shape_of(const Operation& operation) const;
  Value run_piece(const Operation& operation, Value x, Recompute policy, std::vector<Backward>* tape);
  Value run_block(size_t begin, size_t end, Value x, std::vector<Backward>& tape);
  // A layer's operations, on its inputs.
  Value run_range(size_t begin, size_t end, std::map<int, Value> values, Recompute policy,
                  std::vector<Backward>* tape);
  std::vector<Tensor> walk(Tensor input, std::vector<Backward>* tape);
  bool is_input_of(int tensor, size_t begin, size_t end) const;
  void accumulate(std::map<int, Gradient>& gradients, int tensor, Gradient gradient);
  static void play(std::vector<Backward>& tape, std::map<int, Gradient>& gradients);

  const model_spec::ModelSpec& spec_;
  const model_spec::OperationTable& table_;
  const Workload& workload_;
  Ledger& ledger_;
  int64_t element_bytes_, master_bytes_;  // of activations, of parameters
  std::vector<Backward> tape_;
  std::vector<bool> needs_gradient_;  // by tensor
  std::vector<int64_t> kept_bytes_;
  int depth_ = 0;  // in a block that runs again
};

}  // namespace yolodist::plan
