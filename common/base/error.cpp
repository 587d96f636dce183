// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/error.h"

#include <system_error>

#include "common/base/text.h"

namespace yolodist {

Error::Error(ExitCode exit_code, const std::string& message, std::string hint)
    : std::runtime_error(message), exit_code_(exit_code), hint_(std::move(hint)) {}

std::string Error::one_line() const {
  if (hint_.empty()) {
    return what();
  }
  const std::string_view message = what();
  const bool ends_sentence = !message.empty() && (message.back() == '.' || message.back() == '?');
  return cat(message, ends_sentence ? " " : ". ", hint_);
}

void check(bool claim, std::string_view what, std::source_location where) {
  if (!claim) {
    throw InternalError(cat("internal check failed: ", what, " (", where.file_name(), ":", where.line(), ")"),
                        "This is a bug in yolodist; please report it with this line.");
  }
}

std::string errno_text(int error_number) {
  return std::generic_category().message(error_number);
}

}  // namespace yolodist
