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
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Variables = std::map<std::string, std::string>;

GetVariable getter(Variables variables) {
  return [variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

const Library open_mpi{"Open MPI v4.1.4", [] { return std::vector<std::string>{"pmix", "pmi2", "none"}; }};
const Library mpich{"MPICH 4.3.2", [] { return std::vector<std::string>{"none", "pmi2"}; }};

LaunchEnvironment read(const Variables& variables, bool will_start_mpirun = false,
                       const Library& library = open_mpi) {
  return read_launch_environment(getter(variables), will_start_mpirun, library);
}

std::string refusal(const Variables& variables, const Library& library = open_mpi) {
  return thrown<UsageError>([&] { read(variables, false, library); });
}

TEST(LaunchEnvironment, TellsWhoStartedIt) {
  EXPECT_EQ(read({}).by, StartedBy::nobody);
  const LaunchEnvironment mpirun = read({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_EQ(mpirun.by, StartedBy::mpirun);
  EXPECT_EQ(mpirun.rank, 2);
  EXPECT_EQ(mpirun.expected_size, 4);
  EXPECT_FALSE(mpirun.is_leader());
  EXPECT_EQ(mpirun.local_rank, 0) << "where nobody says";
  EXPECT_EQ(read({{"OMPI_COMM_WORLD_RANK", "2"},
                  {"OMPI_COMM_WORLD_SIZE", "4"},
                  {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                  {"SLURM_LOCALID", "0"}})  // of mpirun's daemon
                .local_rank,
            1);
  const LaunchEnvironment srun = read({{"PMIX_NAMESPACE", "slurm.pmix.12.0"},
                                       {"PMIX_RANK", "1"},
                                       {"SLURM_STEP_ID", "0"},
                                       {"SLURM_STEP_NUM_TASKS", "2"},
                                       {"SLURM_LOCALID", "1"}});
  EXPECT_EQ(srun.by, StartedBy::srun);
  EXPECT_EQ(srun.local_rank, 1);
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

// srun on two nodes, in a way that Open MPI cannot use.
Variables step_without_pmix(const char* task) {
  return {{"SLURM_JOB_ID", "7"},
          {"SLURM_STEP_ID", "0"},
          {"SLURM_STEP_NUM_TASKS", "4"},
          {"SLURM_STEP_NUM_NODES", "2"},
          {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
          {"SLURM_PROCID", task},
          {"SLURM_MPI_TYPE", "pmi2"}};
}

TEST(LaunchEnvironment, RefusesSrunWithoutPmixAndSaysWhatWorks) {
  EXPECT_THAT(refusal(step_without_pmix("0")),
              AllOf(HasSubstr("srun started 4 tasks with --mpi=pmi2"), HasSubstr("Open MPI v4.1.4"),
                    HasSubstr("Use srun --mpi=pmix (srun --mpi=list: pmix, pmi2, none)"),
                    HasSubstr("mpirun --bind-to none --map-by ppr:2:node -np 4 yolodist")));
  Variables variables = step_without_pmix("0");
  variables["PMI_RANK"] = "0";  // as --mpi=pmi2 sets it
  variables["PMI_SIZE"] = "4";
  EXPECT_THAT(refusal(variables), HasSubstr("srun --mpi=pmix"));
  variables["SLURM_STEP_TASKS_PER_NODE"] = "3,1";
  EXPECT_THAT(refusal(variables), HasSubstr("mpirun --bind-to none -np 4 yolodist"));
}

TEST(LaunchEnvironment, SaysSoWhereSlurmHasNoPmix) {
  Library library = open_mpi;
  library.srun_offers = [] { return std::vector<std::string>{"none", "pmi2"}; };
  EXPECT_THAT(refusal(step_without_pmix("0"), library),
              AllOf(HasSubstr("SLURM has no pmix here (srun --mpi=list: none, pmi2)"), HasSubstr("-np 4"),
                    Not(HasSubstr("Use srun"))));
  library.srun_offers = [] { return std::vector<std::string>(); };
  EXPECT_THAT(refusal(step_without_pmix("0"), library),
              HasSubstr("Use srun --mpi=pmix (srun --mpi=list shows what there is)"));
}

TEST(LaunchEnvironment, SlurmIsAskedByOneTaskAndOnlyForARefusal) {
  int asked = 0;
  Library library = open_mpi;
  library.srun_offers = [&] {
    ++asked;
    return std::vector<std::string>{"pmix"};
  };
  refusal(step_without_pmix("3"), library);
  EXPECT_EQ(asked, 0);
  refusal(step_without_pmix("0"), library);
  EXPECT_EQ(asked, 1);
  Variables with_pmix = step_without_pmix("0");
  with_pmix["PMIX_NAMESPACE"] = "slurm.pmix.7.0";
  read(with_pmix, false, library);
  read({}, false, library);
  EXPECT_EQ(asked, 1);
}

TEST(LaunchEnvironment, RefusesWhatWouldBecomeManySingleRanks) {
  EXPECT_THAT(refusal({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "8"}}), HasSubstr("srun --mpi=pmix"));
  EXPECT_THAT(refusal({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}, {"SLURM_TASKS_PER_NODE", "4(x2)"}}),
              AllOf(HasSubstr("Put srun --mpi=pmix or mpirun in front"),
                    HasSubstr("mpirun --bind-to none --map-by ppr:4:node -np 8")));
  EXPECT_THAT(refusal({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), HasSubstr("torchrun"));
  EXPECT_EQ(read({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}).by, StartedBy::nobody);
  EXPECT_EQ(read({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}}, /*will_start_mpirun=*/true).by,
            StartedBy::nobody);
}

TEST(LaunchEnvironment, MpichsVariablesAreForMpich) {
  const Variables hydra = {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}};
  const LaunchEnvironment environment = read(hydra, false, mpich);
  EXPECT_EQ(environment.by, StartedBy::mpirun);
  EXPECT_EQ(environment.rank, 1);
  EXPECT_EQ(environment.expected_size, 2);
  EXPECT_THAT(refusal(hydra),
              AllOf(HasSubstr("PMI_SIZE=2"), HasSubstr("Open MPI v4.1.4"), HasSubstr("mpirun")));
  EXPECT_EQ(read({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).by, StartedBy::nobody);

  Variables step = step_without_pmix("1");
  EXPECT_THAT(refusal(step, mpich), AllOf(HasSubstr("MPICH 4.3.2"), HasSubstr("srun --mpi=pmi2"),
                                          HasSubstr("mpiexec -n 4 -ppn 2")));
  step["PMI_RANK"] = "1";
  step["PMI_SIZE"] = "4";
  EXPECT_EQ(read(step, false, mpich).by, StartedBy::srun);
  EXPECT_EQ(read(step, false, mpich).expected_size, 4);
}

TEST(LaunchEnvironment, MpichRefusesOpenMpisMpirun) {
  EXPECT_THAT(refusal({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, mpich),
              AllOf(HasSubstr("OMPI_COMM_WORLD_SIZE=2"), HasSubstr("MPICH 4.3.2"), HasSubstr("mpiexec")));
}

TEST(LaunchEnvironment, ChecksWhatMpiSays) {
  EXPECT_NO_THROW(check_world_size({StartedBy::mpirun, 0, 4}, 4));
  EXPECT_NO_THROW(check_world_size({}, 1));
  EXPECT_THAT(thrown<UsageError>([] {
                check_world_size({StartedBy::srun, 0, 4}, 1);
              }),
              HasSubstr("srun started 4 ranks, but MPI sees 1: each would train alone"));
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
  EXPECT_TRUE(is_default_binding(getter(Variables{{"OMPI_COMM_WORLD_RANK", "0"}}), {}));
  EXPECT_FALSE(is_default_binding(
      getter(Variables{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_MCA_hwloc_base_binding_policy", "none"}}), {}));
  EXPECT_FALSE(is_default_binding(getter(Variables{}), {}));
  const auto version_5 = getter(Variables{{"OMPI_COMM_WORLD_RANK", "0"}, {"PRTE_LAUNCHED", "1"}});
  EXPECT_TRUE(is_default_binding(version_5, {"mpirun", "-np", "2", "yolodist"}));
  EXPECT_FALSE(is_default_binding(version_5, {"mpirun", "--map-by", "ppr:2:node:PE=8", "yolodist"}));
  EXPECT_FALSE(is_default_binding(version_5, {"/opt/bin/prted", "--daemonize"})) << "another host's words";
}

TEST(Library, TellsItsVersionWithoutInit) {
  EXPECT_NE(library_version(), "");
  EXPECT_EQ(short_library_version("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4"),
            "Open MPI v4.1.4");
  EXPECT_EQ(short_library_version("MPICH Version:      4.3.2\nMPICH Release date: Mon"), "MPICH 4.3.2");
}

TEST(Mpirun, GetsTheNumberOfRanks) {
  const std::vector<std::string> words = mpirun_words(4);
  EXPECT_EQ(words.back(), "4");
  EXPECT_THAT(words.front(), HasSubstr("mpi"));
}

}  // namespace
}  // namespace yolodist::mpi
