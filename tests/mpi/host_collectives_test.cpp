// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/host_collectives.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "common/base/error.h"
#include "launcher/mpi/control_channel.h"
#include "tests/support/mpi_main.h"

namespace yolodist::mpi {
namespace {

using namespace std::chrono_literals;
using protocol::Channel;
using protocol::Collective;
using protocol::CollectiveKind;
using protocol::Dtype;
using protocol::Reduction;

int rank() {
  return test::session().rank();
}
int size() {
  return test::session().size();
}

std::vector<FinishedCollective> finish(HostCollectives& collectives) {
  std::vector<FinishedCollective> all;
  const Deadline deadline = Deadline::after(20s);
  while (collectives.is_busy() && !deadline.has_passed()) {
    for (const FinishedCollective& finished : collectives.test()) {
      all.push_back(finished);
    }
    std::this_thread::sleep_for(50us);
  }
  EXPECT_FALSE(collectives.is_busy()) << "not complete within 20 s";
  return all;
}

template <typename T>
std::byte* bytes(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

Collective reduce(int64_t sequence, size_t count, Dtype dtype, Reduction reduction = Reduction::sum,
                  Channel channel = Channel::gradients) {
  Collective c;
  c.channel = channel;
  c.sequence = sequence;
  c.count = static_cast<int64_t>(count);
  c.dtype = dtype;
  c.reduction = reduction;
  return c;
}

Collective move(int64_t sequence, CollectiveKind kind, size_t count, int root = 0) {
  Collective c;
  c.sequence = sequence;
  c.kind = kind;
  c.count = static_cast<int64_t>(count);
  c.root = root;
  return c;
}

// Element i on rank r is (i + 1) * (r + 1); all ranks together give (i + 1) * n (n + 1) / 2.
template <typename T>
std::vector<T> contribution(size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<T>(i + 1) * static_cast<T>(rank() + 1);
  }
  return values;
}

template <typename T>
std::vector<T> total(size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<T>(i + 1) * static_cast<T>(size() * (size() + 1) / 2);
  }
  return values;
}

TEST(HostCollectives, SumsEveryType) {
  HostCollectives collectives(test::session());
  std::vector<float> f32 = contribution<float>(1000);
  std::vector<double> f64 = contribution<double>(100003);
  std::vector<int64_t> i64 = contribution<int64_t>(1);
  collectives.start(reduce(0, f32.size(), Dtype::f32), bytes(f32));
  collectives.start(reduce(1, f64.size(), Dtype::f64), bytes(f64));
  collectives.start(reduce(2, i64.size(), Dtype::i64), bytes(i64));
  EXPECT_EQ(finish(collectives).size(), 3u);
  EXPECT_EQ(f32, total<float>(1000));
  EXPECT_EQ(f64, total<double>(100003));
  EXPECT_EQ(i64, total<int64_t>(1));
}

TEST(HostCollectives, TakesMaximumAndMinimum) {
  HostCollectives collectives(test::session());
  std::vector<int64_t> largest = {rank(), -rank()}, smallest = largest;
  collectives.start(reduce(0, 2, Dtype::i64, Reduction::max), bytes(largest));
  collectives.start(reduce(1, 2, Dtype::i64, Reduction::min), bytes(smallest));
  finish(collectives);
  EXPECT_EQ(largest, (std::vector<int64_t>{size() - 1, 0}));
  EXPECT_EQ(smallest, (std::vector<int64_t>{0, 1 - size()}));
}

TEST(HostCollectives, GathersInRankOrderInPlace) {
  HostCollectives collectives(test::session());
  constexpr size_t count = 4099;
  std::vector<unsigned char> gathered(count * static_cast<size_t>(size()), 0);
  std::fill_n(gathered.begin() + static_cast<std::ptrdiff_t>(count) * rank(), count,
              static_cast<unsigned char>(rank() + 1));
  collectives.start(move(0, CollectiveKind::all_gather, count), bytes(gathered));
  finish(collectives);
  for (size_t i = 0; i < gathered.size(); ++i) {
    ASSERT_EQ(gathered[i], i / count + 1) << i;
  }
}

TEST(HostCollectives, BroadcastsFromEveryRank) {
  HostCollectives collectives(test::session());
  for (int root = 0; root < size(); ++root) {
    std::vector<int> values(5000, rank() == root ? root + 100 : -1);
    collectives.start(move(root, CollectiveKind::broadcast, values.size() * sizeof(int), root),
                      bytes(values));
    finish(collectives);
    EXPECT_EQ(values, std::vector<int>(5000, root + 100));
  }
}

TEST(HostCollectives, CutsWhatIsTooLargeForOneMessage) {
  HostCollectives collectives(test::session(),
                              {.segment_bytes = 40, .most_segments = 2, .largest_gather_bytes = 7});
  std::vector<double> values = contribution<double>(24);
  collectives.start(reduce(0, values.size(), Dtype::f64), bytes(values));
  std::vector<double> more = contribution<double>(33);
  collectives.start(reduce(1, more.size(), Dtype::f64), bytes(more));
  constexpr size_t count = 17;  // two whole blocks and a rest
  std::vector<unsigned char> gathered(count * static_cast<size_t>(size()), 0);
  std::fill_n(gathered.begin() + static_cast<std::ptrdiff_t>(count) * rank(), count,
              static_cast<unsigned char>(rank() + 1));
  collectives.start(move(0, CollectiveKind::all_gather, count), bytes(gathered));
  std::vector<unsigned char> sent(97, static_cast<unsigned char>(rank()));
  collectives.start(move(1, CollectiveKind::broadcast, sent.size(), size() - 1), bytes(sent));
  finish(collectives);
  EXPECT_EQ(values, total<double>(24));
  EXPECT_EQ(more, total<double>(33));
  for (size_t i = 0; i < gathered.size(); ++i) {
    ASSERT_EQ(gathered[i], i / count + 1) << i;
  }
  EXPECT_EQ(sent, std::vector<unsigned char>(97, static_cast<unsigned char>(size() - 1)));
}

TEST(HostCollectives, StartBySequenceNotByArrival) {
  HostCollectives collectives(test::session());
  std::vector<int64_t> zero = contribution<int64_t>(10), one = contribution<int64_t>(500);
  if (rank() % 2 == 0) {
    collectives.start(reduce(1, one.size(), Dtype::i64), bytes(one));
    EXPECT_FALSE(collectives.is_busy()) << "number 1 has to wait for number 0";
    collectives.start(reduce(0, zero.size(), Dtype::i64), bytes(zero));
  } else {
    collectives.start(reduce(0, zero.size(), Dtype::i64), bytes(zero));
    collectives.start(reduce(1, one.size(), Dtype::i64), bytes(one));
  }
  EXPECT_EQ(finish(collectives).size(), 2u);
  EXPECT_EQ(zero, total<int64_t>(10));
  EXPECT_EQ(one, total<int64_t>(500));
}

TEST(HostCollectives, ChannelsDoNotMindEachOther) {
  HostCollectives collectives(test::session());
  std::vector<float> large = contribution<float>(200000), small = contribution<float>(3);
  const Collective a = reduce(0, large.size(), Dtype::f32, Reduction::sum, Channel::gradients);
  const Collective b = reduce(0, small.size(), Dtype::f32, Reduction::sum, Channel::small);
  if (rank() % 2 == 0) {
    collectives.start(a, bytes(large));
    collectives.start(b, bytes(small));
  } else {
    collectives.start(b, bytes(small));
    collectives.start(a, bytes(large));
  }
  finish(collectives);
  EXPECT_EQ(large, total<float>(200000));
  EXPECT_EQ(small, total<float>(3));
}

TEST(HostCollectives, RefusesASequenceNumberTwice) {
  HostCollectives collectives(test::session());
  std::vector<float> values(4);
  collectives.start(reduce(0, 4, Dtype::f32), bytes(values));
  EXPECT_THROW(collectives.start(reduce(0, 4, Dtype::f32), bytes(values)), InternalError);
  finish(collectives);
}

TEST(HostCollectives, MissingOnesEndOnScratchMemory) {
  HostCollectives collectives(test::session());
  std::vector<std::vector<double>> values(4, contribution<double>(1000));
  const int64_t started = rank() == 0 ? 4 : 1;
  for (int64_t i = 0; i < started; ++i) {
    collectives.start(reduce(i, 1000, Dtype::f64), bytes(values[static_cast<size_t>(i)]));
  }
  EXPECT_EQ(collectives.progress(Channel::gradients).started, started);
  // What launchers do with each other's progress: rank 0 has those that the others lack.
  for (int64_t i = started; i < 4; ++i) {
    collectives.start_on_scratch(reduce(i, 1000, Dtype::f64));
  }
  EXPECT_EQ(finish(collectives).size(), 4u);
  EXPECT_EQ(values[0], total<double>(1000)) << "what all had started is whole";
  EXPECT_TRUE(collectives.progress(Channel::gradients).recent.empty());

  std::vector<double> after = contribution<double>(5);
  collectives.start(reduce(4, 5, Dtype::f64), bytes(after));
  finish(collectives);
  EXPECT_EQ(after, total<double>(5)) << "MPI stays usable";
}

TEST(ControlChannel, CarriesLongTextsToAllOthers) {
  ControlChannel control(test::session());
  const std::string text = std::string(300000, static_cast<char>('a' + rank())) + "end";
  control.send_to_others("first");
  control.send_to_others(text);
  std::vector<std::string> first(static_cast<size_t>(size())), second = first;
  int received = 0;
  const Deadline deadline = Deadline::after(20s);
  while ((received < 2 * (size() - 1) || control.is_sending()) && !deadline.has_passed()) {
    if (const auto incoming = control.receive()) {
      auto& place = first[static_cast<size_t>(incoming->from)].empty() ? first : second;
      place[static_cast<size_t>(incoming->from)] = incoming->text;
      ++received;
    } else {
      std::this_thread::sleep_for(50us);
    }
  }
  for (int from = 0; from < size(); ++from) {
    if (from != rank()) {
      EXPECT_EQ(first[static_cast<size_t>(from)], "first");
      EXPECT_EQ(second[static_cast<size_t>(from)],
                std::string(300000, static_cast<char>('a' + from)) + "end");
    }
  }
}

TEST(StartUp, TextsReachAllRanks) {
  const std::string mine(static_cast<size_t>(rank()) * 1000, 'x');
  const std::vector<std::string> all = all_gather_texts(test::session(), mine, Deadline::after(20s), "test");
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], std::string(i * 1000, 'x'));
  }
  EXPECT_EQ(broadcast_text(test::session(), rank() == 0 ? "plan" : "", 0, Deadline::after(20s), "test"),
            "plan");
  barrier(test::session(), Deadline::after(20s), "test");
}

TEST(StartUp, OneHostIsOneNode) {
  EXPECT_EQ(test::session().local_size(), size());
  EXPECT_EQ(test::session().local_rank(), rank());
  EXPECT_EQ(test::session().node(), 0);
}

TEST(StartUp, ASilentPeerIsReportedNotWaitedFor) {
  if (size() == 1) {
    GTEST_SKIP() << "needs a peer";
  }
  // The late ranks come after the deadline of the others; the barrier itself is completed by a second one.
  if (rank() == 0) {
    std::this_thread::sleep_for(300ms);
    barrier(test::session(), Deadline::after(20s), "test");
  } else {
    EXPECT_THROW(barrier(test::session(), Deadline::after(30ms), "test"), PeerLost);
  }
  barrier(test::session(), Deadline::after(20s), "test");
}

}  // namespace
}  // namespace yolodist::mpi
