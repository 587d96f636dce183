// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace yolodist::cli {

// What was known when the build was configured; "unknown" or "not built" where nothing was.
struct BuildVersions {
  std::string yolodist;        // "0.1.0"
  std::string git;             // short hash
  std::string libtorch;        // "2.11.0"
  std::string cuda;            // "13.0"
  std::string nccl;            // "2.28.9"
  std::string cuda_targets{};  // what LibTorch has code for: "sm_75 sm_80"; "" = not known
};
const BuildVersions& build_versions();

// The lines of --version. `mpi` is the MPI library's own text.
std::string version_text(const std::string& mpi);

}  // namespace yolodist::cli
