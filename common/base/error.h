// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/base/exit_code.h"

namespace yolodist {

// What every exception of ours is. The message says what happened and where (file, line, rank, layer);
// the hint, if any, says what to do. `exit_code` is what the program returns when nobody handles it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode exit_code, const std::string& message, std::string hint = "");

  ExitCode exit_code() const { return exit_code_; }
  const std::string& hint() const { return hint_; }
  // "message. hint" on one line.
  std::string one_line() const;

 private:
  ExitCode exit_code_;
  std::string hint_;
};

// One class for each way the world can misbehave, so that a caller can catch the kind it has an answer to.
template <ExitCode Code>
class TypedError : public Error {
 public:
  explicit TypedError(const std::string& message, std::string hint = "") : Error(Code, message, std::move(hint)) {}
};

using UsageError = TypedError<ExitCode::usage>;
using DataError = TypedError<ExitCode::data>;
using DeviceUnavailable = TypedError<ExitCode::no_device>;
using InternalError = TypedError<ExitCode::internal>;
using OutOfMemory = TypedError<ExitCode::out_of_memory>;
using StorageError = TypedError<ExitCode::storage>;
using PeerLost = TypedError<ExitCode::peer_lost>;
using Diverged = TypedError<ExitCode::diverged>;

// Throws InternalError naming the place when `claim` does not hold: for what only a bug can break.
void check(bool claim, std::string_view what, std::source_location where = std::source_location::current());

// `strerror` of an errno value, thread-safe.
std::string errno_text(int error_number);

}  // namespace yolodist
