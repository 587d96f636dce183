// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/operations.h"
#include "common/plan/memory_model.h"
#include "common/plan/shadow_pass.h"

namespace yolodist::plan {
namespace {

using Kind = model_spec::Operation::Kind;

// How often elementwise work reads or writes a whole map, a normalised and activated convolution: statistics,
// batch norm and activation forward; the same backward.
constexpr double forward_passes = 5, backward_passes = 9;
// What backward computes again: batch norm for the activation's gradient; and for a consumer both.
constexpr double own_passes = 2, consumer_passes = 4;

int64_t element_bytes(Precision precision) {
  return precision == Precision::fp64 ? 8 : precision == Precision::fp32 ? 4 : 2;
}

}  // namespace

Work work_of(const model_spec::ModelSpec& spec, const Workload& w) {
  const model_spec::OperationTable table = model_spec::operations_of(spec, w.height_px, w.width_px);
  const auto elements = [&](int tensor) {
    return static_cast<double>(table.tensors[static_cast<size_t>(tensor)].elements()) * w.pictures;
  };
  const double bytes_an_element = static_cast<double>(element_bytes(w.precision));
  Work work;
  for (const auto& operation : table.operations) {
    const Recompute policy =
        w.recompute.empty() ? Recompute::none : w.recompute[static_cast<size_t>(operation.layer)];
    const bool again = policy == Recompute::block &&
                       !is_single_piece(spec.layers[static_cast<size_t>(operation.layer)].block);
    const double out = elements(operation.output) * bytes_an_element;
    double flops = 0, bytes = 2 * out, forward_bytes = out;
    if (operation.kind == Kind::conv || operation.kind == Kind::detect) {
      const int channels_in = table.tensors[static_cast<size_t>(operation.inputs[0])].channels;
      const double taps = operation.conv != nullptr
                              ? static_cast<double>(operation.conv->c_in / operation.conv->groups) *
                                    operation.conv->kernel * operation.conv->kernel
                              : channels_in;
      flops = 2 * taps * elements(operation.output);
      bytes = (forward_passes + backward_passes) * out;
      forward_bytes = forward_passes * out;
    }
    work.forward_flops += flops;
    work.elementwise_bytes += bytes;
    if (again) {
      work.recomputed_flops += flops;
      work.recomputed_elementwise_bytes += forward_bytes;
    } else if (policy != Recompute::none && operation.kind == Kind::conv) {
      const double in = elements(operation.inputs[0]) * bytes_an_element;
      work.recomputed_elementwise_bytes += own_passes * out + consumer_passes * in;
    }
  }
  return work;
}

}  // namespace yolodist::plan
