// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "worker/comm/communicator.h"

namespace yolodist::train {

// Something that has to be the same on every rank before training begins, as few words as tell a difference.
struct Shared {
  std::string what;   // "the list of training pictures"
  std::string value;  // "16 (9f3c…)"
};

// A short text that differs where the texts do.
std::string fingerprint(const std::vector<std::string>& texts);
Shared shared_list(const std::string& what, const std::vector<std::filesystem::path>& files);

// Compares it over all ranks. Collective. Throws the same DataError on every rank, which names what differs,
// both values, and the ranks and hosts that differ from rank 0.
void require_same(comm::Communicator& communicator, const std::vector<Shared>& shared);

}  // namespace yolodist::train
