// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/mark.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace yolodist::memory {
namespace {

TEST(MarkTest, ScopesPutBackWhatWasThere) {
  const std::string outer = "model.1", inner = "model.1.cv2";
  {
    const PhaseScope phase(Phase::forward);
    EXPECT_EQ(current_mark().kind, Kind::activations);
    const LayerScope layer(1, &outer, {1, 2, 3, 4});
    {
      const LayerScope deeper(2, &inner);
      const KindScope kind(Kind::transient);
      EXPECT_EQ(current_mark().layer, 2);
      EXPECT_EQ(*current_mark().piece, inner);
      EXPECT_EQ(current_mark().shape[0], 0);
      EXPECT_EQ(current_mark().kind, Kind::transient);
      EXPECT_EQ(current_mark().phase, Phase::forward);
    }
    EXPECT_EQ(current_mark().layer, 1);
    EXPECT_EQ(*current_mark().piece, outer);
    EXPECT_EQ(current_mark().shape[3], 4);
    EXPECT_EQ(current_mark().kind, Kind::activations);
  }
  EXPECT_EQ(current_mark().phase, Phase::start);
  EXPECT_EQ(current_mark().layer, -1);
  EXPECT_EQ(current_mark().piece, nullptr);
}

TEST(MarkTest, EveryThreadHasItsOwn) {
  const PhaseScope phase(Phase::backward);
  Phase seen = Phase::backward;
  std::thread([&seen] { seen = current_mark().phase; }).join();
  EXPECT_EQ(seen, Phase::start);
}

TEST(MarkTest, OneThreadShowsItsPhase) {
  std::thread([] {
    const PhaseScope phase(Phase::validation);
    publish_phase();
    EXPECT_EQ(published_phase(), Phase::validation);
    {
      const PhaseScope deeper(Phase::loss);
      EXPECT_EQ(published_phase(), Phase::loss);
      std::thread([] { const PhaseScope unseen(Phase::checkpoint); }).join();
      EXPECT_EQ(published_phase(), Phase::loss);
    }
    EXPECT_EQ(published_phase(), Phase::validation);
  }).join();
  EXPECT_EQ(published_phase(), Phase::start);
}

TEST(MarkTest, EveryPhaseAndKindHasANameOfItsOwn) {
  std::set<std::string> phases, kinds;
  for (int i = 0; i < phase_count; ++i) {
    phases.insert(name_of(static_cast<Phase>(i)));
  }
  for (int i = 0; i < kind_count; ++i) {
    kinds.insert(name_of(static_cast<Kind>(i)));
  }
  EXPECT_EQ(phases.size(), size_t{phase_count});
  EXPECT_EQ(kinds.size(), size_t{kind_count});
}

}  // namespace
}  // namespace yolodist::memory
