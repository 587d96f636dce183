// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// Forward, loss and backward with each way to recompute, side by side: what they keep and how long they take.
// Prints the table of docs/memory_model.md.
//   recompute_bench [ROUNDS=7] [BATCH=2] [SIDE=640]
#include <ATen/Parallel.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/config/hyperparameters.h"
#include "common/config/share_folder.h"
#include "worker/loss/detection_loss.h"
#include "worker/memory/budget.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist {
namespace {

struct Policy {
  const char* name;
  plan::Recompute recompute;
};
constexpr std::array<Policy, 3> policies = {{{"none", plan::Recompute::none},
                                             {"activations", plan::Recompute::activations},
                                             {"blocks", plan::Recompute::block}}};

struct Measured {
  int64_t kept_bytes = 0, peak_bytes = 0;
  std::vector<double> seconds;
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

void step(const model::Model& model, const at::Tensor& images, const plan::RecomputePlan& plan,
          Measured& to) {
  const config::Hyperparameters hyp;
  loss::Normalisers normalisers;
  normalisers.picture_count = images.size(0);
  normalisers.match_count.assign(model.spec.strides_px.size(), 0);
  const std::vector<loss::LevelMatches> matches(model.spec.strides_px.size());
  const int64_t before = memory::counters().current_bytes;
  memory::reset_peak();
  const auto start = std::chrono::steady_clock::now();
  model::BatchNormRecord record(model.batch_norms, at::TensorOptions().dtype(model.dtype()));
  std::vector<at::Tensor> raw = model::forward(model, images, &record, plan);
  to.kept_bytes = memory::counters().current_bytes - before;
  const loss::GroupLoss loss = loss::detection_loss(raw, matches, normalisers, hyp);
  raw.clear();
  loss.total.backward();
  to.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  to.peak_bytes = memory::counters().peak_bytes - before;
}

void bench(const std::string& name, int rounds, int batch, int side) {
  model::Model model(model_spec::read_model_spec(config::find_shipped(name, "models")), at::kFloat);
  model::initialise(model, 0);
  for (size_t i = 0; i < model.state.size(); ++i) {
    if (model.state.entries()[i].is_parameter()) {
      model.state[i].requires_grad_(true);
      model.state[i].mutable_grad() = at::zeros_like(model.state[i].detach());
    }
  }
  const at::Tensor images = at::rand({batch, 3, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
  std::array<Measured, policies.size()> measured;
  for (int round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < policies.size(); ++i) {
      if (round == 1) {
        measured[i].seconds.clear();  // the first one warms up
      }
      step(model, images, plan::RecomputePlan(model.spec.layers.size(), policies[i].recompute), measured[i]);
    }
  }
  for (size_t i = 0; i < policies.size(); ++i) {
    const auto less = [&](int64_t bytes, int64_t plain) {
      return 100 - 100 * static_cast<double>(bytes) / static_cast<double>(plain);
    };
    std::printf("| %s | %d | %d | %s | %.1f MiB | -%.0f %% | %.1f MiB | %.0f ms | %.2f |\n", name.c_str(),
                side, batch, policies[i].name, static_cast<double>(measured[i].kept_bytes) / (1 << 20),
                less(measured[i].kept_bytes, measured[0].kept_bytes),
                static_cast<double>(measured[i].peak_bytes) / (1 << 20), 1000 * measured[i].median(),
                measured[i].median() / measured[0].median());
  }
}

int number(int argc, char** argv, int position, int missing) {
  return argc > position ? std::atoi(argv[position]) : missing;
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  yolodist::memory::install_counting_allocator();
  std::puts(
      "| model | side | batch | recompute | kept after forward | less | peak beside the state | median | "
      "ratio |");
  std::puts("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const char* name : {"yolov5n", "yolov5s"}) {
    yolodist::bench(name, yolodist::number(argc, argv, 1, 7), yolodist::number(argc, argv, 2, 2),
                    yolodist::number(argc, argv, 3, 640));
  }
}
