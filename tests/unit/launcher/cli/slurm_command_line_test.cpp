// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/slurm_command_line.h"

#include <gmock/gmock.h>

#include <sstream>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

SlurmJob parsed(const std::string& text) {
  return parse_slurm(words(text)).job;
}

std::string refusal(const std::string& text) {
  return test::thrown<UsageError>([&] { parse_slurm(words(text)); });
}

TEST(ParseSlurm, WithoutOptionsIsOneGpuForADay) {
  const SlurmJob job = parsed("");
  EXPECT_EQ(job.nodes, 1);
  EXPECT_EQ(job.gpus, 1);
  EXPECT_EQ(job.time, std::chrono::hours(24));
  EXPECT_EQ(job.launch, "srun");
  EXPECT_TRUE(job.train_words.empty());
}

TEST(ParseSlurm, TakesWhatIsAskedOfSlurm) {
  const SlurmCommandLine line = parse_slurm(words(
      "--nodes 2 --gpus 8 --cpus-per-gpu 12 --mem 200G --time 2-12:00:00 --partition gpu --account team "
      "--job-name small_objects --signal-before 300 --launch mpirun --program /opt/bin/yolodist --submit"));
  EXPECT_EQ(line.job.nodes, 2);
  EXPECT_EQ(line.job.gpus, 8);
  EXPECT_EQ(line.job.cpus_per_gpu, 12);
  EXPECT_EQ(line.job.mem, "200G");
  EXPECT_EQ(line.job.time, std::chrono::hours(60));
  EXPECT_EQ(line.job.partition, "gpu");
  EXPECT_EQ(line.job.account, "team");
  EXPECT_EQ(line.job.job_name, "small_objects");
  EXPECT_EQ(line.job.signal_before_s, 300);
  EXPECT_EQ(line.job.launch, "mpirun");
  EXPECT_EQ(line.job.program, "/opt/bin/yolodist");
  EXPECT_TRUE(line.is_submitted);
}

TEST(ParseSlurm, LeavesWhatComesAfterTwoDashesToTrain) {
  EXPECT_THAT(parsed("--nodes 2 -- --data a.yaml --cfg yolov5s --nosave").train_words,
              ElementsAre("--data", "a.yaml", "--cfg", "yolov5s", "--nosave"));
  EXPECT_TRUE(parsed("--nodes 2 --").train_words.empty());
  EXPECT_EQ(parsed("-- --data a.yaml --cfg yolov5s").net_if, "");
  EXPECT_EQ(parsed("-- --data a.yaml --cfg yolov5s --net-if ib0").net_if, "ib0");
}

TEST(ParseSlurm, ChecksTheOptionsOfTrainAsTrainDoes) {
  EXPECT_THAT(refusal("-- --epcohs 3"), HasSubstr("--epochs"));
  EXPECT_THAT(refusal("-- --epochs 0"), HasSubstr("--epochs is 0"));
  EXPECT_THAT(refusal("-- --data a.yaml --cfg yolov5s --ranks 4"),
              AllOf(HasSubstr("SLURM's"), HasSubstr("--gpus N")));
  EXPECT_THAT(refusal("-- --help"), HasSubstr("--help"));
}

TEST(ParseSlurm, SaysWhereOptionsOfTrainBelong) {
  for (const char* option : {"--data a.yaml", "--img 1280", "--batch-size 4", "--resume"}) {
    EXPECT_THAT(refusal(option), HasSubstr("after")) << option;
  }
  EXPECT_THAT(refusal("--ranks 8"), HasSubstr("--nodes N --gpus N"));
}

TEST(ParseSlurm, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusal("--nodes 0"), HasSubstr("--nodes is 0, should be at least 1"));
  EXPECT_THAT(refusal("--nodes two"), HasSubstr("'two'"));
  EXPECT_THAT(refusal("--gpus 0"), HasSubstr("--gpus is 0"));
  EXPECT_THAT(refusal("--gpus 128"), HasSubstr("of one node"));
  EXPECT_THAT(refusal("--cpus-per-gpu 0"), HasSubstr("--cpus-per-gpu"));
  EXPECT_THAT(refusal("--time soon"), HasSubstr("--time"));
  EXPECT_THAT(refusal("--time 0:30"), HasSubstr("at least 1:00"));
  EXPECT_THAT(refusal("--signal-before 0"), HasSubstr("--signal-before is 0"));
  EXPECT_THAT(refusal("--time 3 --signal-before 180"), HasSubstr("less than --time, 3:00"));
  EXPECT_THAT(refusal("--launch torchrun"), HasSubstr("srun or mpirun"));
}

TEST(ParseSlurm, RefusesWhatWouldBreakALineOfTheScript) {
  for (const char* option : {"--partition", "--account", "--job-name"}) {
    for (const char* value : {"a b", "a\nb", "a#b", "$(id)", "a/b", "%j"}) {
      EXPECT_THAT(test::thrown<UsageError>([&] {
                    parse_slurm({option, value});
                  }),
                  HasSubstr(option))
          << value;
    }
  }
  EXPECT_THAT(test::thrown<UsageError>([] { parse_slurm({"--job-name="}); }), HasSubstr("--job-name"));
  for (const char* value : {"G", "20GB", "-1", "1.5G", "2 G"}) {
    EXPECT_THAT(test::thrown<UsageError>([&] { parse_slurm({std::string("--mem=") + value}); }),
                HasSubstr("--mem"))
        << value;
  }
}

TEST(ParseSlurm, HelpNeedsNothingElse) {
  EXPECT_TRUE(parse_slurm({"--help"}).wants_help);
  EXPECT_TRUE(parse_slurm({"--nodes", "0", "--version"}).wants_version);
  EXPECT_THAT(slurm_help(),
              AllOf(HasSubstr("--signal-before"), HasSubstr("options of train"), HasSubstr("69")));
}

}  // namespace
}  // namespace yolodist::cli
