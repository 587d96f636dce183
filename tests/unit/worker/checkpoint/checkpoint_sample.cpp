// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// For python_test.sh and to_yolov5_test.sh: `write PATH` writes a checkpoint of known content, `read PATH`
// prints what a file holds, `convert FROM TO` reads one and writes it in our format.
#include <ATen/ops/arange.h>

#include <iostream>
#include <limits>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/checkpoint.h"

namespace {

using yolodist::checkpoint::Checkpoint;
using yolodist::checkpoint::NamedTensors;

Checkpoint sample() {
  const at::Tensor flat = at::arange(0, 1 << 18, at::TensorOptions(at::kFloat));
  Checkpoint checkpoint;
  checkpoint.model = {
      {"model.0.conv.weight", flat.narrow(0, 4, 24).as_strided({2, 3, 2, 2}, {12, 1, 6, 3})},
      {"model.0.bn.num_batches_tracked", at::arange(7, 8, at::TensorOptions(at::kLong)).squeeze()},
      {"model.0.bn.running_mean", at::arange(0, 3, at::TensorOptions(at::kDouble)).div(3.0)},
      {"model.0.half", at::arange(0, 3, at::TensorOptions(at::kHalf))}};
  checkpoint.ema = {{"model.0.half", at::arange(0, 3, at::TensorOptions(at::kFloat))}};
  checkpoint.optimizer["momentum"] = {{"model.0.conv.weight", flat.narrow(0, 0, 2)}};
  checkpoint.optimizer["exp_avg"] = {};
  checkpoint.meta = {{"epoch", 3},
                     {"step", int64_t{1} << 53},
                     {"best_fitness", 0.1},
                     {"nothing", nullptr},
                     {"done", false},
                     {"hyp", {{"lr0", 0.01}, {"inf", std::numeric_limits<double>::infinity()}}},
                     {"names", {"bus", "päivä"}},
                     {"empty", nlohmann::json::object()}};
  return checkpoint;
}

void print(const std::string& what, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    std::cout << what << ' ' << name << ' ' << tensor.sizes() << ' ' << at::toString(tensor.scalar_type())
              << ' ' << yolodist::exact_decimal(tensor.to(at::kDouble).sum().item<double>()) << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string action = argc > 1 ? argv[1] : "";
  if (argc != (action == "convert" ? 4 : 3)) {
    return 64;
  }
  try {
    if (action == "convert") {
      yolodist::checkpoint::write_checkpoint(argv[3], yolodist::checkpoint::read_checkpoint(argv[2]));
      return 0;
    }
    if (action == "write") {
      yolodist::checkpoint::write_checkpoint(argv[2], sample());
      return 0;
    }
    const Checkpoint checkpoint = yolodist::checkpoint::read_checkpoint(argv[2]);
    print("model", checkpoint.model);
    print("ema", checkpoint.ema);
    for (const auto& [state, tensors] : checkpoint.optimizer) {
      print("optimizer." + state, tensors);
    }
    std::cout << "meta " << checkpoint.meta.dump() << '\n';
  } catch (const yolodist::Error& error) {
    std::cout << error.one_line() << '\n';
    return to_int(error.exit_code());
  }
  return 0;
}
