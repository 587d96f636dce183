// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A worker without LibTorch, for tests of the launcher: started as --worker-prefix "fake_worker MODE [RANK]",
// it gets the real worker's command line, takes the link and behaves as MODE says on rank RANK (others: as
// "steady").
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"
#include "tests/support/communicator_suite.h"
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

ExitCode collectives(Worker& w) {
  for (const comm::CommunicatorCase& one : comm::communicator_cases()) {
    one.run(w.communicator);
  }
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
