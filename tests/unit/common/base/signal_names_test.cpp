// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/signal_names.h"

#include <gtest/gtest.h>

#include <csignal>

#include "common/base/error.h"

namespace yolodist {
namespace {

TEST(SignalNames, AreThoseOfTheManual) {
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  EXPECT_EQ(signal_name(SIGSEGV), "SIGSEGV");
  EXPECT_EQ(signal_name(SIGRTMIN + 2), "SIGRTMIN+2");
  EXPECT_EQ(signal_name(0), "signal 0");
}

TEST(StopSignal, TakesWhatASchedulerMaySend) {
  EXPECT_EQ(stop_signal_number("SIGHUP"), SIGHUP);
  EXPECT_EQ(stop_signal_number("xcpu"), SIGXCPU);
  EXPECT_EQ(stop_signal_number("RTMIN"), SIGRTMIN);
  EXPECT_EQ(stop_signal_number("SIGRTMIN+3"), SIGRTMIN + 3);
}

TEST(StopSignal, RefusesWhatMeansSomethingElse) {
  for (const char* name :
       {"", "KILL", "SIGSTOP", "CHLD", "CONT", "SEGV", "RTMIN+", "RTMIN+999", "RTMIN-1", "42", "USR3"}) {
    EXPECT_THROW(stop_signal_number(name), UsageError) << name;
  }
}

}  // namespace
}  // namespace yolodist
