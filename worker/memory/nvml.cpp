// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <limits>
#include <vector>

namespace yolodist::memory {
namespace {

// The part of NVML's stable C interface that is used here, written from its reference manual.
using NvmlDevice = void*;
struct NvmlMemory {
  unsigned long long total, free, used;  // bytes
};
struct NvmlProcess {
  unsigned int pid;
  unsigned long long used_bytes;
  unsigned int slice, compute_slice;
};
constexpr int nvml_success = 0, nvml_too_small = 7;
constexpr unsigned long long not_available = std::numeric_limits<unsigned long long>::max();

}  // namespace

struct CardReader::Nvml {
  explicit Nvml(const std::string& name) : library(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    is_open = load(init, "nvmlInit_v2") && load(shutdown, "nvmlShutdown") &&
              load(by_uuid, "nvmlDeviceGetHandleByUUID") && load(memory, "nvmlDeviceGetMemoryInfo") &&
              init() == nvml_success;
    load(processes, "nvmlDeviceGetComputeRunningProcesses_v3");  // drivers from 510 on
  }
  ~Nvml() {
    if (is_open) {
      shutdown();
    }
    if (library != nullptr) {
      dlclose(library);
    }
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  template <typename Function>
  bool load(Function& function, const char* name) {
    function = library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
  }

  std::optional<int64_t> others_bytes() const {
    if (processes == nullptr) {
      return std::nullopt;
    }
    unsigned int count = 64;
    std::vector<NvmlProcess> found(count);
    int result = processes(device, &count, found.data());
    if (result == nvml_too_small) {
      count += 64;  // more may come meanwhile
      found.resize(count);
      result = processes(device, &count, found.data());
    }
    if (result != nvml_success) {
      return std::nullopt;
    }
    found.resize(count);
    const auto own_pid = static_cast<unsigned int>(getpid());
    bool has_own = false;
    int64_t sum = 0;
    for (const NvmlProcess& process : found) {
      if (process.pid == own_pid) {
        has_own = true;
      } else if (process.used_bytes == not_available) {
        return std::nullopt;
      } else {
        sum += static_cast<int64_t>(process.used_bytes);
      }
    }
    return has_own ? std::optional(sum) : std::nullopt;
  }

  void* library;
  bool is_open = false;
  NvmlDevice device = nullptr;  // null: not found
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*by_uuid)(const char*, NvmlDevice*) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*processes)(NvmlDevice, unsigned int*, NvmlProcess*) = nullptr;
};

CardReader::CardReader(const std::string& uuid, const std::string& library) {
  if (uuid.empty()) {
    return;
  }
  nvml_ = std::make_unique<Nvml>(library);
  if (!nvml_->is_open || nvml_->by_uuid(uuid.c_str(), &nvml_->device) != nvml_success) {
    nvml_.reset();
  }
}

CardReader::~CardReader() = default;

std::optional<CardUse> CardReader::read() const {
  NvmlMemory memory{};
  if (!nvml_ || nvml_->memory(nvml_->device, &memory) != nvml_success) {
    return std::nullopt;
  }
  return CardUse{.used_bytes = static_cast<int64_t>(memory.used),
                 .total_bytes = static_cast<int64_t>(memory.total),
                 .others_bytes = nvml_->others_bytes()};
}

}  // namespace yolodist::memory
