// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/launch_environment.h"

#include <mpi.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::mpi {
namespace {

int number(const char* text, int otherwise) {
  return text == nullptr ? otherwise : std::atoi(text);
}

bool is_open_mpi() {
  return library_version().starts_with("Open MPI");
}

}  // namespace

LaunchEnvironment read_launch_environment(const GetVariable& get, bool will_start_mpirun) {
  if (get("OMPI_COMM_WORLD_RANK") != nullptr) {
    return {StartedBy::mpirun, number(get("OMPI_COMM_WORLD_RANK"), 0),
            number(get("OMPI_COMM_WORLD_SIZE"), 1)};
  }
  const char* name_space = get("PMIX_NAMESPACE");
  if (name_space != nullptr && std::string_view(name_space).starts_with("slurm.pmix")) {
    return {StartedBy::srun, number(get("PMIX_RANK"), 0), number(get("SLURM_STEP_NUM_TASKS"), 1)};
  }
  if (get("PMI_RANK") != nullptr && number(get("PMI_SIZE"), 1) > 1) {
    if (is_open_mpi()) {
      throw UsageError(cat("the environment has PMI_SIZE=", get("PMI_SIZE"),
                           ", but this yolodist is built with ", library_version(), ", which cannot use it"),
                       "Start it with that MPI's mpirun, or with srun --mpi=pmix.");
    }
    return {StartedBy::mpirun, number(get("PMI_RANK"), 0), number(get("PMI_SIZE"), 1)};
  }
  if (get("SLURM_STEP_ID") != nullptr) {
    const int tasks = number(get("SLURM_STEP_NUM_TASKS"), 1);
    if (tasks > 1) {
      throw UsageError(cat("srun started ", tasks, " tasks, but without PMIx they cannot find each other"),
                       "Use srun --mpi=pmix (srun --mpi=list shows what there is).");
    }
  } else if (get("SLURM_JOB_ID") != nullptr) {
    const int tasks = number(get("SLURM_NTASKS"), 1);
    if (tasks > 1 && !will_start_mpirun) {
      throw UsageError(cat("SLURM gave ", tasks, " tasks, but this is one process"),
                       "Put srun --mpi=pmix or mpirun in front, or say how many ranks with --ranks.");
    }
  }
  if (get("RANK") != nullptr && get("MASTER_ADDR") != nullptr && number(get("WORLD_SIZE"), 1) > 1) {
    throw UsageError(cat("this is one of ", get("WORLD_SIZE"), " processes of torchrun"),
                     "Start yolodist with mpirun or srun, or alone with --ranks.");
  }
  return {};
}

void check_world_size(const LaunchEnvironment& environment, int mpi_size) {
  if (environment.by != StartedBy::nobody && mpi_size != environment.expected_size) {
    throw UsageError(
        cat(environment.by == StartedBy::srun ? "srun" : "mpirun", " started ", environment.expected_size,
            " ranks, but MPI sees ", mpi_size),
        "Start it with the mpirun of the MPI that it is built with (yolodist --version), or with srun "
        "--mpi=pmix.");
  }
}

bool is_launch_variable(std::string_view name) {
  constexpr std::array prefixes = {"OMPI_", "PMIX", "PMI_", "PRTE_", "ORTE_"};
  for (const std::string_view prefix : prefixes) {
    if (name.starts_with(prefix)) {
      return true;
    }
  }
  return false;
}

bool is_default_binding(const GetVariable& get) {
  // mpirun hands its --bind-to on under this name, and sets neither when nobody asked (measured with 4.1.4).
  constexpr std::array policies = {"OMPI_MCA_hwloc_base_binding_policy",
                                   "PRTE_MCA_hwloc_default_binding_policy",
                                   "PRTE_MCA_rmaps_default_binding_policy"};
  for (const char* policy : policies) {
    if (get(policy) != nullptr) {
      return false;
    }
  }
  return get("OMPI_COMM_WORLD_RANK") != nullptr;
}

std::vector<std::string> mpirun_words(int ranks) {
  if (!is_open_mpi()) {
    return {"mpiexec", "-n", std::to_string(ranks)};
  }
  // Unbound: by default one or two ranks get one core each, which starves the decoding threads.
  return {"mpirun", "--bind-to", "none", "--oversubscribe", "-np", std::to_string(ranks)};
}

std::vector<std::string> mpirun_variables() {
  if (geteuid() != 0) {
    return {};
  }
  return {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
}

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string whole(text.data());
  // Open MPI: "Open MPI v4.1.4, package: …"; MPICH: "MPICH Version:\t4.0.2\nMPICH …".
  return trimmed(whole.substr(0, whole.find_first_of(",\n")));
}

}  // namespace yolodist::mpi
