// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::mpi {

// What the environment says about who started this process. To be read before MPI_Init, which changes it.
enum class StartedBy { nobody, mpirun, srun };

struct LaunchEnvironment {
  StartedBy by = StartedBy::nobody;
  int rank = 0;           // good enough to decide who prints; MPI has the last word
  int expected_size = 1;  // what the starter says; MPI must agree
  int local_rank = 0;     // on this host; as good as rank is
  bool is_leader() const { return rank == 0; }
};

using GetVariable = std::function<const char*(const char* name)>;

// The MPI that this program is built with, and what SLURM has for it.
struct Library {
  std::string version;  // "Open MPI v4.1.4", "MPICH 4.3.2"
  // What `srun --mpi=list` offers; empty = not known. Asked on one rank, and only to word a refusal.
  std::function<std::vector<std::string>()> srun_offers;
  bool is_open_mpi() const { return version.starts_with("Open MPI"); }
};
Library this_library();

// Throws UsageError where starting would give something other than what was meant: srun without what this MPI
// needs of it, a SLURM batch shell with several tasks but no srun (unless `will_start_mpirun`), torchrun,
// another MPI's mpirun or mpiexec. The hint has lines that work, with this job's counts.
LaunchEnvironment read_launch_environment(const GetVariable& get, bool will_start_mpirun,
                                          const Library& library = this_library());

// Throws UsageError when the starter and MPI disagree about the number of ranks (N processes that are each
// alone).
void check_world_size(const LaunchEnvironment& environment, int mpi_size);

// True for the variables by which MPI processes find each other: a worker must not see them.
bool is_launch_variable(std::string_view name);

// The mask that mpirun's own binding policy left: true if nobody asked for a binding, so that a narrow mask
// is only mpirun's default (one core a rank for one or two ranks).
// `starter`: the words of the process that started this one; needed for Open MPI 5 only.
bool is_default_binding(const GetVariable& get, const std::vector<std::string>& starter);

// The words before the program that start `ranks` ranks of it on this host.
std::vector<std::string> mpirun_words(int ranks);
// "NAME=value" that mpirun needs in its environment (running as root).
std::vector<std::string> mpirun_variables();

// "Open MPI v4.1.4", "MPICH 4.3.2", without MPI_Init.
std::string library_version();
// The same of what MPI_Get_library_version says.
std::string short_library_version(std::string_view text);

}  // namespace yolodist::mpi
