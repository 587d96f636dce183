// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/place.h"

#include <cuda_runtime_api.h>

#include <chrono>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/comm/host_communicator.h"
#include "worker/comm/nccl_communicator.h"
#include "worker/libtorch/cuda.h"
#include "worker/memory/meter.h"

namespace yolodist::train {
namespace {

constexpr std::chrono::minutes start_patience{2};

void require(cudaError_t result, const std::string& action) {
  if (result != cudaSuccess) {
    throw DeviceUnavailable(cat("cannot ", action, ": ", cudaGetErrorString(result)),
                            "Run nvidia-smi on this host; --device cpu needs no driver.");
  }
}

// CUDA and NVML number cards differently, so the card is found by its PCI id.
int bind_cuda(const std::string& pci_id) {
  int index = -1;
  require(cudaDeviceGetByPCIBusId(&index, pci_id.c_str()), cat("find the CUDA device ", pci_id));
  require(cudaSetDevice(index), cat("use the CUDA device ", pci_id));
  return index;
}

// The id is made by rank 0 and travels through the launchers.
std::string shared_unique_id(comm::Communicator& host) {
  std::string id = host.rank() == 0 ? comm::NcclCommunicator::make_unique_id() : "";
  return comm::all_gather_strings(host, id, Deadline::after(start_patience))[0];
}

}  // namespace

Placement place(link::Link& link, const protocol::Start& start) {
  Placement placement;
  int cuda_index = -1;
  if (start.device == "cuda") {
    cuda_index = bind_cuda(start.device_pci);
    placement.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda_index));
    cudaDeviceProp properties{};
    require(cudaGetDeviceProperties(&properties, cuda_index), "ask the CUDA device for its properties");
    placement.device_name = properties.name;
    size_t free_bytes = 0, total_bytes = 0;
    require(cudaMemGetInfo(&free_bytes, &total_bytes), "ask the CUDA device for its memory");
    placement.device_bytes = static_cast<int64_t>(total_bytes);
    memory::watch_for_shortage(placement.device);
  }
  link.send_hello(start.device == "cuda" ? start.device_uuid : "cpu");
  placement.communicator = std::make_unique<comm::HostCommunicator>(link, start.rank, start.world_size);
  const bool has_gradients = start.command == "train";
  if (cuda_index >= 0 && has_gradients) {
    comm::NcclSetup setup;
    setup.rank = start.rank;
    setup.world_size = start.world_size;
    setup.unique_id = shared_unique_id(*placement.communicator);
    setup.post_mortem = std::make_shared<comm::PostMortem>(*placement.communicator);
    setup.device_index = cuda_index;
    setup.compute_stream =
        c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(cuda_index)).stream();
    auto nccl = std::make_unique<comm::NcclCommunicator>(setup, Deadline::after(start_patience));
    placement.reconnect_devices = [nccl = nccl.get(), host = placement.communicator.get()] {
      nccl->abort();
      c10::cuda::CUDACachingAllocator::emptyCache();  // NCCL takes what LibTorch does not need
      nccl->reconnect(shared_unique_id(*host), Deadline::after(start_patience));
    };
    placement.device_communicator = std::move(nccl);
  }
  return placement;
}

}  // namespace yolodist::train
