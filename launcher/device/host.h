// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace yolodist::device {

// Core numbers, ascending.
using Cores = std::vector<int>;

Bytes host_memory();

// The cores on which this process (or another one) may run; nothing if that process cannot be asked.
Cores allowed_cores();
std::optional<Cores> allowed_cores_of(int pid);
// Lets this thread, and what it starts, run on exactly these cores. False if the kernel does not allow it.
bool set_allowed_cores(const Cores& cores);

Cores union_of(const Cores& a, const Cores& b);
bool contains(const Cores& cores, const Cores& subset);

// "0-3,8" and back. Reading throws InternalError; it only sees what cores_text wrote.
std::string cores_text(const Cores& cores);
Cores cores_from_text(std::string_view text);

// Compute threads of each of `local_ranks` ranks that share `cores` (the union of their masks): all of them,
// divided, at least one.
int threads_a_rank(const Cores& cores, int local_ranks);

}  // namespace yolodist::device
