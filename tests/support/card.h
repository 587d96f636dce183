// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <c10/core/Device.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "common/config/share_folder.h"
#include "common/config/train_options.h"
#include "worker/comm/local_communicator.h"
#include "worker/comm/nccl_communicator.h"
#include "worker/memory/budget.h"
#include "worker/memory/meter.h"
#include "worker/train/assemble.h"

// What tests on a card share. YOLODIST_GPU_TEST_DEVICE=cpu puts the CPU in the card's place, so that the same
// code runs where there is none.
namespace yolodist::test {

struct Card {
  at::Device device = at::kCPU;
  std::string name = "cpu", uuid;
  int64_t total_bytes = 0;
  std::string problem;  // why there is no card to test on; "" = there is one
};

inline std::string text_of(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (size_t i = 0; i < 16; ++i) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    text += digits;
  }
  return text;
}

// The first card that CUDA sees; takes no memory of it yet.
inline Card find_card(const std::string& wanted) {
  Card card;
  if (wanted == "cpu") {
    return card;
  }
  int count = 0;
  cudaDeviceProp properties{};
  cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) {
    result = cudaGetDeviceProperties(&properties, 0);
  }
  if (result != cudaSuccess || count == 0) {
    card.problem = std::string("no card to test on: ") +
                   (result != cudaSuccess ? cudaGetErrorString(result) : "CUDA sees none");
    return card;
  }
  card.device = at::Device(at::kCUDA, 0);
  card.name = properties.name;
  card.uuid = text_of(properties.uuid);
  card.total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  return card;
}

inline Card find_card() {
  const char* wanted = std::getenv("YOLODIST_GPU_TEST_DEVICE");
  return find_card(wanted == nullptr ? "cuda" : wanted);
}

inline comm::NcclSetup one_rank_setup(const Card& card) {
  comm::NcclSetup setup;
  setup.unique_id = comm::NcclCommunicator::make_unique_id();
  setup.device_index = card.device.index();
  setup.compute_stream = c10::cuda::getCurrentCUDAStream(card.device.index()).stream();
  return setup;
}

// Moves a rank of its own world from the CPU to the card, with gradients by NCCL.
inline void move_to(const Card& card, train::Placement& placement) {
  if (!card.device.is_cuda()) {
    return;
  }
  placement.device = card.device;
  placement.device_name = card.name;
  placement.device_bytes = card.total_bytes;
  memory::watch_for_shortage(card.device);
  placement.device_communicator = std::make_unique<comm::NcclCommunicator>(
      one_rank_setup(card), Deadline::after(std::chrono::seconds(60)));
}

// The sample of the share folder, not of the source tree: these programs are bundled, too.
inline config::TrainOptions card_options(const std::string& model, int imgsz_px,
                                         const std::string& precision) {
  config::TrainOptions options;
  options.cfg = config::find_shipped(model, "models").string();
  options.data = (config::share_folder() / "sample" / "sample.yaml").string();
  options.hyp = config::find_shipped("hyp.scratch-low", "hyps").string();
  options.imgsz_px = imgsz_px;
  options.precision = precision;
  options.no_val = true;
  options.no_plots = true;
  options.workers = 1;
  return options;
}

}  // namespace yolodist::test
