// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "launcher/supervise/launcher_messages.h"
#include "launcher/supervise/signals.h"

namespace yolodist::supervise {
namespace {

using testing::HasSubstr;

WorkerRecord record() {
  WorkerRecord record;
  record.rank = 2;
  record.host = "node7";
  record.said_hello = true;
  record.last_progress = {3, 120, 60, ""};
  return record;
}

TEST(ReportOfEnd, AnOrderlyEndIsNoFailure) {
  WorkerRecord r = record();
  r.done = ExitCode::ok;
  EXPECT_FALSE(report_of_end(r, {0, 0}).has_value());
  r.done = ExitCode::state_saved;
  EXPECT_FALSE(report_of_end(r, {75, 0}).has_value());
}

TEST(ReportOfEnd, TheWorkersOwnReportWins) {
  WorkerRecord r = record();
  r.own_report = run::FailureReport{};
  r.own_report->what = "labels/7.txt: bad";
  r.own_report->exit_code = 65;
  EXPECT_EQ(report_of_end(r, {139, SIGSEGV})->what, "labels/7.txt: bad");
}

TEST(ReportOfEnd, ASignalIsNamedWithThePlace) {
  const run::FailureReport report = *report_of_end(record(), {137, SIGKILL});
  EXPECT_EQ(report.exit_code, 137);
  EXPECT_EQ(report.rank, 2);
  EXPECT_EQ(report.host, "node7");
  EXPECT_EQ(report.what, "the worker was killed by SIGKILL in epoch 3, iteration 120");
  EXPECT_THAT(report.hint, HasSubstr("host memory"));
  EXPECT_GT(report.time_ns, 0);
}

TEST(ReportOfEnd, AWordlessExitIsAFailureEvenWithZero) {
  EXPECT_EQ(report_of_end(record(), {3, 0})->exit_code, 3);
  EXPECT_EQ(report_of_end(record(), {0, 0})->exit_code, to_int(ExitCode::internal));
  WorkerRecord r = record();
  r.done = ExitCode::ok;
  EXPECT_EQ(report_of_end(r, {139, SIGSEGV})->exit_code, 139) << "it crashed after it was done";
  r.said_hello = false;
  EXPECT_THAT(report_of_end(r, {127, 0})->what, HasSubstr("while starting"));
}

TEST(ReportOfError, KeepsCodeAndHint) {
  const run::FailureReport report = report_of_error(record(), StorageError("disk full", "Free some."));
  EXPECT_EQ(report.exit_code, 74);
  EXPECT_EQ(report.what, "disk full");
  EXPECT_EQ(report.hint, "Free some.");
}

TEST(LauncherMessages, ReadBackAsWritten) {
  run::FailureReport report = *report_of_end(record(), {137, SIGKILL});
  LauncherEnvelope envelope = decode_launcher_message(encode(6, PeerFailed{report}));
  EXPECT_EQ(envelope.attempt, 6);
  EXPECT_EQ(std::get<PeerFailed>(envelope.message).report, report);

  PeerEnded ended;
  ended.exit_code = 75;
  ended.channels[1].started = 9;
  ended.channels[1].recent.resize(2);
  ended.channels[1].recent[1].sequence = 8;
  ended.channels[1].recent[1].channel = protocol::Channel::gradients;
  envelope = decode_launcher_message(encode(6, ended));
  const PeerEnded& read = std::get<PeerEnded>(envelope.message);
  EXPECT_EQ(read.exit_code, 75);
  EXPECT_FALSE(read.report.has_value());
  EXPECT_EQ(read.channels[1].started, 9);
  EXPECT_EQ(read.channels[1].recent, ended.channels[1].recent);
  EXPECT_EQ(read.channels[0].started, 0);
}

TEST(LauncherMessages, OfAnotherBuildAreRefused) {
  EXPECT_THROW(decode_launcher_message("{}"), InternalError);
  EXPECT_THROW(decode_launcher_message("nonsense"), InternalError);
  EXPECT_THROW(decode_launcher_message(R"({"v":99,"attempt":1,"type":"failed"})"), InternalError);
}

TEST(SignalQueue, DeliversSignalsOneByOne) {
  SignalQueue signals(SIGHUP);
  EXPECT_FALSE(signals.next().has_value());
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGINT);
  kill(getpid(), SIGHUP);
  pollfd descriptor = {signals.descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&descriptor, 1, 5000), 1);
  std::vector<int> got;
  while (const std::optional<int> number = signals.next()) {
    got.push_back(*number);
  }
  EXPECT_THAT(got, testing::UnorderedElementsAre(SIGUSR1, SIGINT, SIGHUP));
}

}  // namespace
}  // namespace yolodist::supervise
