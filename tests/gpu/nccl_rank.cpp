// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// One rank of NcclCommunicator on the first card: every collective, exchanges, memory of NCCL's own.
//   nccl_rank RANK RANKS ID_FILE [FIRST]   rank 0 writes ID_FILE, the others wait for it
// Ends with 0, with 77 and the reason where there is no card or NCCL does not take several ranks on it, and
// with 1 for all else. FIRST is what this rank puts into the first all-reduce; all but 1 makes its sum wrong.
// "connected" on standard output says that the first collective is through. Started by nccl.py; linked with
// the stand-in for NCCL, device memory is the host's.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "tests/gpu/staged_communicator.h"
#include "tests/support/card.h"
#include "tests/support/communicator_suite.h"

namespace yolodist {
namespace {

using namespace std::chrono_literals;

constexpr int skipped = 77;

std::string shared_id(int rank, const std::string& file) {
  if (rank == 0) {
    const std::string id = comm::NcclCommunicator::make_unique_id();
    write_file_atomically(file, id);
    return id;
  }
  const Deadline deadline = Deadline::after(60s);
  while (!std::filesystem::exists(file)) {
    check(!deadline.has_passed(), "rank 0 has written the id");
    std::this_thread::sleep_for(10ms);
  }
  return read_file(file);
}

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

// Of the whole card, whoever takes it. 0 on the CPU.
int64_t used_bytes(const test::Card& card) {
  size_t free = 0, total = 0;
  if (!card.device.is_cuda() || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    return 0;
  }
  return static_cast<int64_t>(total - free);
}

// As the gradient buckets are: memory of NCCL's own, written and read by LibTorch, reduced in place.
void reduce_in_memory_of_nccl(comm::NcclCommunicator& c, at::Device device) {
  constexpr int64_t count = 1 << 20;
  const std::span<std::byte> memory = c.allocate_shared(count * sizeof(float));
  at::Tensor values =
      at::from_blob(memory.data(), {count}, at::TensorOptions().dtype(at::kFloat).device(device));
  check(values.sum().item<double>() == 0, "memory of NCCL's own is zeroed");
  for (int round = 0; round < 3; ++round) {
    values.fill_(c.rank() + 1);
    const auto work = c.all_reduce(values.data_ptr(), count, comm::Dtype::f32, comm::Reduction::sum);
    work->wait(comm::suite_deadline());
    const double expected = c.world_size() * (c.world_size() + 1) / 2.0;
    check(values.min().item<double>() == expected && values.max().item<double>() == expected,
          "an all-reduce in memory of NCCL's own");
  }
}

// To the right and from the left, with one rank to and from itself.
void exchange_in_a_ring(comm::NcclCommunicator& c, at::Device device) {
  const int n = c.world_size();
  constexpr int64_t count = 100000;
  const auto of = [&](int value) {
    return at::full({count}, value, at::TensorOptions().dtype(at::kInt).device(device));
  };
  const at::Tensor mine = of(c.rank() + 5), other = of(-1);
  const std::vector<comm::NcclCommunicator::Transfer> to = {
      {mine.data_ptr(), static_cast<size_t>(mine.nbytes()), (c.rank() + 1) % n}};
  const std::vector<comm::NcclCommunicator::Transfer> from = {
      {other.data_ptr(), static_cast<size_t>(other.nbytes()), (c.rank() + n - 1) % n}};
  c.exchange(to, from)->wait(comm::suite_deadline());
  check((other == (c.rank() + n - 1) % n + 5).all().item<bool>(), "an exchange in a ring");
}

// Whether several ranks on one card are not taken: NCCL refuses them, or they do not find each other in time.
// A card or driver that fails is DeviceUnavailable, too, and no reason to skip.
bool is_not_supported(const Error& error, int world_size) {
  const std::string_view what = error.what();
  return world_size > 1 &&
         (what.find("NCCL refuses") != what.npos || what.find("before the deadline") != what.npos);
}

int run_rank(int rank, int world_size, const std::string& id_file, int64_t first_value) {
  memory::install_counting_allocator();
  const test::Card card = test::find_card();
  if (!card.problem.empty()) {
    say(card.problem);
    return skipped;
  }
  comm::NcclSetup setup;
  setup.rank = rank;
  setup.world_size = world_size;
  setup.unique_id = shared_id(rank, id_file);
  if (card.device.is_cuda()) {
    at::empty({1}, at::TensorOptions().device(card.device));  // the context
    setup.device_index = card.device.index();
    setup.compute_stream = c10::cuda::getCurrentCUDAStream(setup.device_index).stream();
  }
  const int64_t before_bytes = used_bytes(card);
  std::unique_ptr<comm::NcclCommunicator> nccl;
  std::unique_ptr<test::StagedCommunicator> staging;
  std::vector<int64_t> first = {first_value};
  try {
    nccl = std::make_unique<comm::NcclCommunicator>(setup, Deadline::after(60s));
    staging = std::make_unique<test::StagedCommunicator>(*nccl, card.device);
    comm::all_reduce_sum(*staging, std::span<int64_t>(first), comm::suite_deadline());
  } catch (const InternalError&) {
    throw;  // a call that NCCL refuses as wrong
  } catch (const Error& error) {
    if (!is_not_supported(error, world_size)) {
      throw;
    }
    say(cat("not supported here: ", error.what()));
    return skipped;
  }
  test::StagedCommunicator& staged = *staging;
  check(first[0] == world_size, "the first all-reduce");
  say("connected");
  for (const comm::CommunicatorCase& one : comm::communicator_cases()) {
    one.run(staged);
    say(cat("ok ", one.name));
  }
  reduce_in_memory_of_nccl(*nccl, card.device);
  exchange_in_a_ring(*nccl, card.device);
  say(cat("ok memory of NCCL's own, and exchanges; NCCL took ", (used_bytes(card) - before_bytes) >> 20,
          " MiB of ", card.name));
  return 0;
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  int rank = -1, world_size = 0, first_value = 1;
  if (argc == 4 || argc == 5) {
    std::from_chars(argv[1], argv[1] + std::char_traits<char>::length(argv[1]), rank);
    std::from_chars(argv[2], argv[2] + std::char_traits<char>::length(argv[2]), world_size);
  }
  if (argc == 5) {
    std::from_chars(argv[4], argv[4] + std::char_traits<char>::length(argv[4]), first_value);
  }
  if (rank < 0 || rank >= world_size) {
    std::fputs("nccl_rank RANK RANKS ID_FILE [FIRST]\n", stderr);
    return 64;
  }
  try {
    return yolodist::run_rank(rank, world_size, argv[3], first_value);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
    return 1;
  }
}
