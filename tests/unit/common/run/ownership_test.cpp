// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/ownership.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using test::thrown;
using testing::HasSubstr;

void say_nothing(const Owner&) {}

TEST(RunToken, TheLastClaimHoldsTheRun) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  const std::string first = claim_run(run);
  EXPECT_EQ(first.size(), 32u);
  EXPECT_TRUE(still_ours(run, first));
  const std::string second = claim_run(run);
  EXPECT_NE(first, second);
  EXPECT_FALSE(still_ours(run, first));
  EXPECT_TRUE(still_ours(run, second));
  fs::remove(run.token_file());
  EXPECT_FALSE(still_ours(run, second));
}

TEST(RunToken, ClaimingARunThatIsGoneFails) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown<StorageError>([&] { claim_run({folder / "gone"}); }), HasSubstr("gone"));
}

// The pid of a process that has ended.
pid_t ended_process() {
  const pid_t pid = fork();
  if (pid == 0) {
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  return pid;
}

TEST(Owner, OfThisHostIsKnownByItsProcess) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  const Owner self = this_process("");
  EXPECT_EQ(living_owner(run, self, say_nothing), std::nullopt) << "nobody was here";
  write_owner(run, self);
  EXPECT_EQ(living_owner(run, self, say_nothing), std::nullopt) << "not in its own way";

  Owner other = self;
  other.pid = getppid();
  other.start_ticks = 0;
  write_owner(run, other);
  EXPECT_EQ(living_owner(run, self, say_nothing), std::nullopt) << "another process of that number";

  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    write_owner(run, this_process("slurm 7"));
    [[maybe_unused]] const ssize_t told = write(ends[1], "x", 1);
    pause();
    _exit(0);
  }
  char word = 0;
  ASSERT_EQ(read(ends[0], &word, 1), 1);
  const auto found = living_owner(run, self, say_nothing);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->pid, writer);
  EXPECT_THAT(to_text(*found), HasSubstr("job slurm 7"));
  EXPECT_TRUE(living_owner(run, this_process("slurm 7"), say_nothing)) << "two steps of one job";
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  EXPECT_EQ(living_owner(run, self, say_nothing), std::nullopt) << "it has died";
  close(ends[0]);
  close(ends[1]);
}

Owner elsewhere() {
  Owner owner = this_process("slurm 9");
  owner.host = "far";
  owner.processes = "another boot";
  owner.pid = ended_process();
  return owner;
}

TEST(Owner, OfAnotherHostLivesWhileItsFileIsRenewed) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  write_owner(run, elsewhere());
  std::thread renewer([&run] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    renew_owner(run);
  });
  const auto found = living_owner(run, this_process(""), say_nothing);
  renewer.join();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->host, "far");
  EXPECT_EQ(living_owner(run, this_process("slurm 9"), say_nothing), std::nullopt)
      << "the same job, requeued";
}

TEST(Owner, OfAnotherHostIsGoneWhenItsFileIsOldOrTakenAway) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  write_owner(run, elsewhere());
  const auto an_hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(run.owner_file(), an_hour_ago);
  EXPECT_EQ(living_owner(run, this_process(""), [](const Owner&) { FAIL() << "nothing to wait for"; }),
            std::nullopt);

  write_owner(run, elsewhere());
  std::thread remover([&run] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    remove_owner(run);
  });
  EXPECT_EQ(living_owner(run, this_process(""), say_nothing), std::nullopt);
  remover.join();
}

TEST(Owner, AFileThatCannotBeReadIsNobody) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  write_file_atomically(run.owner_file(), "no json");
  EXPECT_EQ(living_owner(run, this_process(""), say_nothing), std::nullopt);
  write_file_atomically(run.owner_file(), R"({"schema": 1, "host": 3})");
  EXPECT_EQ(living_owner(run, this_process(""), say_nothing), std::nullopt);
}

}  // namespace
}  // namespace yolodist::run
