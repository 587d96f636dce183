// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/version.h"

#include "common/base/text.h"
#include "generated/build_versions.h"

namespace yolodist::cli {

const BuildVersions& build_versions() {
  static const BuildVersions versions = {generated::yolodist_version, generated::git_version,
                                         generated::libtorch_version, generated::cuda_version,
                                         generated::nccl_version,     generated::cuda_targets};
  return versions;
}

std::string version_text(const std::string& mpi) {
  const BuildVersions& versions = build_versions();
  return cat("yolodist ", versions.yolodist, "\n  git      ", versions.git, "\n  LibTorch ",
             versions.libtorch, "\n  CUDA     ", versions.cuda, "\n  NCCL     ", versions.nccl,
             "\n  MPI      ", mpi, "\n");
}

}  // namespace yolodist::cli
