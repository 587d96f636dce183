// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/slurm.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/commands/slurm_script.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(SlurmScript, TheShippedScriptsAreThoseOfTheirOptions) {
  const std::filesystem::path cluster = std::filesystem::path(YOLODIST_SOURCE_DIR) / "cluster";
  EXPECT_EQ(text_of(cluster / "train.sbatch"), slurm_script({.nodes = 1, .gpus = 8, .program = "yolodist"}));
  EXPECT_EQ(text_of(cluster / "train_multinode.sbatch"),
            slurm_script({.nodes = 2, .gpus = 8, .program = "yolodist"}));
}

TEST(SlurmScript, AsksForATaskAGpuAndAWarningForTheScript) {
  const std::string script =
      slurm_script({.nodes = 3, .gpus = 4, .cpus_per_gpu = 6, .time = std::chrono::hours(2)});
  EXPECT_THAT(script, StartsWith("#!/bin/bash\n"));
  EXPECT_THAT(script,
              AllOf(HasSubstr("\n#SBATCH --nodes=3\n"), HasSubstr("\n#SBATCH --ntasks-per-node=4\n"),
                    HasSubstr("\n#SBATCH --gpus-per-node=4\n"), HasSubstr("\n#SBATCH --cpus-per-task=6\n"),
                    HasSubstr("\n#SBATCH --time=2:00:00\n"), HasSubstr("\n#SBATCH --signal=B:USR1@180\n"),
                    HasSubstr("\n#SBATCH --requeue\n"), HasSubstr("\n#SBATCH --open-mode=append\n")));
}

TEST(SlurmScript, NamesPartitionAccountAndMemoryOnlyWhereTheyAreGiven) {
  EXPECT_THAT(slurm_script({}),
              AllOf(Not(HasSubstr("--partition")), Not(HasSubstr("--account")), Not(HasSubstr("--mem"))));
  EXPECT_THAT(slurm_script({.partition = "gpu", .account = "team", .mem = "0"}),
              AllOf(HasSubstr("\n#SBATCH --partition=gpu\n"), HasSubstr("\n#SBATCH --account=team\n"),
                    HasSubstr("\n#SBATCH --mem=0\n")));
}

TEST(SlurmScript, QuotesTheOptionsOfTrain) {
  EXPECT_THAT(slurm_script({.train_words = {"--data", "my data.yaml", "--name", "it's"}}),
              HasSubstr(R"(OPTIONS=(--data 'my data.yaml' --name 'it'\''s'))"));
}

TEST(SlurmScript, TheNetworkOfTheRanksIsMpirunsToo) {
  constexpr const char* line = "export OMPI_MCA_oob_tcp_if_include=ib0 PRTE_MCA_prte_if_include=ib0 ";
  EXPECT_THAT(slurm_script({}), HasSubstr(cat("\n# ", line)));
  const std::string script = slurm_script({.train_words = {"--net-if", "ib0"}, .net_if = "ib0"});
  EXPECT_THAT(script, AllOf(HasSubstr(cat("\n", line)), HasSubstr("OPTIONS=(--net-if ib0)")));
}

TEST(SlurmScript, SaysWhatPrintedIt) {
  EXPECT_THAT(slurm_script({.nodes = 2, .gpus = 8, .launch = "mpirun", .program = "yolodist"}),
              HasSubstr("#   yolodist slurm --nodes 2 --gpus 8 --launch mpirun --program yolodist\n"));
}

// PATH with nothing in it but a program `sbatch`, or nothing at all.
class SlurmSubmit : public testing::Test {
 protected:
  void SetUp() override {
    old_path_ = std::getenv("PATH");
    setenv("PATH", folder_.path().c_str(), 1);
  }
  void TearDown() override { setenv("PATH", old_path_.c_str(), 1); }
  void make_sbatch(const std::string& body) {
    const std::filesystem::path program = folder_.path() / "sbatch";
    std::ofstream(program) << "#!/bin/bash\n" << body << "\n";
    chmod(program.c_str(), 0755);
  }

  test::TemporaryFolder folder_;

 private:
  std::string old_path_;
};

TEST_F(SlurmSubmit, GivesTheScriptToSbatchAndPrintsTheNumberOfTheJob) {
  const std::string taken = (folder_.path() / "taken").string();
  make_sbatch(cat("while IFS= read -r line; do echo \"$line\"; done > ", taken, "; echo \"$*\" > ", taken,
                  ".words; echo '4711;main'"));
  testing::internal::CaptureStdout();
  EXPECT_EQ(slurm({"--nodes", "2", "--gpus", "8", "--program", "yolodist", "--submit"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "4711\n");
  EXPECT_EQ(text_of(taken), slurm_script({.nodes = 2, .gpus = 8, .program = "yolodist"}));
  EXPECT_EQ(text_of(taken + ".words"), "--parsable\n");
}

TEST_F(SlurmSubmit, SaysThatThereIsNoSbatch) {
  EXPECT_THAT(test::thrown<DeviceUnavailable>([] { slurm({"--submit"}); }),
              AllOf(HasSubstr("no sbatch in PATH"), HasSubstr("login node")));
}

TEST_F(SlurmSubmit, FailsWhenSbatchRefuses) {
  make_sbatch("exit 1");
  EXPECT_THAT(test::thrown<DeviceUnavailable>([] { slurm({"--submit"}); }),
              HasSubstr("did not take the job"));
}

}  // namespace
}  // namespace yolodist::commands
