// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/loader.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <time.h>

namespace yolodist::data {
namespace {

std::vector<int64_t> positions(int count) {
  std::vector<int64_t> work(static_cast<size_t>(count));
  std::iota(work.begin(), work.end(), 0);
  return work;
}

Sample sample_of(int64_t position, size_t bytes = 10) {
  Sample sample;
  sample.picture_index = static_cast<int>(position);
  sample.pixels.resize(bytes);
  return sample;
}

// Lets a test hold every maker up and wait until a number of them are there.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool is_open_ = false;
};

TEST(Loader, HandsOutInTheOrderOfTheWork) {
  for (const int threads : {0, 1, 4}) {
    const std::vector<int64_t> work = {7, 3, 3, 9, 0, 5, 8, 2};
    Loader loader([](int64_t position) { return sample_of(position); }, work, {threads, 3});
    std::vector<int64_t> got;
    while (const std::optional<Sample> sample = loader.next()) {
      got.push_back(sample->picture_index);
    }
    EXPECT_EQ(got, work) << threads << " threads";
    EXPECT_FALSE(loader.next());
    EXPECT_EQ(loader.taken(), work.size());
  }
}

TEST(Loader, KeepsOrderWhenLaterSamplesAreReadyFirst) {
  std::latch others_done(4);
  Loader loader(
      [&](int64_t position) {
        if (position == 0) {
          others_done.wait();
        } else {
          others_done.count_down();
        }
        return sample_of(position, position == 4 ? 1 : 0);
      },
      // The first sample of all runs alone, so the one that waits comes after it.
      {4, 0, 1, 2, 3}, {4, 8});
  std::vector<int> got;
  while (const std::optional<Sample> sample = loader.next()) {
    got.push_back(sample->picture_index);
  }
  EXPECT_EQ(got, (std::vector<int>{4, 0, 1, 2, 3}));
}

TEST(Loader, BeginsAnywhere) {
  Loader loader([](int64_t position) { return sample_of(position); }, positions(10), {2, 4}, 7);
  EXPECT_EQ(loader.taken(), 7u);
  EXPECT_EQ(loader.next()->picture_index, 7);
  EXPECT_EQ(loader.taken(), 8u);
  Loader at_the_end([](int64_t position) { return sample_of(position); }, positions(10), {2, 4}, 10);
  EXPECT_FALSE(at_the_end.next());
}

TEST(Loader, ThrowsWhatTheMakerThrewAtItsPlaceAndGoesOn) {
  for (const int threads : {0, 3}) {
    Loader loader(
        [](int64_t position) {
          if (position == 2) {
            throw std::runtime_error("two");
          }
          return sample_of(position);
        },
        positions(5), {threads, 8});
    EXPECT_EQ(loader.next()->picture_index, 0);
    EXPECT_EQ(loader.next()->picture_index, 1);
    EXPECT_THROW(loader.next(), std::runtime_error);
    EXPECT_EQ(loader.next()->picture_index, 3);
    EXPECT_EQ(loader.next()->picture_index, 4);
    EXPECT_FALSE(loader.next());
  }
}

// Counts how far the makers run ahead of what was taken.
struct RunAhead {
  std::atomic<int> taken = 0, begun = 0, worst = 0;
  void begin() {
    const int ahead = ++begun - taken;
    int seen = worst;
    while (ahead > seen && !worst.compare_exchange_weak(seen, ahead)) {
    }
  }
};

TEST(Loader, StaysWithinThePrefetchDepth) {
  RunAhead run;
  Loader loader(
      [&](int64_t position) {
        run.begin();
        return sample_of(position);
      },
      positions(200), {4, 5});
  for (int i = 0; i < 200; ++i) {
    ++run.taken;  // before next() makes room: a maker that uses it must find it counted
    ASSERT_TRUE(loader.next());
  }
  EXPECT_LE(run.worst, 5);
  EXPECT_EQ(run.begun, 200);
}

TEST(Loader, StaysWithinTheByteCap) {
  RunAhead run;
  Loader loader(
      [&](int64_t position) {
        run.begin();
        return sample_of(position, 100);
      },
      positions(200), {4, 50, 250});
  for (int i = 0; i < 200; ++i) {
    ++run.taken;
    ASSERT_TRUE(loader.next());
  }
  EXPECT_LE(run.worst, 2);
}

TEST(Loader, MakesProgressWithACapSmallerThanASample) {
  Loader loader([](int64_t position) { return sample_of(position, 1000); }, positions(20), {3, 8, 1});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(loader.next()->picture_index, i);
  }
}

TEST(Loader, EndsWithoutMakingTheRest) {
  std::atomic<int> begun = 0;
  {
    Loader loader(
        [&](int64_t position) {
          ++begun;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));  // stands for decoding
          return sample_of(position);
        },
        positions(5000), {2, 5000});
    ASSERT_TRUE(loader.next());
  }
  EXPECT_LT(begun, 5000);
}

TEST(Loader, WaitsWithoutUsingTheProcessor) {
  const auto processor_ms = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
  };
  Gate gate;
  Loader loader(
      [&](int64_t position) {
        gate.pass();
        return sample_of(position);
      },
      positions(4), {4, 2});
  gate.wait_for(1);
  const auto before_ms = processor_ms();
  std::jthread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    gate.open();
  });
  ASSERT_TRUE(loader.next());
  EXPECT_LT(processor_ms() - before_ms, 100);
}

}  // namespace
}  // namespace yolodist::data
