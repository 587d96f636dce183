// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/cuda_inventory.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "common/base/text.h"
#include "launcher/device/driver_state.h"

namespace yolodist::device {
namespace {

// The part of NVML's stable C interface that is used here, written from its reference manual.
using NvmlDevice = void*;
struct NvmlMemory {
  unsigned long long total, free, used;  // bytes
};
struct NvmlPciInfo {
  char legacy_bus_id[16];
  unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
constexpr int nvml_success = 0, nvml_no_permission = 4, nvml_library_not_found = 12;
constexpr unsigned int text_bytes = 96;

class Nvml {
 public:
  Nvml(const std::string& library, const DriverFiles& files)
      : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      problem_ = library_is_missing(library, files);
      return;
    }
    const bool complete = load(init_, "nvmlInit_v2") && load(shutdown_, "nvmlShutdown") &&
                          load(error_text_, "nvmlErrorString") && load(count_, "nvmlDeviceGetCount_v2") &&
                          load(by_index_, "nvmlDeviceGetHandleByIndex_v2") &&
                          load(by_uuid_, "nvmlDeviceGetHandleByUUID") && load(uuid_, "nvmlDeviceGetUUID") &&
                          load(pci_, "nvmlDeviceGetPciInfo_v3") && load(name_, "nvmlDeviceGetName") &&
                          load(memory_, "nvmlDeviceGetMemoryInfo");
    if (!complete) {
      problem_ = {cat(library, " is too old: ", missing_, " is missing"), "Install a newer NVIDIA driver."};
      return;
    }
    load(parent_of_slice_, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle");  // drivers from 450 on
    load(index_, "nvmlDeviceGetIndex");
    load(mig_mode_, "nvmlDeviceGetMigMode");
    load(most_slices_, "nvmlDeviceGetMaxMigDeviceCount");
    load(slice_by_index_, "nvmlDeviceGetMigDeviceHandleByIndex");
    load(driver_version_, "nvmlSystemGetDriverVersion");
    load(cuda_version_, "nvmlSystemGetCudaDriverVersion_v2");
    load(capability_, "nvmlDeviceGetCudaComputeCapability");
    load(library_version_, "nvmlSystemGetNVMLVersion");
    if (const int result = init_(); result != nvml_success) {
      std::array<char, text_bytes> version{};
      if (library_version_ != nullptr) {
        library_version_(version.data(), text_bytes);  // answers without a driver, too
      }
      problem_ = driver_does_not_answer(result, error_text_(result), version.data(), files);
      return;
    }
    is_open_ = true;
  }
  ~Nvml() {
    if (is_open_) {
      shutdown_();
    }
    if (library_ != nullptr) {
      dlclose(library_);
    }
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  const DriverProblem& problem() const { return problem_; }

  std::string driver() const {
    std::array<char, text_bytes> text{};
    return driver_version_ != nullptr && driver_version_(text.data(), text_bytes) == nvml_success
               ? text.data()
               : "";
  }
  int driver_cuda() const {
    int version = 0;
    return cuda_version_ != nullptr && cuda_version_(&version) == nvml_success ? version : 0;
  }
  // NVML asks libcuda.so.1 for the version.
  bool has_cuda_library() const {
    int version = 0;
    return cuda_version_ == nullptr || cuda_version_(&version) != nvml_library_not_found;
  }

  // `closed`: those that cannot be opened.
  std::vector<CudaDevice> all(ClosedCards& closed) const {
    std::vector<CudaDevice> devices;
    unsigned int count = 0;
    count_(&count);
    for (unsigned int i = 0; i < count; ++i) {
      NvmlDevice handle = nullptr;
      // A card that is lost or that the container may not see is left out, as CUDA does.
      if (const int result = by_index_(i, &handle); result != nvml_success) {
        closed.all_refused = closed.all_refused && result == nvml_no_permission;
        closed.text = error_text_(result);
        ++closed.count;
        continue;
      }
      if (!is_cut(handle)) {
        devices.push_back(describe(handle, handle, static_cast<int>(i)));
        continue;
      }
      for (NvmlDevice slice : slices_of(handle)) {
        devices.push_back(describe(slice, handle, static_cast<int>(i)));
      }
    }
    return devices;
  }

  std::optional<CudaDevice> slice(const std::string& uuid) const {
    NvmlDevice handle = nullptr, parent = nullptr;
    if (parent_of_slice_ == nullptr || by_uuid_(uuid.c_str(), &handle) != nvml_success ||
        parent_of_slice_(handle, &parent) != nvml_success) {
      return std::nullopt;
    }
    unsigned int index = 0;
    if (index_ != nullptr) {
      index_(parent, &index);
    }
    return describe(handle, parent, static_cast<int>(index));
  }

 private:
  template <typename Function>
  bool load(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (function == nullptr) {
      missing_ = name;
    }
    return function != nullptr;
  }

  bool is_cut(NvmlDevice card) const {
    constexpr unsigned int enabled = 1;
    unsigned int current = 0, pending = 0;
    return mig_mode_ != nullptr && most_slices_ != nullptr && slice_by_index_ != nullptr &&
           mig_mode_(card, &current, &pending) == nvml_success && current == enabled;
  }

  std::vector<NvmlDevice> slices_of(NvmlDevice card) const {
    std::vector<NvmlDevice> slices;
    unsigned int most = 0;
    most_slices_(card, &most);
    for (unsigned int i = 0; i < most; ++i) {
      NvmlDevice slice = nullptr;
      if (slice_by_index_(card, i, &slice) == nvml_success) {  // not every place is taken
        slices.push_back(slice);
      }
    }
    return slices;
  }

  CudaDevice describe(NvmlDevice handle, NvmlDevice card, int index) const {
    CudaDevice device;
    device.index = index;
    std::array<char, text_bytes> text{};
    if (uuid_(handle, text.data(), text_bytes) == nvml_success) {
      device.uuid = text.data();
    }
    if (name_(handle, text.data(), text_bytes) == nvml_success) {
      device.name = text.data();
    }
    NvmlPciInfo pci{};
    if (pci_(card, &pci) == nvml_success) {
      device.pci = pci.bus_id;
    }
    NvmlMemory memory{};
    if (memory_(handle, &memory) == nvml_success) {
      device.memory = {static_cast<int64_t>(memory.total)};
      device.free = {static_cast<int64_t>(memory.free)};
    }
    int major = 0, minor = 0;
    if (capability_ != nullptr && capability_(card, &major, &minor) == nvml_success) {
      device.capability = cat(major, ".", minor);
    }
    return device;
  }

  void* library_ = nullptr;
  DriverProblem problem_;
  std::string missing_;
  bool is_open_ = false;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  const char* (*error_text_)(int) = nullptr;
  int (*count_)(unsigned int*) = nullptr;
  int (*by_index_)(unsigned int, NvmlDevice*) = nullptr;
  int (*by_uuid_)(const char*, NvmlDevice*) = nullptr;
  int (*uuid_)(NvmlDevice, char*, unsigned int) = nullptr;
  int (*pci_)(NvmlDevice, NvmlPciInfo*) = nullptr;
  int (*name_)(NvmlDevice, char*, unsigned int) = nullptr;
  int (*memory_)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*parent_of_slice_)(NvmlDevice, NvmlDevice*) = nullptr;
  int (*index_)(NvmlDevice, unsigned int*) = nullptr;
  int (*mig_mode_)(NvmlDevice, unsigned int*, unsigned int*) = nullptr;
  int (*most_slices_)(NvmlDevice, unsigned int*) = nullptr;
  int (*slice_by_index_)(NvmlDevice, unsigned int, NvmlDevice*) = nullptr;
  int (*driver_version_)(char*, unsigned int) = nullptr;
  int (*cuda_version_)(int*) = nullptr;
  int (*capability_)(NvmlDevice, int*, int*) = nullptr;
  int (*library_version_)(char*, unsigned int) = nullptr;
};

// The only device of which `is_meant` is true.
template <typename Claim>
std::optional<CudaDevice> only(const std::vector<CudaDevice>& all, Claim is_meant) {
  const auto first = std::find_if(all.begin(), all.end(), is_meant);
  return first == all.end() || std::find_if(first + 1, all.end(), is_meant) != all.end()
             ? std::nullopt
             : std::optional(*first);
}

std::optional<CudaDevice> find(const Nvml& nvml, const std::vector<CudaDevice>& all,
                               const std::string& entry) {
  if (entry.starts_with("MIG-") || entry.starts_with("GPU-")) {
    const std::optional<CudaDevice> named =
        only(all, [&](const CudaDevice& device) { return device.uuid.starts_with(entry); });
    return named || entry.starts_with("GPU-") ? named : nvml.slice(entry);
  }
  // As strtol reads it: "1x" is 1.
  int index = -1;
  std::from_chars(entry.data(), entry.data() + entry.size(), index);
  const auto first =
      std::find_if(all.begin(), all.end(), [&](const CudaDevice& device) { return device.index == index; });
  return first == all.end() ? std::nullopt : std::optional(*first);
}

// Source: NVIDIA's CUDA programming guide (the list ends at what does not exist); that a device named twice
// leaves none is how PyTorch describes the driver.
std::vector<CudaDevice> those_visible(const Nvml& nvml, const std::vector<CudaDevice>& all,
                                      const std::string& visible) {
  std::vector<CudaDevice> devices;
  for (const std::string& part : split(visible, ',')) {
    const std::optional<CudaDevice> device = find(nvml, all, trimmed(part));
    if (!device) {
      break;
    }
    if (std::any_of(devices.begin(), devices.end(),
                    [&](const CudaDevice& other) { return other.uuid == device->uuid; })) {
      return {};
    }
    devices.push_back(*device);
  }
  return devices;
}

}  // namespace

CudaInventory read_cuda_inventory(const std::optional<std::string>& visible, const std::string& library,
                                  const std::filesystem::path& root) {
  const DriverFiles files = read_driver_files(root);
  CudaInventory inventory;
  inventory.has_card = files.has_card || files.has_module;
  const auto fail = [&](const DriverProblem& problem) {
    inventory.problem = problem.what;
    inventory.what_now = problem.what_now;
    return inventory;
  };
  const Nvml nvml(library, files);
  if (!nvml.problem().what.empty()) {
    return fail(nvml.problem());
  }
  ClosedCards closed;
  const std::vector<CudaDevice> all = nvml.all(closed);
  inventory.driver = nvml.driver();
  inventory.driver_cuda = nvml.driver_cuda();
  inventory.visible = visible;
  if (all.empty()) {
    return fail(no_card_is_shown(closed, files));
  }
  inventory.has_card = true;
  if (!nvml.has_cuda_library()) {
    return fail(cuda_library_is_missing(inventory.driver, files));
  }
  inventory.devices = visible ? those_visible(nvml, all, *visible) : all;
  if (inventory.devices.empty()) {
    inventory.problem =
        cat("CUDA_VISIBLE_DEVICES='", *visible, "' leaves none of the ", all.size(), " devices");
    inventory.what_now = "Unset CUDA_VISIBLE_DEVICES, or let it name devices of nvidia-smi -L.";
    inventory.has_card = false;  // they are hidden on purpose
  }
  return inventory;
}

bool is_slice(const CudaDevice& device) {
  return device.uuid.starts_with("MIG-");
}

}  // namespace yolodist::device
