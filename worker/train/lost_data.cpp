// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/lost_data.h"

#include <vector>

#include "common/base/deadline.h"
#include "common/base/text.h"

namespace yolodist::train {

std::string lost_data(const Training& t) {
  const std::string lost = t.decode_failures->lost();
  const std::string mine =
      lost.empty() ? "" : cat("rank ", t.rank, " on ", t.hosts.at(static_cast<size_t>(t.rank)), ": ", lost);
  for (const std::string& text :
       comm::all_gather_strings(*t.communicator, mine, Deadline::after(peer_patience))) {
    if (!text.empty()) {
      return text;
    }
  }
  return "";
}

}  // namespace yolodist::train
