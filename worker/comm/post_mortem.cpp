// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/post_mortem.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/error.h"

namespace yolodist::comm {

PostMortem::PostMortem(Communicator& host)
    : host_(host), memory_(host.allocate_shared(bytes_a_rank * static_cast<size_t>(host.world_size()))) {}

std::vector<CollectiveTrace> PostMortem::gather(const CollectiveTrace& mine, Deadline deadline) {
  if (is_broken_) {
    throw PeerLost("the other ranks did not say before what they were doing");
  }
  is_broken_ = true;  // until it has worked: a reduction that was given up may still write to the memory
  nlohmann::json document = to_json(mine);
  std::string text = document.dump();
  while (text.size() > bytes_a_rank) {
    document.erase(document.begin());
    text = document.dump();
  }
  // Everybody adds its text to the others' zeros.
  std::fill(memory_.begin(), memory_.end(), std::byte{0});
  std::memcpy(memory_.data() + bytes_a_rank * static_cast<size_t>(host_.rank()), text.data(), text.size());
  host_.all_reduce(memory_.data(), memory_.size() / sizeof(int64_t), Dtype::i64, Reduction::sum)
      ->wait(deadline);

  std::vector<CollectiveTrace> traces;
  for (size_t offset = 0; offset < memory_.size(); offset += bytes_a_rank) {
    const char* begin = reinterpret_cast<const char*>(memory_.data() + offset);
    const std::string of_rank(begin, std::find(begin, begin + bytes_a_rank, '\0'));
    try {
      traces.push_back(trace_from_json(nlohmann::json::parse(of_rank)));
    } catch (const nlohmann::json::exception& failure) {
      throw InternalError(std::string("a rank's trace cannot be read: ") + failure.what());
    }
  }
  is_broken_ = false;
  return traces;
}

}  // namespace yolodist::comm
