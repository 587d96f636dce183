// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/workers/worker_probe.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace yolodist::workers {
namespace {

using testing::HasSubstr;

class WorkerProbe : public testing::Test {
 protected:
  ProbeResult probe(const std::string& script, std::chrono::seconds limit = std::chrono::seconds(20)) {
    const auto program = folder_.write("worker", "#!/bin/sh\n" + script);
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return probe_worker(program, limit);
  }
  test::TemporaryFolder folder_;
};

TEST_F(WorkerProbe, IsContentWithAUsageError) {
  EXPECT_TRUE(probe("echo started by yolodist >&2; exit 64").runs);
}

TEST_F(WorkerProbe, TellsWhatIsMissing) {
  const ProbeResult result = probe("echo 'error while loading shared libraries: libtorch.so' >&2; exit 127");
  EXPECT_FALSE(result.runs);
  EXPECT_EQ(result.problem, "error while loading shared libraries: libtorch.so");
  EXPECT_THAT(probe("echo bad; exit 3").problem, HasSubstr("exit code 3: bad"));
  EXPECT_THAT(probe("kill -4 $$").problem, HasSubstr("signal 4"));
  EXPECT_THAT(probe_worker(folder_ / "none", std::chrono::seconds(20)).problem,
              HasSubstr("cannot be started"));
}

TEST_F(WorkerProbe, EndsWhatDoesNotAnswer) {
  EXPECT_THAT(probe("exec sleep 60", std::chrono::seconds(1)).problem, HasSubstr("within 1 s"));
}

TEST_F(WorkerProbe, TakesAnyAmountOfText) {
  EXPECT_TRUE(probe("i=0; while [ $i -lt 3000 ]; do echo 'a line of a hundred characters or so, to fill the "
                    "pipe'; i=$((i+1)); done; exit 64")
                  .runs);
}

}  // namespace
}  // namespace yolodist::workers
