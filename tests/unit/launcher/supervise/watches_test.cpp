// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>

#include "common/base/atomic_file.h"
#include "common/run/ownership.h"
#include "launcher/supervise/peer_watch.h"
#include "launcher/supervise/run_watch.h"
#include "launcher/supervise/time_limit.h"
#include "launcher/supervise/worker_watch.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::supervise {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(PeerWatch, Rank0MissesAnyOther) {
  const PeerWatch::Clock::time_point begin;
  PeerWatch watch(0, 4, 30s, begin);
  EXPECT_THAT(watch.beats_due(begin), ElementsAre(1, 2, 3));
  EXPECT_THAT(watch.beats_due(begin + 900ms), IsEmpty());
  EXPECT_THAT(watch.beats_due(begin + 1s), ElementsAre(1, 2, 3));
  watch.heard(1, begin + 20s);
  watch.heard(3, begin + 21s);
  EXPECT_THAT(watch.silent(begin + 30s), IsEmpty());
  EXPECT_THAT(watch.silent(begin + 31s), ElementsAre(2));
  EXPECT_THAT(watch.silent(begin + 60s), ElementsAre(1, 2, 3));
  watch.forget_silence(begin + 60s);
  EXPECT_THAT(watch.silent(begin + 89s), IsEmpty());
}

TEST(PeerWatch, TheOthersListenToRank0Only) {
  const PeerWatch::Clock::time_point begin;
  PeerWatch watch(2, 4, 30s, begin);
  EXPECT_THAT(watch.beats_due(begin), ElementsAre(0));
  watch.heard(1, begin + 29s);
  EXPECT_THAT(watch.silent(begin + 31s), ElementsAre(0));
  watch.heard(0, begin + 31s);
  EXPECT_THAT(watch.silent(begin + 60s), IsEmpty());
}

TEST(PeerWatch, AloneNobodyIsMissed) {
  PeerWatch watch(0, 1, 30s, {});
  EXPECT_THAT(watch.beats_due(PeerWatch::Clock::time_point() + 1h), IsEmpty());
  EXPECT_THAT(watch.silent(PeerWatch::Clock::time_point() + 1h), IsEmpty());
}

class WorkerWatchTest : public testing::Test {
 protected:
  // Samples each second up to `to`, as a worker that lives sends them.
  void sample(const char* phase, WorkerWatch::Clock::time_point from, WorkerWatch::Clock::time_point to) {
    for (auto at = from; at <= to; at += 1s) {
      watch_.sent_sample(phase, at);
    }
  }
  const WorkerWatch::Clock::time_point begin_{};
  WorkerWatch watch_{Limits(), begin_};
};

TEST_F(WorkerWatchTest, WantsAHello) {
  EXPECT_FALSE(watch_.trouble(false, begin_ + 299s));
  EXPECT_TRUE(watch_.trouble(false, begin_ + 301s)->is_start);
  watch_.said_hello();
  EXPECT_FALSE(watch_.trouble(false, begin_ + 1h)) << "val says nothing until its end";
}

TEST_F(WorkerWatchTest, NoticesSilence) {
  watch_.said_hello();
  sample("forward", begin_, begin_ + 5s);
  EXPECT_FALSE(watch_.trouble(true, begin_ + 34s));
  EXPECT_THAT(watch_.trouble(true, begin_ + 36s)->what, HasSubstr("said nothing for 30 s"));
  watch_.forget_silence(begin_ + 36s);
  EXPECT_FALSE(watch_.trouble(true, begin_ + 66s));
}

TEST_F(WorkerWatchTest, NoticesAStuckStep) {
  watch_.said_hello();
  for (int i = 0; i < 5; ++i) {
    watch_.made_progress(begin_ + i * 1s);
  }
  const auto last = begin_ + 4s;
  sample("data", last, last + 61s);
  EXPECT_FALSE(watch_.trouble(false, last + 59s));
  EXPECT_FALSE(watch_.trouble(true, last + 61s)) << "it waits for others";
  EXPECT_THAT(watch_.trouble(false, last + 61s)->what, HasSubstr("stuck: for 61 s in data"));
  watch_.was_active(last + 61s);
  EXPECT_FALSE(watch_.trouble(false, last + 62s));
}

TEST_F(WorkerWatchTest, GivesLongStepsTime) {
  watch_.said_hello();
  watch_.made_progress(begin_);
  sample("forward", begin_, begin_ + 20s);
  watch_.made_progress(begin_ + 20s);
  sample("forward", begin_ + 20s, begin_ + 230s);
  EXPECT_FALSE(watch_.trouble(false, begin_ + 219s)) << "ten times the longest step";
  EXPECT_TRUE(watch_.trouble(false, begin_ + 221s));
}

TEST_F(WorkerWatchTest, GivesValidationTimeAndDoesNotCountItAsAStep) {
  watch_.said_hello();
  watch_.made_progress(begin_);
  sample("validation", begin_ + 1s, begin_ + 29min);
  EXPECT_FALSE(watch_.trouble(false, begin_ + 29min));
  watch_.made_progress(begin_ + 29min);
  EXPECT_EQ(watch_.longest_gap(), 29min) << "a stop may have to wait for it";
  sample("forward", begin_ + 29min, begin_ + 31min);
  EXPECT_TRUE(watch_.trouble(false, begin_ + 29min + 62s));
}

std::function<const char*(const char*)> end_at(const char* text) {
  return [text](const char* name) { return std::string_view(name) == "SLURM_JOB_END_TIME" ? text : nullptr; };
}

TEST(TimeLimit, StopsEarlyEnoughForOneMoreStretch) {
  const TimeLimit::Clock::time_point start{1000s};
  const auto limit = time_limit_of(1h, start, end_at(nullptr));
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->name(), "--time-limit 1:00:00");
  EXPECT_FALSE(limit->is_due(start + 58min, 10s));
  EXPECT_TRUE(limit->is_due(start + 58min + 46s, 10s)) << "60 s, and one and a half of the longest gap";
  EXPECT_TRUE(limit->is_due(start + 30min, 20min));
}

TEST(TimeLimit, IsTheEarlierOfBoth) {
  const TimeLimit::Clock::time_point start{1000s};
  EXPECT_FALSE(time_limit_of(0s, start, end_at(nullptr)));
  EXPECT_FALSE(time_limit_of(0s, start, end_at("nonsense")));
  EXPECT_FALSE(time_limit_of(0s, start, end_at("999"))) << "over before the start";
  EXPECT_EQ(time_limit_of(0s, start, end_at("5000"))->name(), "SLURM's time limit");
  EXPECT_EQ(time_limit_of(1h, start, end_at("5000"))->end(), start + 1h);
  EXPECT_EQ(time_limit_of(2h, start, end_at("5000"))->end(), start + 4000s);
}

TEST(TimeLimit, AShortOneKeepsATenthInReserve) {
  const TimeLimit::Clock::time_point start{1000s};
  const auto limit = time_limit_of(20s, start, end_at(nullptr));
  EXPECT_FALSE(limit->is_due(start + 17s, 0s));
  EXPECT_TRUE(limit->is_due(start + 18s, 0s));
}

bool within(std::chrono::seconds limit, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) {
      return true;
    }
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

TEST(RunWatch, SeesARequestToStopOnce) {
  const test::TemporaryFolder folder;
  const run::RunDirectory run{folder.path()};
  const std::string token = run::claim_run(run);
  run::write_owner(run, run::this_process(""));
  {
    RunWatch watch(run, token, run::this_process(""));
    EXPECT_FALSE(watch.take_stop());
    write_file_atomically(run.stop_file(), "");
    EXPECT_TRUE(within(10s, [&] { return watch.take_stop(); }));
    EXPECT_FALSE(watch.take_stop());
    EXPECT_FALSE(std::filesystem::exists(run.stop_file()));
  }
  EXPECT_FALSE(std::filesystem::exists(run.owner_file())) << "who ends in order leaves the run free";
}

TEST(RunWatch, KeepsItsNameInTheOwnerFile) {
  const test::TemporaryFolder folder;
  const run::RunDirectory run{folder.path()};
  const std::string token = run::claim_run(run);
  run::write_owner(run,
                   run::this_process("slurm 2"));  // of a job that came at the same moment, and was fenced
  RunWatch watch(run, token, run::this_process("slurm 1"));
  EXPECT_TRUE(within(20s, [&] { return run::read_owner(run) == run::this_process("slurm 1"); }));
}

TEST(RunWatch, SeesAnotherJobTakeOver) {
  const test::TemporaryFolder folder;
  const run::RunDirectory run{folder.path()};
  const std::string token = run::claim_run(run);
  {
    RunWatch watch(run, token, run::this_process(""));
    run::claim_run(run);
    run::write_owner(run, run::this_process("slurm 2"));
    EXPECT_TRUE(within(20s, [&] { return watch.is_taken_over(); }));
  }
  EXPECT_TRUE(std::filesystem::exists(run.owner_file())) << "it is the other's";
}

}  // namespace
}  // namespace yolodist::supervise
