// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/network_check.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ne.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/comm/collective_trace.h"
#include "worker/train/training.h"

namespace yolodist::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* advice =
    "If the hosts have several networks, name the one that connects them: --net-if ib0, or --net-if "
    "10.0.0.0/24. mpirun or srun in front of `yolodist doctor` looks at the hosts; with NCCL_DEBUG=WARN "
    "NCCL says more.";

// What a rank adds: small whole numbers, so that the sum is exact in any order.
int64_t share_of(int rank) {
  return rank % 8 + 1;
}

at::Tensor pattern(at::Device device) {
  constexpr int64_t period = 31;
  const int64_t count = NetworkCheck::bytes / static_cast<int64_t>(sizeof(float));
  return at::arange(count, at::TensorOptions(at::kFloat).device(device)).remainder_(period).add_(1);
}

void require_sum(const at::Tensor& sum, const at::Tensor& expected, comm::Communicator& gradients) {
  if (at::equal(sum, expected)) {
    return;
  }
  const int64_t wrong = at::ne(sum, expected).nonzero()[0].item<int64_t>();
  throw InternalError(cat("the all-reduce of the network check is wrong on rank ", gradients.rank(), ": ",
                          sum[wrong].item<float>(), " instead of ", expected[wrong].item<float>(),
                          " at element ", wrong, " of ", sum.numel()),
                      "Nothing that is trained over this connection can be trusted: try another one "
                      "(--net-if), and please report it.");
}

// An all-reduce that is late may still write into its buffer.
void keep_for_good(const at::Tensor& buffer) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<at::Tensor>();
  const std::lock_guard lock(mutex);
  kept->push_back(buffer);
}

double reduce(comm::Communicator& gradients, const at::Tensor& buffer, Deadline deadline) {
  const Clock::time_point begin = Clock::now();
  gradients.name_next("network check");
  try {
    gradients
        .all_reduce(buffer.data_ptr(), static_cast<size_t>(buffer.numel()), comm::Dtype::f32,
                    comm::Reduction::sum)
        ->wait(deadline);
  } catch (const PeerLost&) {
    keep_for_good(buffer);
    throw;
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The seconds of each round.
std::vector<double> run_rounds(comm::Communicator& gradients, at::Device device, const NetworkCheck& check) {
  int64_t shares = 0;
  for (int rank = 0; rank < gradients.world_size(); ++rank) {
    shares += share_of(rank);
  }
  const at::Tensor base = pattern(device);
  const at::Tensor mine = base * share_of(gradients.rank()), expected = base * shares;
  const at::Tensor buffer = at::empty_like(mine);
  std::vector<double> seconds;
  for (int round = -1; round < check.rounds; ++round) {
    buffer.copy_(mine);
    const double taken = reduce(gradients, buffer, Deadline::after(check.limit));
    require_sum(buffer, expected, gradients);
    if (round >= 0) {
      seconds.push_back(taken);
    }
  }
  return seconds;
}

std::string failure_text(const NetworkCheck& check, const char* why) {
  return cat("the ranks cannot exchange gradients: ", to_string(Bytes{check.bytes}),
             " were not reduced within ", static_cast<double>(check.limit.count()) / 1000, " s (", why, ")");
}

}  // namespace

NetworkSpeed measure_network(comm::Communicator& host, comm::Communicator& gradients, at::Device device,
                             const NetworkCheck& check) {
  const std::vector<std::string> names =
      comm::all_gather_strings(host, host_name(), Deadline::after(check.patience));
  std::vector<double> seconds;
  try {
    seconds = run_rounds(gradients, device, check);
  } catch (const comm::CollectiveFailure& failure) {
    throw comm::CollectiveFailure(failure_text(check, failure.what()), advice, failure.collectives());
  } catch (const PeerLost& failure) {
    throw PeerLost(failure_text(check, failure.what()), advice);
  }
  std::nth_element(seconds.begin(), seconds.begin() + check.rounds / 2, seconds.end());
  NetworkSpeed speed;
  speed.ranks = gradients.world_size();
  speed.hosts = static_cast<int>(std::set<std::string>(names.begin(), names.end()).size());
  speed.seconds = seconds[check.rounds / 2];
  speed.bytes_per_second =
      2.0 * (speed.ranks - 1) / speed.ranks * static_cast<double>(check.bytes) / speed.seconds;
  return speed;
}

std::string to_string(const NetworkSpeed& speed) {
  return printf_string("network: 1 MiB all-reduce over %d ranks on %d host%s in %.3g ms, %.3g GB/s",
                       speed.ranks, speed.hosts, speed.hosts == 1 ? "" : "s", speed.seconds * 1000,
                       speed.bytes_per_second / 1e9);
}

void check_network(Training& t) {
  if (t.world_size < 2) {
    return;
  }
  NetworkCheck check;
  check.patience = peer_patience;
  const NetworkSpeed speed = measure_network(*t.communicator, t.gradient_communicator(), t.device, check);
  if (t.is_leader()) {
    log::info(to_string(speed));
  }
}

}  // namespace yolodist::train
