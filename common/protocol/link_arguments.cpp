// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/protocol/link_arguments.h"

#include <charconv>
#include <string>
#include <string_view>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::protocol {
namespace {

constexpr const char* run_the_launcher = "Run yolodist, which finds its worker beside itself.";

int to_number(std::string_view option, std::string_view text) {
  int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || value < 0) {
    throw UsageError(cat("yolodist-worker: ", option, " '", text, "' is not a number"), run_the_launcher);
  }
  return value;
}

}  // namespace

LinkArguments parse_link_arguments(int argc, const char* const* argv) {
  LinkArguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--prefixed") {
      arguments.prefixed = true;
      continue;
    }
    int* target = word == "--link-fd"        ? &arguments.link_fd
                  : word == "--memory-fd"    ? &arguments.memory_fd
                  : word == "--attempt"      ? &arguments.attempt
                  : word == "--launcher-pid" ? &arguments.launcher_pid
                                             : nullptr;
    if (target == nullptr || i + 1 == argc) {
      throw UsageError(cat("yolodist-worker does not know '", word, "'"), run_the_launcher);
    }
    *target = to_number(word, argv[++i]);
  }
  if (arguments.link_fd < 0 || arguments.memory_fd < 0 || arguments.launcher_pid <= 0) {
    throw UsageError("yolodist-worker is started by yolodist, not by hand", run_the_launcher);
  }
  return arguments;
}

std::vector<std::string> to_words(const LinkArguments& arguments) {
  std::vector<std::string> words = {"--link-fd",      std::to_string(arguments.link_fd),
                                    "--memory-fd",    std::to_string(arguments.memory_fd),
                                    "--attempt",      std::to_string(arguments.attempt),
                                    "--launcher-pid", std::to_string(arguments.launcher_pid)};
  if (arguments.prefixed) {
    words.push_back("--prefixed");
  }
  return words;
}

}  // namespace yolodist::protocol
