// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/device/cuda_inventory.h"

namespace yolodist::device {

// The LibTorch of a build.
struct CudaBuild {
  std::string libtorch;  // "2.11.0"
  std::string cuda;      // "13.0"; without a number nothing is refused
  std::string
      targets{};  // what it has code for, as LibTorch says it: "sm_75 sm_80 compute_90"; "" = not known
};

// Whether LibTorch has code for a card of `capability` ("8.9"): machine code (sm_) is for its own major and
// from its minor on, PTX (compute_) for all that came later. True where either is not known.
bool has_code_for(const CudaBuild& build, const std::string& capability);
// "7.5, 8.0, 8.6"; "" = not known.
std::string capabilities_text(const CudaBuild& build);

// The oldest driver that runs programs of this CUDA, as its first number: 580; 0 = not known.
int least_driver(const std::string& cuda);

// Why the build does not run on such a card, or with such a driver; "" = it does, or nothing is known.
std::string card_problem(const CudaBuild& build, const std::string& name, const std::string& capability);
std::string driver_problem(const CudaBuild& build, const CudaInventory& inventory);

// "build yolodist with LibTorch 2.7.1 (CUDA 12.6, see docs/installing.md)": one that runs on all these
// capabilities, with the driver if that is known; "" = none is known.
std::string other_build(const CudaBuild& build, const std::vector<std::string>& capabilities,
                        const CudaInventory& inventory);
// What to do about a driver that is too old.
std::string driver_advice(const CudaBuild& build, const CudaInventory& inventory);

// Throws DeviceUnavailable for a chosen card or a driver that the build does not run on, naming what could.
void check_runnable(const CudaBuild& build, const std::vector<CudaDevice>& chosen,
                    const CudaInventory& inventory);

}  // namespace yolodist::device
