// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/checkpoint.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::checkpoint {
namespace {

bool bit_equal(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) {
    return false;
  }
  const at::Tensor x = a.contiguous();
  const at::Tensor y = b.contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

void expect_equal(const NamedTensors& got, const NamedTensors& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].first, wanted[i].first);
    EXPECT_TRUE(bit_equal(got[i].second, wanted[i].second)) << got[i].first;
    EXPECT_TRUE(got[i].second.is_contiguous()) << got[i].first;
  }
}

Checkpoint round_trip(const Checkpoint& checkpoint) {
  const test::TemporaryFolder folder;
  write_checkpoint(folder / "x.pt", checkpoint);
  return read_checkpoint(folder / "x.pt");
}

TEST(Checkpoint, KeepsEveryDtypeAndTheOrderOfNames) {
  Checkpoint checkpoint;
  checkpoint.model = {{"z.weight", at::randn({3, 2, 5}, at::kFloat)},
                      {"a.running_mean", at::randn({7}, at::kDouble)},
                      {"m.num_batches_tracked", at::arange(1, 2, at::TensorOptions(at::kLong)).squeeze()},
                      {"h", at::randn({4, 4}).to(at::kHalf)},
                      {"b", at::randn({4, 4}).to(at::kBFloat16)},
                      {"bytes", at::arange(0, 9, at::TensorOptions(at::kByte))},
                      {"flag", at::zeros({2}, at::kBool)},
                      {"none", at::empty({0, 3})}};
  checkpoint.ema = {{"z.weight", at::randn({2, 2}, at::kFloat)}};
  checkpoint.optimizer["momentum"] = {{"z.weight", at::randn({3, 2, 5})}};
  checkpoint.optimizer["exp_avg"] = {};

  const Checkpoint read = round_trip(checkpoint);

  expect_equal(read.model, checkpoint.model);
  expect_equal(read.ema, checkpoint.ema);
  ASSERT_EQ(read.optimizer.size(), 2U);
  expect_equal(read.optimizer.at("momentum"), checkpoint.optimizer.at("momentum"));
  EXPECT_TRUE(read.optimizer.at("exp_avg").empty());
}

TEST(Checkpoint, KeepsNonFiniteElements) {
  Checkpoint checkpoint;
  at::Tensor tensor = at::empty({4}, at::kDouble);
  auto* values = tensor.mutable_data_ptr<double>();
  values[0] = std::numeric_limits<double>::infinity();
  values[1] = -values[0];
  values[2] = std::nan("7");
  values[3] = std::numeric_limits<double>::denorm_min();
  checkpoint.model = {{"w", tensor}};
  expect_equal(round_trip(checkpoint).model, checkpoint.model);
}

TEST(Checkpoint, KeepsMeta) {
  Checkpoint checkpoint;
  checkpoint.meta = nlohmann::json::parse(R"({
    "epoch": 3, "step": 9007199254740993, "least": -9223372036854775808, "negative": -5, "byte": 200, "word": 70000,
    "best_fitness": 0.1, "empty": {}, "nothing": null, "yes": true, "no": false, "list": [], "text": "päivää ☀",
    "names": ["person", "car"], "hyp": {"lr0": 0.01, "deep": {"deeper": [1, 2.5, "x", null, [true, {}]]}}})");
  EXPECT_EQ(round_trip(checkpoint).meta, checkpoint.meta);
}

TEST(Checkpoint, KeepsNonFiniteMeta) {
  Checkpoint checkpoint;
  checkpoint.meta["inf"] = std::numeric_limits<double>::infinity();
  checkpoint.meta["nan"] = std::nan("");
  const nlohmann::json meta = round_trip(checkpoint).meta;
  EXPECT_EQ(meta.at("inf").get<double>(), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(meta.at("nan").get<double>()));
}

TEST(Checkpoint, WritesOnlyTheBytesOfAView) {
  const test::TemporaryFolder folder;
  const at::Tensor flat = at::randn({1 << 20});  // 4 MiB
  Checkpoint checkpoint;
  checkpoint.model = {{"first", flat.narrow(0, 64, 6).view({2, 3})},
                      {"second", flat.narrow(0, 128, 4)},
                      {"channels_last", flat.narrow(0, 256, 24).as_strided({2, 3, 2, 2}, {12, 1, 6, 3})},
                      {"expanded", flat.narrow(0, 0, 1).expand({5})}};
  write_checkpoint(folder / "x.pt", checkpoint);
  EXPECT_LT(std::filesystem::file_size(folder / "x.pt"), 8U << 10);
  expect_equal(read_checkpoint(folder / "x.pt").model, checkpoint.model);
}

TEST(Checkpoint, GivesEachTensorItsOwnMemory) {
  const at::Tensor tied = at::randn({8});
  Checkpoint checkpoint;
  checkpoint.model = {{"a", tied}, {"b", tied}};
  const Checkpoint read = round_trip(checkpoint);
  EXPECT_NE(read.model[0].second.const_data_ptr(), read.model[1].second.const_data_ptr());
  expect_equal(read.model, checkpoint.model);
}

TEST(Checkpoint, RefusesToWriteAReservedMetaKey) {
  const test::TemporaryFolder folder;
  Checkpoint checkpoint;
  checkpoint.meta["model"] = 1;
  EXPECT_THROW(write_checkpoint(folder / "x.pt", checkpoint), InternalError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// "No room" without a small disk: a limit on the size of files, with the signal
// that would end the process ignored.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST(Checkpoint, LeavesTheOldFileWhenThereIsNoRoom) {
  const test::TemporaryFolder folder;
  const auto path = folder / "last.pt";
  Checkpoint small;
  small.model = {{"w", at::randn({4})}};
  write_checkpoint(path, small);
  const std::string before = read_file(path);

  Checkpoint large;
  large.model = {{"w", at::randn({1 << 16})}, {"v", at::randn({1 << 16})}};
  for (const rlim_t limit : {0, 100, 5000, 262144 + 3000, 2 * 262144}) {
    const FileSizeLimit no_room(limit);
    try {
      write_checkpoint(path, large);
      ADD_FAILURE() << "limit " << limit;
    } catch (const StorageError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("last.pt"));
    }
  }
  EXPECT_EQ(read_file(path), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "a temporary file is left";
}

TEST(Checkpoint, SaysWhereItCannotWrite) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_checkpoint(folder / "missing/last.pt", {}), StorageError);
}

}  // namespace
}  // namespace yolodist::checkpoint
