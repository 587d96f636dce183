// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/memory_model.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/model_spec/operations.h"
#include "common/plan/buckets.h"
#include "common/plan/shadow_pass.h"

namespace yolodist::plan {
namespace {

using model_spec::ModelSpec;
using model_spec::StateEntry;

int64_t element_count(const StateEntry& entry) {
  int64_t count = 1;
  for (const int64_t side : entry.shape) {
    count *= side;
  }
  return count;
}

int layer_of(const StateEntry& entry) {
  return std::stoi(entry.name.substr(entry.name.find('.') + 1));
}

int64_t gradient_bytes(const std::vector<int64_t>& counts, int64_t element_bytes, int world_size) {
  int64_t plain = 0, padded = 0;
  for (const int64_t count : counts) {
    plain += count * element_bytes;
  }
  for (const Bucket& bucket :
       buckets_of(counts, element_bytes, world_size, default_bucket_bytes(static_cast<size_t>(plain)))) {
    padded += bucket.element_count * element_bytes;
  }
  return rounded(padded);
}

// Tensors that live as long as the run.
Terms state_of(const ModelSpec& spec, const Workload& w) {
  const int64_t master_bytes = w.precision == Precision::fp64 ? 8 : 4;
  Terms terms;
  int64_t channels = 0;  // of all batch norms
  std::vector<int64_t> trainable;
  for (const StateEntry& entry : spec.entries()) {
    const bool is_count = entry.role == StateEntry::Role::bn_count;
    const int64_t bytes = rounded(element_count(entry) * (is_count ? 8 : master_bytes));
    (entry.is_parameter() ? terms.parameters : terms.buffers) += bytes;
    const bool is_statistic =
        is_count || entry.role == StateEntry::Role::bn_mean || entry.role == StateEntry::Role::bn_var;
    terms.buffers += is_statistic ? bytes : 0;  // as they were before the step
    terms.ema += bytes;
    channels += entry.role == StateEntry::Role::bn_mean ? element_count(entry) : 0;
    const bool is_frozen = !w.frozen.empty() && w.frozen[static_cast<size_t>(layer_of(entry))];
    if (entry.is_parameter() && !is_frozen) {
      trainable.push_back(element_count(entry));
      terms.optimizer += bytes * w.optimizer_state_count;
      terms.optimizer += w.optimizer_state_count > 1 ? granule_bytes : 0;  // Adam counts steps
    }
  }
  terms.gradients = gradient_bytes(trainable, master_bytes, w.world_size);
  if (!w.freezes_bn) {
    terms.buffers += 2 * rounded(channels * master_bytes);  // a group's own statistics
  }
  return terms;
}

// Sizes of the raw outputs, a level, in the dtype of the loss.
std::vector<int64_t> raw_bytes_of(const model_spec::OperationTable& table, const Workload& w,
                                  int64_t pictures) {
  std::vector<int64_t> bytes;
  for (const auto& operation : table.operations) {
    if (operation.kind == model_spec::Operation::Kind::detect) {
      bytes.push_back(table.tensors[static_cast<size_t>(operation.output)].elements() * pictures *
                      (w.precision == Precision::fp64 ? 8 : 4));
    }
  }
  return bytes;
}

// Beside the gradient of a level: the objectness of some cells, or the boxes and classes of some matches. The
// worker goes piece by piece, so that this is bounded whatever the labels. Source:
// worker/loss/detection_loss.h.
int64_t loss_temporary_bytes(const ModelSpec& spec, const Workload& w, int64_t raw_bytes) {
  constexpr int64_t slab_bytes = 512 << 10;
  constexpr int64_t values_a_box = 50;
  const int64_t outputs = spec.outputs_per_anchor();
  const int64_t cells_bytes = raw_bytes / outputs;  // of one value a cell
  const int64_t matches_bytes = w.matches / spec.level_count() * 4 * (values_a_box + 5 * outputs);
  return std::min(w.loss_slab_count * slab_bytes,
                  std::max(5 * std::min(slab_bytes, cells_bytes), matches_bytes));
}

std::string place_of(const Ledger& ledger) {
  const char* phase = "";
  switch (ledger.peak_phase()) {
    case Ledger::Phase::forward:
      phase = "forward";
      break;
    case Ledger::Phase::loss:
      return "the loss";
    case Ledger::Phase::backward:
      phase = "backward";
      break;
    case Ledger::Phase::validation:
      phase = "validation";
      break;
  }
  const model_spec::Operation* operation = ledger.peak_operation();
  if (operation == nullptr) {
    return phase;
  }
  return cat(phase, " of ",
             operation->conv != nullptr ? operation->conv->name : cat("model.", operation->layer));
}

int64_t input_bytes(const Workload& w, int64_t pictures, int height_px, int width_px) {
  const int64_t element = w.precision == Precision::fp64 ? 8 : w.precision == Precision::fp32 ? 4 : 2;
  return pictures * 3 * int64_t{height_px} * width_px * element;
}

// On a card the pictures of an iteration lie ready as bytes, and those of the next are on their way.
int64_t uploaded_bytes(const Workload& w) {
  constexpr int64_t iterations = 2;
  return w.device == DeviceKind::cpu
             ? 0
             : iterations * w.pictures_an_iteration * 3 * int64_t{w.imgsz_px} * w.imgsz_px;
}

// Scalars, and the statistics of single operations: some dozens of tensors that are not followed one by one.
constexpr int64_t small_tensors_bytes = 32 << 10;

void follow_training(const ModelSpec& spec, const Workload& w, Ledger& ledger, std::vector<int64_t>& kept) {
  const model_spec::OperationTable table = model_spec::operations_of(spec, w.height_px, w.width_px);
  const Storage small_tensors(ledger, Term::transient, small_tensors_bytes);
  const Storage uploaded(ledger, Term::input, uploaded_bytes(w));
  ShadowPass pass(spec, table, w, ledger);
  auto input =
      std::make_shared<Storage>(ledger, Term::input, input_bytes(w, w.pictures, w.height_px, w.width_px));
  std::vector<Tensor> raw = pass.forward(std::move(input));
  kept = pass.kept_bytes();
  ledger.phase = Ledger::Phase::loss;
  std::vector<Tensor> gradients;
  for (const int64_t bytes : raw_bytes_of(table, w, w.pictures)) {
    gradients.push_back(std::make_shared<Storage>(ledger, Term::loss, bytes));
    const Storage temporaries(ledger, Term::loss, loss_temporary_bytes(spec, w, bytes));
  }
  raw.clear();
  pass.backward(std::move(gradients));
}

void follow_validation(const ModelSpec& spec, const Workload& w, Ledger& ledger) {
  Workload inference = w;
  inference.pictures = w.validation_pictures;
  const model_spec::OperationTable table =
      model_spec::operations_of(spec, w.validation_height_px, w.validation_width_px);
  const Storage small_tensors(ledger, Term::transient, small_tensors_bytes);
  ShadowPass pass(spec, table, inference, ledger);
  const std::vector<Tensor> raw = pass.infer(std::make_shared<Storage>(
      ledger, Term::input,
      input_bytes(w, w.validation_pictures, w.validation_height_px, w.validation_width_px)));
  int64_t decoded_bytes = 0, largest_bytes = 0;
  for (const int64_t bytes : raw_bytes_of(table, w, w.validation_pictures)) {
    decoded_bytes += bytes;
    largest_bytes = std::max(largest_bytes, bytes);
  }
  const Storage decoded(ledger, Term::loss, decoded_bytes);
  const Storage temporaries(
      ledger, Term::loss,
      loss_temporary_bytes(spec, inference, largest_bytes) +
          largest_bytes / spec.outputs_per_anchor());  // labels without a gradient to lie in
}

}  // namespace

Estimate estimate(const ModelSpec& spec, const Workload& w) {
  Estimate result;
  const Terms state = state_of(spec, w);
  Ledger training, validation;
  std::vector<int64_t> kept;
  follow_training(spec, w, training, kept);
  const int64_t state_bytes = state.allocator_bytes();
  result.state_bytes = state_bytes;
  result.training_bytes = state_bytes + training.peak_bytes();
  if (w.validation_pictures > 0) {
    follow_validation(spec, w, validation);
    result.validation_bytes = state_bytes + validation.peak_bytes();
  }
  const Ledger& highest = result.validation_bytes > result.training_bytes ? validation : training;
  result.terms = state;
  result.terms.input = highest.at_peak(Term::input);
  result.terms.activations = highest.at_peak(Term::activations);
  result.terms.precision_copies += highest.at_peak(Term::precision_copies);
  result.terms.buffers += highest.at_peak(Term::buffers);
  result.terms.loss = highest.at_peak(Term::loss);
  result.terms.transient = highest.at_peak(Term::transient);
  result.allocator_bytes = result.terms.allocator_bytes();
  result.device_bytes = result.terms.device_bytes();
  result.peak_at = place_of(highest);
  for (size_t i = 0; i < kept.size(); ++i) {
    result.layers.push_back({static_cast<int>(i), 0, kept[i]});
  }
  return result;
}

}  // namespace yolodist::plan
