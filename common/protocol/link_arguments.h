// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::protocol {

// How the launcher tells its worker where the link is: the worker's command line.
struct LinkArguments {
  int link_fd = -1;    // socket pair
  int memory_fd = -1;  // memfd
  int attempt = 0;
  int launcher_pid = 0;
  bool prefixed = false;  // --worker-prefix: the parent may be gdb or nsys, not the launcher
};

// Throws UsageError "yolodist-worker is started by yolodist" when something is missing.
LinkArguments parse_link_arguments(int argc, const char* const* argv);

// The words that parse_link_arguments reads.
std::vector<std::string> to_words(const LinkArguments& arguments);

}  // namespace yolodist::protocol
