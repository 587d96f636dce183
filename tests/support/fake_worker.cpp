// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A worker without LibTorch, for tests of the launcher: started as --worker-prefix "fake_worker MODE [RANK]",
// it gets the real worker's command line, takes the link and behaves as MODE says on rank RANK (others: as
// "steady").
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/protocol/shared_memory.h"
#include "worker/comm/host_communicator.h"
#include "worker/link/link.h"

namespace yolodist {
namespace {

using namespace std::chrono_literals;
using comm::Dtype;
using comm::Reduction;

Deadline soon() {
  return Deadline::after(30s);
}

struct Worker {
  link::Link& link;
  protocol::Start start;
  comm::HostCommunicator communicator;
  int rank() const { return start.rank; }
  int size() const { return start.world_size; }
};

// Sums over ranks of (i + 1) * (r + 1), in chunks and in place.
template <typename T>
void fill(std::span<T> values, int rank) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(i % 1000 + 1) * static_cast<T>(rank + 1);
  }
}

template <typename T>
void expect_total(std::span<const T> values, int size, const std::string& what) {
  for (size_t i = 0; i < values.size(); ++i) {
    const T expected = static_cast<T>(i % 1000 + 1) * static_cast<T>(size * (size + 1) / 2);
    if (values[i] != expected) {
      throw InternalError(cat(what, ": element ", i, " is ", values[i], ", should be ", expected));
    }
  }
}

template <typename T>
void reduce_copied(Worker& w, Dtype dtype) {
  // One, a whole slot, one more, and more than the staging area together.
  const size_t slot = static_cast<size_t>(protocol::staging_slot_bytes) / sizeof(T);
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{3}, size_t{1000}, slot, slot + 1, size_t{1000003}}) {
    std::vector<T> values(count);
    fill<T>(values, w.rank());
    w.communicator.all_reduce(values.data(), count, dtype, Reduction::sum)->wait(soon());
    expect_total<T>(values, w.size(), cat("copied all-reduce of ", count));
  }
}

void reduce_in_place(Worker& w) {
  constexpr size_t bucket_count = 8, floats = 100003, stride = (floats * sizeof(float) + 63) / 64 * 64;
  const std::span<std::byte> memory = w.communicator.allocate_shared(bucket_count * stride);
  check(reinterpret_cast<uintptr_t>(memory.data()) % 64 == 0, "shared memory is aligned");
  std::vector<std::unique_ptr<comm::Work>> works;
  std::vector<std::span<float>> buckets;
  for (size_t b = 0; b < bucket_count; ++b) {
    buckets.emplace_back(reinterpret_cast<float*>(memory.data() + b * stride), floats);
    fill<float>(buckets.back(), w.rank());
    works.push_back(w.communicator.all_reduce(buckets.back().data(), floats, Dtype::f32, Reduction::sum));
    int64_t votes = 1;  // the other channel goes on meanwhile
    comm::all_reduce_sum(w.communicator, std::span(&votes, 1), soon());
    check(votes == w.size(), "small reductions work beside large ones");
  }
  for (size_t b = bucket_count; b-- > 0;) {
    works[b]->wait(soon());
    check(works[b]->is_done(), "what was waited for is done");
    expect_total<float>(buckets[b], w.size(), cat("bucket ", b));
  }
  std::fill(buckets[0].begin(), buckets[0].end(), static_cast<float>(w.rank()));
  w.communicator.broadcast(buckets[0].data(), floats * sizeof(float), w.size() - 1)->wait(soon());
  check(buckets[0][floats - 1] == static_cast<float>(w.size() - 1), "broadcast in shared memory");
  check(w.communicator.all_reduce_count() > static_cast<int64_t>(bucket_count), "reductions are counted");
}

void gather_and_broadcast(Worker& w) {
  const auto ranks = static_cast<size_t>(w.size());
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{7}, size_t{100000}, size_t{3000001}}) {
    const std::vector<unsigned char> mine(bytes, static_cast<unsigned char>(w.rank() + 1));
    std::vector<unsigned char> all(bytes * ranks);
    w.communicator.all_gather(mine.data(), bytes, all.data())->wait(soon());
    for (size_t i = 0; i < all.size(); ++i) {
      check(all[i] == i / bytes + 1, cat("gathered byte ", i, " of ", bytes, " a rank"));
    }
  }
  const std::string mine(static_cast<size_t>(w.rank()) * 5, static_cast<char>('a' + w.rank()));
  const std::vector<std::string> texts = comm::all_gather_strings(w.communicator, mine, soon());
  for (size_t r = 0; r < ranks; ++r) {
    check(texts[r] == std::string(r * 5, static_cast<char>('a' + r)),
          "strings of different length are gathered");
  }
  for (int root = 0; root < w.size(); ++root) {
    std::vector<int> values(1500000, w.rank() == root ? root + 7 : -1);
    w.communicator.broadcast(values.data(), values.size() * sizeof(int), root)->wait(soon());
    check(values.front() == root + 7 && values.back() == root + 7, "broadcast from every rank");
  }
}

void many_at_once(Worker& w) {
  std::vector<std::vector<double>> values(60, std::vector<double>(20000));
  std::vector<std::unique_ptr<comm::Work>> works;
  for (std::vector<double>& v : values) {
    fill<double>(v, w.rank());
    works.push_back(w.communicator.all_reduce(v.data(), v.size(), Dtype::f64, Reduction::sum));
  }
  for (size_t i = 0; i < works.size(); ++i) {
    works[i]->wait(soon());
    expect_total<double>(values[i], w.size(), cat("reduction ", i, " of many"));
  }
  std::vector<int64_t> extremes = {w.rank(), -w.rank()};
  comm::all_reduce_max(w.communicator, extremes, soon());
  check(extremes[0] == w.size() - 1 && extremes[1] == 0, "maximum");
}

// The same bits everywhere, whatever the order in which a sum was made.
void same_bits(Worker& w) {
  std::vector<double> values(5000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<double>(i) * 1.7 + w.rank()) * std::pow(10.0, w.rank() * 3);
  }
  comm::all_reduce_sum(w.communicator, std::span(values), soon());
  const size_t bytes = values.size() * sizeof(double);
  std::vector<char> all(bytes * static_cast<size_t>(w.size()));
  w.communicator.all_gather(values.data(), bytes, all.data())->wait(soon());
  for (int r = 0; r < w.size(); ++r) {
    check(std::memcmp(all.data() + static_cast<size_t>(r) * bytes, values.data(), bytes) == 0,
          "all ranks get the same bits");
  }
}

ExitCode collectives(Worker& w) {
  reduce_copied<double>(w, Dtype::f64);
  reduce_copied<float>(w, Dtype::f32);
  reduce_copied<int64_t>(w, Dtype::i64);
  reduce_in_place(w);
  gather_and_broadcast(w);
  many_at_once(w);
  same_bits(w);
  return ExitCode::ok;
}

// Every rank tells of its memory; rank 0 gets it from all the others, unchanged.
ExitCode samples(Worker& w) {
  const auto sample_of = [](int rank) {
    return protocol::Sample{rank * 100, rank + 1, rank + 2, rank + 3, rank + 4, cat("phase of ", rank)};
  };
  std::mutex mutex;
  std::map<int, protocol::Sample> heard;
  w.link.on_peer_sample([&](const protocol::PeerSample& peer) {
    const std::lock_guard lock(mutex);
    heard[peer.rank] = peer.sample;
  });
  int64_t has_all = 0;
  for (int round = 0; has_all == 0; ++round) {
    check(round < 500, "samples of all ranks arrive");
    w.link.send_sample(sample_of(w.rank()));
    std::this_thread::sleep_for(20ms);
    {
      const std::lock_guard lock(mutex);
      has_all = w.rank() == 0 && static_cast<int>(heard.size()) == w.size() - 1 ? 1 : 0;
    }
    comm::all_reduce_sum(w.communicator, std::span(&has_all, 1), soon());
  }
  w.link.on_peer_sample(nullptr);
  for (const auto& [rank, sample] : heard) {
    check(w.rank() == 0 && rank > 0 && sample == sample_of(rank), cat("the sample of rank ", rank));
  }
  return ExitCode::ok;
}

// Steps of `step` until a stop was asked for on any rank, as the training loop does it; each hands `buckets`
// buckets of 1 MB to the launcher while it "computes".
ExitCode steady(Worker& w, std::chrono::milliseconds step, int buckets, int most_steps,
                const std::function<void(int)>& each_step) {
  constexpr size_t floats = 250000;
  std::span<std::byte> memory =
      buckets == 0 ? std::span<std::byte>()
                   : w.communicator.allocate_shared(static_cast<size_t>(buckets) * floats * 4);
  for (int i = 1; i <= most_steps; ++i) {
    each_step(i);
    std::vector<std::unique_ptr<comm::Work>> works;
    for (int b = 0; b < buckets; ++b) {
      std::this_thread::sleep_for(step / buckets);
      works.push_back(w.communicator.all_reduce(memory.data() + static_cast<size_t>(b) * floats * 4, floats,
                                                Dtype::f32, Reduction::sum));
    }
    if (buckets == 0) {
      std::this_thread::sleep_for(step);
    }
    for (const auto& work : works) {
      work->wait(soon());
    }
    int64_t votes = w.link.stop_requested() ? 1 : 0;
    comm::all_reduce_sum(w.communicator, std::span(&votes, 1), soon());
    w.link.send_progress({1, i, i, ""});
    if (votes > 0) {
      return ExitCode::state_saved;
    }
  }
  return ExitCode::ok;
}

ExitCode behave(Worker& w, const std::string& mode, int special_rank) {
  constexpr int forever = 1000000;
  const bool is_special = w.rank() == special_rank;
  const auto at_step_5 = [&](const std::function<void()>& action) {
    return [=](int step) {
      if (is_special && step == 5) {
        action();
      }
    };
  };
  if (mode == "collectives") {
    return collectives(w);
  }
  if (mode == "samples") {
    return samples(w);
  }
  if (mode == "data-error") {
    return steady(w, 10ms, 2, forever, at_step_5([] {
                    throw DataError("labels/7.txt:3: class 91, the data set has 80", "Fix the label.");
                  }));
  }
  if (mode == "exit3") {
    return steady(w, 10ms, 2, forever, at_step_5([] { _exit(3); }));
  }
  if (mode == "exit0") {
    return steady(w, 10ms, 2, forever, at_step_5([] { _exit(0); }));
  }
  if (mode == "killed") {
    return steady(w, 10ms, 2, forever, at_step_5([] { std::raise(SIGKILL); }));
  }
  if (mode == "killed-busy") {
    // The others have reductions under way that this rank never starts.
    return steady(w, 40ms, 8, forever, [&](int step) {
      if (is_special && step == 3) {
        std::thread([] {
          std::this_thread::sleep_for(15ms);
          std::raise(SIGKILL);
        }).detach();
        std::this_thread::sleep_for(10s);
      }
    });
  }
  if (mode == "stubborn") {
    std::signal(SIGTERM, SIG_IGN);  // only SIGKILL ends the others
    return steady(w, 10ms, 0, forever, at_step_5([] { std::raise(SIGKILL); }));
  }
  if (mode == "no-room") {
    const rlimit limit = {16 << 20, 16 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    w.communicator.allocate_shared(size_t{64} << 20);
    throw InternalError("64 MiB of shared memory fit under a limit of 16 MiB");
  }
  if (mode == "environment") {
    for (char** variable = environ; *variable != nullptr; ++variable) {
      std::printf("[%d] %s\n", w.rank(), *variable);
    }
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
      if (fcntl(descriptor, F_GETFD) != -1) {
        std::printf("[%d] descriptor %d\n", w.rank(), descriptor);
      }
    }
    std::printf("[%d] threads %d\n", w.rank(), w.start.threads);
    std::fflush(stdout);
    return ExitCode::ok;
  }
  if (mode == "latency") {  // by hand: how long small and large reductions take when all ranks wait for them
    const auto time_ms = [&](size_t count) {
      std::vector<double> values(count);
      constexpr int rounds = 200;
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < rounds; ++i) {
        comm::all_reduce_sum(w.communicator, std::span(values), soon());
      }
      return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() /
             rounds;
    };
    for (const size_t count : {1, 1000, 100000, 1000000}) {
      const double ms = time_ms(count);
      if (w.rank() == 0) {
        std::printf("all-reduce of %zu doubles: %.3f ms\n", count, ms);
      }
    }
    return ExitCode::ok;
  }
  if (mode == "skewed") {  // by hand: the last rank comes 200 ms late; how long it then waits for one bucket
    for (const size_t count : {1, 25000, 250000, 2000000}) {
      std::vector<float> dummy(1);
      static std::span<std::byte> memory = w.communicator.allocate_shared(8000000);
      double total_ms = 0;
      constexpr int rounds = 10;
      for (int i = 0; i < rounds; ++i) {
        if (w.rank() == w.size() - 1) {
          std::this_thread::sleep_for(200ms);
        }
        const auto begin = std::chrono::steady_clock::now();
        w.communicator.all_reduce(memory.data(), count, Dtype::f32, Reduction::sum)->wait(soon());
        total_ms +=
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
      }
      if (w.rank() == w.size() - 1) {
        std::printf("late all-reduce of %zu floats: %.3f ms\n", count, total_ms / rounds);
      }
    }
    return ExitCode::ok;
  }
  if (mode == "train-like") {
    return steady(w, 400ms, 8, 25, [](int) {});
  }
  if (mode == "steady") {
    return steady(w, 20ms, 2, forever, [](int) {});
  }
  throw UsageError(cat("fake_worker: unknown mode ", mode));
}

int run_fake_worker(int argc, char** argv) {
  // fake_worker MODE [RANK] /…/yolodist-worker --link-fd …
  const std::string mode = argv[1];
  int next = 2, special_rank = 0;
  if (std::strchr(argv[2], '/') == nullptr) {
    special_rank = std::atoi(argv[2]);
    ++next;
  }
  link::Link link(link::parse_link_arguments(argc - next, argv + next));
  const protocol::Start start = link.wait_for_start(soon());
  link.send_hello("cpu");
  try {
    Worker worker{link, start, comm::HostCommunicator(link, start.rank, start.world_size)};
    const ExitCode code = behave(worker, mode, special_rank);
    link.send_done(code);
    return to_int(code);
  } catch (const Error& error) {
    run::FailureReport report;
    report.what = error.what();
    report.hint = error.hint();
    report.exit_code = to_int(error.exit_code());
    report.time_ns = std::chrono::system_clock::now().time_since_epoch() / 1ns;
    link.send_failure(report);
    return report.exit_code;
  }
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  return yolodist::run_fake_worker(argc, argv);
}
