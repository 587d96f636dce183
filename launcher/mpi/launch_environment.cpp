// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/launch_environment.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/mpi/srun_offers.h"

namespace yolodist::mpi {
namespace {

int number(const char* text, int otherwise) {
  return text == nullptr ? otherwise : std::atoi(text);
}

constexpr std::chrono::seconds srun_patience{5};

// Tasks of each node where all have the same number, else 0: "2(x3)" is 2 on each of three.
int tasks_a_node(const char* text) {
  const std::string_view counts = text == nullptr ? "" : text;
  return counts.find(',') == std::string_view::npos ? number(text, 0) : 0;
}

// How a batch script starts this job by mpirun, without srun.
std::string mpirun_line(const Library& library, int tasks, int a_node) {
  const bool on_several_nodes = a_node > 0 && a_node < tasks;
  if (!library.is_open_mpi()) {
    return cat("mpiexec -n ", tasks, on_several_nodes ? cat(" -ppn ", a_node) : "", " yolodist …");
  }
  return cat("mpirun --bind-to none", on_several_nodes ? cat(" --map-by ppr:", a_node, ":node") : "", " -np ",
             tasks, " yolodist …");
}

// What the tasks of srun need to find each other.
const char* srun_plugin(const Library& library) {
  return library.is_open_mpi() ? "pmix" : "pmi2";
}

[[noreturn]] void refuse_srun(const GetVariable& get, const Library& library, int tasks) {
  const char* plugin = srun_plugin(library);
  const char* used = get("SLURM_MPI_TYPE");
  const std::string line = mpirun_line(library, tasks, tasks_a_node(get("SLURM_STEP_TASKS_PER_NODE")));
  // One task speaks; SLURM need not be asked by the others.
  const std::vector<std::string> offers = number(get("SLURM_PROCID"), 0) == 0 && library.srun_offers
                                              ? library.srun_offers()
                                              : std::vector<std::string>();
  const bool has_plugin = offers.empty() || std::any_of(offers.begin(), offers.end(), [&](const auto& offer) {
                            return offer.starts_with(plugin);
                          });
  const std::string shown =
      offers.empty() ? "srun --mpi=list shows what there is" : cat("srun --mpi=list: ", join(offers, ", "));
  throw UsageError(
      cat("srun started ", tasks, " tasks", used == nullptr ? "" : cat(" with --mpi=", used),
          ", but this yolodist is built with ", library.version,
          ", whose tasks find each other by --mpi=", plugin, " only"),
      has_plugin
          ? cat("Use srun --mpi=", plugin, " (", shown, "), or in the batch script, without srun: ", line)
          : cat("SLURM has no ", plugin, " here (", shown, "): in the batch script, without srun: ", line));
}

[[noreturn]] void refuse_starter(const Library& library, const std::string& sign) {
  throw UsageError(cat("another MPI's starter was used (", sign, "): this yolodist is built with ",
                       library.version, ", which cannot use it"),
                   cat("Start it with that MPI's ", library.is_open_mpi() ? "mpirun" : "mpiexec",
                       ", or with srun --mpi=", srun_plugin(library), "."));
}

}  // namespace

Library this_library() {
  return {library_version(), [] { return ask_srun_offers("srun", srun_patience); }};
}

LaunchEnvironment read_launch_environment(const GetVariable& get, bool will_start_mpirun,
                                          const Library& library) {
  if (get("OMPI_COMM_WORLD_RANK") != nullptr) {
    const int size = number(get("OMPI_COMM_WORLD_SIZE"), 1);
    if (!library.is_open_mpi() && size > 1) {
      refuse_starter(library, cat("OMPI_COMM_WORLD_SIZE=", size));
    }
    return {StartedBy::mpirun, number(get("OMPI_COMM_WORLD_RANK"), 0), size,
            number(get("OMPI_COMM_WORLD_LOCAL_RANK"), 0)};
  }
  const char* name_space = get("PMIX_NAMESPACE");
  if (name_space != nullptr && std::string_view(name_space).starts_with("slurm.pmix")) {
    return {StartedBy::srun, number(get("PMIX_RANK"), 0), number(get("SLURM_STEP_NUM_TASKS"), 1),
            number(get("SLURM_LOCALID"), 0)};
  }
  const bool in_step = get("SLURM_STEP_ID") != nullptr;
  if (get("PMI_RANK") != nullptr && !library.is_open_mpi()) {
    // MPICH's mpiexec, or srun --mpi=pmi2.
    return {in_step ? StartedBy::srun : StartedBy::mpirun, number(get("PMI_RANK"), 0),
            number(get("PMI_SIZE"), 1), number(get(in_step ? "SLURM_LOCALID" : "MPI_LOCALRANKID"), 0)};
  }
  if (in_step) {
    if (const int tasks = number(get("SLURM_STEP_NUM_TASKS"), 1); tasks > 1) {
      refuse_srun(get, library, tasks);
    }
  }
  if (get("PMI_RANK") != nullptr && number(get("PMI_SIZE"), 1) > 1) {
    refuse_starter(library, cat("PMI_SIZE=", get("PMI_SIZE")));
  }
  if (!in_step && get("SLURM_JOB_ID") != nullptr) {
    const int tasks = number(get("SLURM_NTASKS"), 1);
    if (tasks > 1 && !will_start_mpirun) {
      throw UsageError(cat("SLURM gave ", tasks, " tasks, but this is one process"),
                       cat("Put srun --mpi=", srun_plugin(library), " or mpirun in front (",
                           mpirun_line(library, tasks, tasks_a_node(get("SLURM_TASKS_PER_NODE"))),
                           "), or say how many ranks of this host with --ranks."));
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
            " ranks, but MPI sees ", mpi_size, mpi_size == 1 ? ": each would train alone" : ""),
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

bool is_default_binding(const GetVariable& get, const std::vector<std::string>& starter) {
  // mpirun hands its --bind-to on under this name, and sets neither when nobody asked (measured with 4.1.4).
  constexpr std::array policies = {"OMPI_MCA_hwloc_base_binding_policy",
                                   "PRTE_MCA_hwloc_default_binding_policy",
                                   "PRTE_MCA_rmaps_default_binding_policy"};
  for (const char* policy : policies) {
    if (get(policy) != nullptr) {
      return false;
    }
  }
  // Open MPI 5 tells by no variable (measured with 5.0.11), but mpirun's own words do, on its host.
  if (get("PRTE_LAUNCHED") != nullptr) {
    constexpr std::array placing = {"--bind-to", "--map-by", "--rank-by", "--cpu-list", "--cpu-set"};
    const bool is_mpirun = !starter.empty() && !starter.front().ends_with("prted");
    return is_mpirun && std::none_of(starter.begin(), starter.end(), [&](const std::string& word) {
             return std::find(placing.begin(), placing.end(), word) != placing.end();
           });
  }
  return get("OMPI_COMM_WORLD_RANK") != nullptr;
}

std::vector<std::string> mpirun_words(int ranks) {
  if (!this_library().is_open_mpi()) {
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
  return short_library_version(text.data());
}

std::string short_library_version(std::string_view text) {
  // Open MPI: "Open MPI v4.1.4, package: …"; MPICH: "MPICH Version:      4.3.2\nMPICH Release date: …".
  const std::string first(text.substr(0, text.find_first_of(",\n")));
  const size_t colon = first.find(" Version:");
  return colon == std::string::npos ? trimmed(first)
                                    : cat(first.substr(0, colon), " ", trimmed(first.substr(colon + 9)));
}

}  // namespace yolodist::mpi
