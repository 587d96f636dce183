// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

sigset_t watched(int also) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&set, number);
  }
  if (also != 0) {
    sigaddset(&set, also);
  }
  return set;
}

}  // namespace

SignalQueue::SignalQueue(int also) {
  const sigset_t set = watched(also);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  descriptor_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor_ < 0) {
    throw InternalError(cat("signalfd: ", errno_text(errno)));
  }
}

SignalQueue::~SignalQueue() {
  // They stay blocked: the exit code is settled, and a starter that ends all ranks once the first has ended
  // (srun
  // --kill-on-bad-exit) must not make 128+15 of it.
  close(descriptor_);
}

std::optional<int> SignalQueue::next() {
  signalfd_siginfo info = {};
  if (read(descriptor_, &info, sizeof(info)) != sizeof(info)) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

}  // namespace yolodist::supervise
