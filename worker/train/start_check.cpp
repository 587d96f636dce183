// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/start_check.h"

#include <nlohmann/json.hpp>
#include <span>

#include "common/base/error.h"
#include "common/base/fnv1a.h"
#include "common/base/host_name.h"
#include "common/base/text.h"
#include "worker/train/training.h"

namespace yolodist::train {

using nlohmann::json;

std::string fingerprint(const std::vector<std::string>& texts) {
  uint64_t hash = fnv1a_start;
  for (const std::string& text : texts) {
    const std::string line = cat(text, '\n');
    hash = fnv1a(std::as_bytes(std::span(line)), hash);
  }
  return printf_string("%016llx", static_cast<unsigned long long>(hash));
}

Shared shared_list(const std::string& what, const std::vector<std::filesystem::path>& files) {
  std::vector<std::string> names;
  for (const std::filesystem::path& file : files) {
    names.push_back(file.string());
  }
  return {what, cat(files.size(), " (", fingerprint(names), ")")};
}

void require_same(comm::Communicator& communicator, const std::vector<Shared>& shared) {
  json mine = {{"host", host_name()}, {"values", json::array()}};
  for (const Shared& one : shared) {
    mine["values"].push_back(one.value);
  }
  const std::string text = mine.dump(-1, ' ', false, json::error_handler_t::replace);
  std::vector<json> all;
  for (const std::string& other :
       comm::all_gather_strings(communicator, text, Deadline::after(peer_patience))) {
    all.push_back(json::parse(other));
  }
  std::vector<std::string> differences;
  for (size_t i = 0; i < shared.size(); ++i) {
    std::vector<std::string> others;
    for (size_t rank = 1; rank < all.size(); ++rank) {
      const std::string value = all[rank]["values"].at(i);
      if (value != all[0]["values"].at(i)) {
        others.push_back(cat("rank ", rank, " on ", all[rank]["host"].get<std::string>(), ": ", value));
      }
    }
    if (!others.empty()) {
      differences.push_back(cat(shared[i].what, " differs: rank 0 on ", all[0]["host"].get<std::string>(),
                                ": ", all[0]["values"].at(i).get<std::string>(), ", ", join(others, ", ")));
    }
  }
  if (!differences.empty()) {
    throw DataError(
        join(differences, "; "),
        "All hosts must see the same files and run the same yolodist: put them on a file system that "
        "all share, or copy them again.");
  }
}

}  // namespace yolodist::train
