// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/communicator.h"

#include <algorithm>

#include "common/base/error.h"

namespace yolodist::comm {

size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return sizeof(float);
    case Dtype::f64:
      return sizeof(double);
    case Dtype::i64:
      return sizeof(int64_t);
  }
  throw InternalError("unknown dtype in size_of");
}

std::vector<std::string> all_gather_strings(Communicator& communicator, const std::string& mine,
                                            Deadline deadline) {
  const auto world_size = static_cast<size_t>(communicator.world_size());
  const auto length = static_cast<int64_t>(mine.size());
  std::vector<int64_t> lengths(world_size);
  communicator.all_gather(&length, sizeof(length), lengths.data())->wait(deadline);

  const auto longest = static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end()));
  std::vector<std::string> texts(world_size);
  if (longest == 0) {
    return texts;
  }
  std::string padded = mine;
  padded.resize(longest);
  std::string gathered(longest * world_size, '\0');
  communicator.all_gather(padded.data(), longest, gathered.data())->wait(deadline);
  for (size_t i = 0; i < world_size; ++i) {
    texts[i].assign(gathered, i * longest, static_cast<size_t>(lengths[i]));
  }
  return texts;
}

void all_reduce_sum(Communicator& communicator, std::span<int64_t> values, Deadline deadline) {
  communicator.all_reduce(values.data(), values.size(), Dtype::i64, Reduction::sum)->wait(deadline);
}

void all_reduce_sum(Communicator& communicator, std::span<double> values, Deadline deadline) {
  communicator.all_reduce(values.data(), values.size(), Dtype::f64, Reduction::sum)->wait(deadline);
}

void all_reduce_max(Communicator& communicator, std::span<int64_t> values, Deadline deadline) {
  communicator.all_reduce(values.data(), values.size(), Dtype::i64, Reduction::max)->wait(deadline);
}

}  // namespace yolodist::comm
