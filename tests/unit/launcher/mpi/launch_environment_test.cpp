// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::mpi {
namespace {

using test::thrown;
using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

GetVariable getter(Variables variables) {
  return [variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

LaunchEnvironment read(const Variables& variables, bool will_start_mpirun = false) {
  return read_launch_environment(getter(variables), will_start_mpirun);
}

std::string refusal(const Variables& variables) {
  return thrown<UsageError>([&] { read(variables); });
}

TEST(LaunchEnvironment, TellsWhoStartedIt) {
  EXPECT_EQ(read({}).by, StartedBy::nobody);
  const LaunchEnvironment mpirun = read({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_EQ(mpirun.by, StartedBy::mpirun);
  EXPECT_EQ(mpirun.rank, 2);
  EXPECT_EQ(mpirun.expected_size, 4);
  EXPECT_FALSE(mpirun.is_leader());
  const LaunchEnvironment srun = read({{"PMIX_NAMESPACE", "slurm.pmix.12.0"},
                                       {"PMIX_RANK", "1"},
                                       {"SLURM_STEP_ID", "0"},
                                       {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_EQ(srun.by, StartedBy::srun);
  EXPECT_EQ(srun.expected_size, 2);
}

TEST(LaunchEnvironment, MpirunInSbatchIsMpirun) {
  // SLURM's own variables describe the daemon that mpirun started, in every rank alike.
  const LaunchEnvironment environment = read({{"OMPI_COMM_WORLD_RANK", "3"},
                                              {"OMPI_COMM_WORLD_SIZE", "4"},
                                              {"SLURM_JOB_ID", "7"},
                                              {"SLURM_STEP_ID", "0"},
                                              {"SLURM_STEP_NUM_TASKS", "2"},
                                              {"SLURM_PROCID", "0"}});
  EXPECT_EQ(environment.by, StartedBy::mpirun);
  EXPECT_EQ(environment.rank, 3);
}

TEST(LaunchEnvironment, RefusesWhatWouldBecomeManySingleRanks) {
  EXPECT_THAT(refusal({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "8"}}), HasSubstr("srun --mpi=pmix"));
  EXPECT_THAT(refusal({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}}),
              HasSubstr("Put srun --mpi=pmix or mpirun in front"));
  EXPECT_THAT(refusal({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), HasSubstr("torchrun"));
  EXPECT_THAT(refusal({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}), HasSubstr("PMI_SIZE=2"));
  EXPECT_EQ(read({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}).by, StartedBy::nobody);
  EXPECT_EQ(read({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}}, /*will_start_mpirun=*/true).by,
            StartedBy::nobody);
}

TEST(LaunchEnvironment, ChecksWhatMpiSays) {
  EXPECT_NO_THROW(check_world_size({StartedBy::mpirun, 0, 4}, 4));
  EXPECT_NO_THROW(check_world_size({}, 1));
  EXPECT_THAT(thrown<UsageError>([] {
                check_world_size({StartedBy::srun, 0, 4}, 1);
              }),
              HasSubstr("srun started 4 ranks, but MPI sees 1"));
}

TEST(LaunchVariables, AreKnownByTheirBeginning) {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_SIZE", "PRTE_MCA_x", "ORTE_X"}) {
    EXPECT_TRUE(is_launch_variable(name)) << name;
  }
  for (const char* name : {"OMP_NUM_THREADS", "PATH", "SLURM_JOB_ID", "NCCL_DEBUG", "CUDA_VISIBLE_DEVICES"}) {
    EXPECT_FALSE(is_launch_variable(name)) << name;
  }
}

TEST(DefaultBinding, IsOneThatNobodyAskedFor) {
  EXPECT_TRUE(is_default_binding(getter(Variables{{"OMPI_COMM_WORLD_RANK", "0"}})));
  EXPECT_FALSE(is_default_binding(
      getter(Variables{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_MCA_hwloc_base_binding_policy", "core"}})));
  EXPECT_FALSE(is_default_binding(getter(Variables{})));
}

TEST(Library, TellsItsVersionWithoutInit) {
  EXPECT_NE(library_version(), "");
}

TEST(Mpirun, GetsTheNumberOfRanks) {
  const std::vector<std::string> words = mpirun_words(4);
  EXPECT_EQ(words.back(), "4");
  EXPECT_THAT(words.front(), HasSubstr("mpi"));
}

}  // namespace
}  // namespace yolodist::mpi
