// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/roll_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/text.h"
#include "tests/support/mpi_main.h"

namespace yolodist::mpi {
namespace {

using namespace std::chrono_literals;

Session& session() {
  return test::session();
}

const Patience patience{20s, "a test", {}};

TEST(RollCall, RankZeroHearsEveryRank) {
  // More than what MPI sends before the other side asks for it.
  for (const size_t bytes : {size_t{0}, size_t{10}, size_t{300000}}) {
    const auto text_of = [&](int rank) {
      return cat(rank, std::string(bytes, static_cast<char>('a' + rank)));
    };
    const std::vector<std::string> texts = call_roll(session(), text_of(session().rank()), patience);
    if (session().rank() != 0) {
      EXPECT_TRUE(texts.empty());
      continue;
    }
    ASSERT_EQ(texts.size(), static_cast<size_t>(session().size()));
    for (int rank = 0; rank < session().size(); ++rank) {
      EXPECT_EQ(texts[static_cast<size_t>(rank)], text_of(rank));
    }
  }
}

TEST(Links, OfOneHostHaveOneClock) {
  const std::vector<PeerLink> links = measure_links(session(), patience);
  if (session().rank() != 0) {
    EXPECT_TRUE(links.empty());
    return;
  }
  ASSERT_EQ(links.size(), static_cast<size_t>(session().size()));
  EXPECT_EQ(links[0].bytes_per_second, 0);
  for (size_t rank = 1; rank < links.size(); ++rank) {
    EXPECT_GT(links[rank].bytes_per_second, 0);
    EXPECT_GT(links[rank].round_trip_seconds, 0);
    EXPECT_LE(std::abs(links[rank].clock_ahead_seconds), links[rank].round_trip_seconds)
        << "good to half a round trip";
  }
}

TEST(AllReduce, IsMeasuredOnEveryRankAlike) {
  for (const int64_t bytes : {int64_t{4}, int64_t{8} << 20}) {
    const double seconds = measure_all_reduce(session(), bytes, patience);
    EXPECT_GT(seconds, 0);
    EXPECT_LT(seconds, 20);
  }
}

}  // namespace
}  // namespace yolodist::mpi
