// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/device_choice.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::device {
namespace {

std::string listed(const std::vector<CudaDevice>& devices) {
  std::vector<std::string> lines;
  for (const CudaDevice& device : devices) {
    lines.push_back(cat(device.index, " (", device.name, ")"));
  }
  return lines.empty() ? "none" : join(lines, ", ");
}

}  // namespace

DeviceRequest parse_device(const std::string& text) {
  const std::string name = lower(trimmed(text));
  if (name.empty()) {
    return {};
  }
  if (name == "cpu") {
    return {DeviceRequest::Kind::cpu, {}};
  }
  if (name == "cuda") {
    return {DeviceRequest::Kind::cuda, {}};
  }
  constexpr const char* allowed = "Use cpu, cuda, or numbers of nvidia-smi: 0 or 0,1.";
  if (name == "mps") {
    throw UsageError("--device mps is not supported: yolodist runs on CPUs and NVIDIA GPUs", allowed);
  }
  DeviceRequest request{DeviceRequest::Kind::cuda, {}};
  for (std::string part : split(name, ',')) {
    part = trimmed(part);
    if (part.starts_with("cuda:")) {
      part.erase(0, 5);
    }
    int number = -1;
    const auto result = std::from_chars(part.data(), part.data() + part.size(), number);
    if (result.ec != std::errc() || result.ptr != part.data() + part.size() || number < 0) {
      throw UsageError(cat("--device '", text, "': '", part, "' is not a device"), allowed);
    }
    if (std::find(request.numbers.begin(), request.numbers.end(), number) != request.numbers.end()) {
      throw UsageError(cat("--device '", text, "' names device ", number, " twice"), allowed);
    }
    request.numbers.push_back(number);
  }
  return request;
}

std::vector<CudaDevice> devices_to_use(const DeviceRequest& request, const CudaInventory& inventory) {
  if (request.kind == DeviceRequest::Kind::cpu) {
    return {};
  }
  if (request.kind == DeviceRequest::Kind::automatic) {
    return inventory.devices;
  }
  if (inventory.devices.empty()) {
    throw DeviceUnavailable(
        cat("--device asks for CUDA, but there is no device: ", inventory.problem),
        cat(inventory.what_now, inventory.what_now.empty() ? "" : " ", "--device cpu does without."));
  }
  if (request.numbers.empty()) {
    return inventory.devices;
  }
  std::vector<CudaDevice> chosen;
  for (const int number : request.numbers) {
    const size_t before = chosen.size();
    std::copy_if(inventory.devices.begin(), inventory.devices.end(), std::back_inserter(chosen),
                 [&](const CudaDevice& device) { return device.index == number; });
    if (chosen.size() == before) {
      throw DeviceUnavailable(
          cat("--device asks for device ", number, ", visible are ", listed(inventory.devices)),
          "Numbers are those of nvidia-smi; CUDA_VISIBLE_DEVICES hides devices.");
    }
  }
  return chosen;
}

CudaDevice device_of_rank(const std::vector<CudaDevice>& devices, int local_rank, int local_size) {
  check(!devices.empty(), "a rank on CUDA has a device to choose");
  if (devices.size() == 1) {
    return devices.front();
  }
  if (local_size > static_cast<int>(devices.size())) {
    throw DeviceUnavailable(
        cat(local_size, " ranks on this host, but ", devices.size(), " devices: ", listed(devices)),
        "Start one rank a device (with SLURM: --ntasks-per-node as many as --gpus-per-node), or use --device "
        "cpu.");
  }
  return devices[static_cast<size_t>(local_rank)];
}

std::optional<std::string> visible_to_worker(const CudaInventory& inventory, const CudaDevice& own) {
  if (is_slice(own)) {
    return own.uuid;
  }
  if (!inventory.visible) {
    return std::nullopt;
  }
  std::vector<std::string> uuids;
  for (const CudaDevice& device : inventory.devices) {
    if (device.uuid.empty()) {
      return inventory.visible;
    }
    uuids.push_back(device.uuid);
  }
  return join(uuids, ",");
}

}  // namespace yolodist::device
