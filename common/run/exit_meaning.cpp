// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/exit_meaning.h"

#include <csignal>
#include <cstring>

#include "common/base/exit_code.h"
#include "common/base/text.h"

namespace yolodist::run {
namespace {

constexpr int signal_base = 128, last_signal = 64;

ExitMeaning of_signal(int number) {
  const char* abbreviation = sigabbrev_np(number);
  ExitMeaning meaning{abbreviation == nullptr ? cat("ended by signal ", number)
                                              : cat("ended by signal ", number, " (SIG", abbreviation, ")"),
                      "Resume; if it happens again at the same place, report it.", true};
  switch (number) {
    case SIGKILL:
      meaning.what += ": by kill -9, by the scheduler, or by the kernel because the host's memory ran out";
      meaning.what_now =
          "Look at dmesg or the job's accounting for an out-of-memory kill; then give the job more host "
          "memory, or "
          "use fewer --workers and no --cache ram. Then resume.";
      break;
    case SIGBUS:
      meaning.what += ": most often /dev/shm or a full disk behind a mapped file";
      meaning.what_now =
          "Make /dev/shm larger (docker: --shm-size), or point --cache-dir at a disk with room; then resume.";
      break;
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
      meaning.what += ": somebody, or the scheduler, ended it";
      meaning.what_now = "Resume.";
      break;
    case SIGSEGV:
    case SIGABRT:
    case SIGILL:
    case SIGFPE:
      meaning.what += ": the program or a library crashed";
      meaning.what_now =
          "Resume, and report it with the logs; a second time at the same place means a bug or broken "
          "hardware.";
      break;
    default:
      break;
  }
  return meaning;
}

}  // namespace

ExitMeaning meaning_of(int exit_code) {
  switch (static_cast<ExitCode>(exit_code)) {
    case ExitCode::ok:
      return {"finished", "Nothing is to be done.", false};
    case ExitCode::usage:
      return {"a wrong option or configuration", "Correct what the message names.", false};
    case ExitCode::data:
      return {"data set, labels, weights or model file cannot be read",
              "Correct the file that the message names.", false};
    case ExitCode::no_device:
      return {"no device, driver or program to run on", "See yolodist doctor.", false};
    case ExitCode::internal:
      return {"a bug of yolodist", "Please report it with the run directory's logs.", true};
    case ExitCode::out_of_memory:
      return {"out of memory, and no remedy was left that keeps the result",
              "Resume with one of the remedies, or on a larger device.", false};
    case ExitCode::storage:
      return {"the disk is full or cannot be written, or there is no room for shared memory",
              "Make room, then resume.", true};
    case ExitCode::state_saved:
      return {"stopped on request, with its state saved", "Resume.", true};
    case ExitCode::peer_lost:
      return {"another rank did not answer in time", "Look at the other ranks' logs and hosts, then resume.",
              true};
    case ExitCode::diverged:
      return {"the loss is no longer finite",
              "Lower lr0 or the warm-up's rates, or look at the labels; then train anew.", false};
    case ExitCode::skipped_test:
      break;
  }
  if (exit_code > signal_base && exit_code <= signal_base + last_signal) {
    return of_signal(exit_code - signal_base);
  }
  return {cat("exit code ", exit_code, ", which yolodist does not use"),
          "It came from a starter or a shell: look at the end of the job's output.", true};
}

}  // namespace yolodist::run
