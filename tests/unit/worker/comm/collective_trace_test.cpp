// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/collective_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/thrown.h"
#include "worker/comm/local_communicator.h"
#include "worker/comm/post_mortem.h"

namespace yolodist::comm {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

CollectiveRecord reduction(int64_t bytes, const std::string& tag = "") {
  return {.kind = CollectiveKind::all_reduce, .bytes = bytes, .detail = "f32 sum", .tag = tag};
}

CollectiveRecord broadcast(int64_t bytes) {
  return {.kind = CollectiveKind::broadcast, .bytes = bytes, .detail = "from rank 0"};
}

CollectiveTrace trace_of(const std::vector<CollectiveRecord>& records) {
  CollectiveTrace trace;
  for (const CollectiveRecord& record : records) {
    trace.add(record);
  }
  return trace;
}

TEST(CollectiveTrace, KeepsTheLastAndCountsAll) {
  CollectiveTrace trace;
  std::vector<int64_t> keys;
  for (int i = 0; i < 20; ++i) {
    keys.push_back(trace.add(reduction(i)));
  }
  trace.settle(keys[19], CollectiveRecord::State::failed);
  trace.settle(keys[4], CollectiveRecord::State::done);
  trace.settle(keys[3], CollectiveRecord::State::done);  // not kept any more
  ASSERT_EQ(trace.records().size(), CollectiveTrace::kept);
  EXPECT_EQ(trace.records().front().sequence, 4);
  EXPECT_EQ(trace.records().front().state, CollectiveRecord::State::done);
  EXPECT_EQ(trace.records().back().sequence, 19);
  EXPECT_EQ(trace.records().back().state, CollectiveRecord::State::failed);
  EXPECT_EQ(trace.records()[1].state, CollectiveRecord::State::starting);
}

TEST(CollectiveTrace, NumbersNoExchange) {
  CollectiveTrace trace =
      trace_of({reduction(4), {.kind = CollectiveKind::exchange, .bytes = 8}, reduction(4)});
  EXPECT_EQ(trace.records()[1].sequence, 1);
  EXPECT_EQ(trace.records()[2].sequence, 1);
}

TEST(CollectiveTrace, ReadsWhatItWrites) {
  CollectiveTrace trace = trace_of({reduction(4 << 20, "bucket 3"), broadcast(9)});
  trace.settle(0, CollectiveRecord::State::done);
  const nlohmann::json document = to_json(trace);
  EXPECT_EQ(to_json(trace_from_json(document)), document);
  EXPECT_EQ(document[0].at("kind"), "all_reduce");
  EXPECT_EQ(document[0].at("state"), "done");
  EXPECT_EQ(to_string(trace.records()[0]), "#0 all_reduce of 4.00 MiB (f32 sum, bucket 3)");
}

TEST(CompareTraces, NamesTheFirstCallThatDiffers) {
  const std::string verdict =
      compare({trace_of({reduction(8), reduction(8), broadcast(3)}), trace_of({reduction(8), broadcast(3)}),
               trace_of({reduction(8), reduction(8), broadcast(3)})});
  EXPECT_THAT(verdict, HasSubstr("out of step"));
  EXPECT_THAT(verdict, HasSubstr("ranks 0 and 2"));
  EXPECT_THAT(verdict, HasSubstr("at #1 all_reduce of 8 B (f32 sum)"));
  EXPECT_THAT(verdict, HasSubstr("rank 1"));
  EXPECT_THAT(verdict, HasSubstr("at #1 broadcast of 3 B (from rank 0)"));
}

TEST(CompareTraces, NamesWhoIsBehind) {
  const std::string verdict =
      compare({trace_of({reduction(8), broadcast(3)}), trace_of({reduction(8)}), trace_of({})});
  EXPECT_THAT(verdict, HasSubstr("some ranks are behind"));
  EXPECT_THAT(verdict, HasSubstr("rank 1 is at #0 all_reduce"));
  EXPECT_THAT(verdict, HasSubstr("rank 2 at its first collective"));
}

TEST(CompareTraces, SaysThatAllAreInStep) {
  EXPECT_EQ(compare({trace_of({reduction(8, "bucket 0")}), trace_of({reduction(8, "bucket 0")})}),
            "the ranks are in step: ranks 0 and 1 are at #0 all_reduce of 8 B (f32 sum, bucket 0)");
}

TEST(PostMortem, GathersTheTracesOfAllRanksAndCanDoSoAgain) {
  run_local_ranks(3, [](Communicator& c) {
    PostMortem post_mortem(c);
    for (int round = 0; round < 2; ++round) {
      CollectiveTrace mine;
      for (int i = 0; i < 16; ++i) {
        mine.add(reduction(1000 * c.rank() + round, std::string(30, 'x')));
      }
      const std::vector<CollectiveTrace> all = post_mortem.gather(mine, Deadline::after(20s));
      ASSERT_EQ(all.size(), 3U);
      for (int rank = 0; rank < 3; ++rank) {
        const auto& records = all[static_cast<size_t>(rank)].records();
        ASSERT_EQ(records.size(), 16U);
        EXPECT_EQ(records.back().bytes, 1000 * rank + round);
      }
    }
  });
}

TEST(PostMortem, LeavesOutTheOldestOfWhatIsTooLong) {
  run_local_ranks(1, [](Communicator& c) {
    CollectiveTrace mine;
    for (int i = 0; i < 16; ++i) {
      mine.add(reduction(i, std::string(2000, 'x')));
    }
    const auto all = PostMortem(c).gather(mine, Deadline::after(20s));
    EXPECT_LT(all.at(0).records().size(), 5U);
    EXPECT_EQ(all.at(0).records().back().bytes, 15);
  });
}

TEST(PostMortem, IsOverWhenARankDoesNotCome) {
  const auto communicators = make_local_communicators(2);
  PostMortem post_mortem(*communicators[0]);
  EXPECT_THROW(post_mortem.gather({}, Deadline::after(20ms)), PeerLost);
  EXPECT_THAT(test::thrown<PeerLost>([&] { post_mortem.gather({}, Deadline::after(20s)); }),
              HasSubstr("did not say before"));
}

}  // namespace
}  // namespace yolodist::comm
