// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The shared suite over ranks that are threads. Over the launcher it runs as launcher_test.collectives, over
// NCCL as nccl_communicator_suite_test.
#include "worker/comm/communicator.h"

#include <gtest/gtest.h>

#include <tuple>

#include "tests/support/communicator_suite.h"
#include "worker/comm/local_communicator.h"

namespace yolodist::comm {
namespace {

class CommunicatorTest : public testing::TestWithParam<std::tuple<CommunicatorCase, int>> {};

TEST_P(CommunicatorTest, Local) {
  const auto& [one, ranks] = GetParam();
  run_local_ranks(ranks, one.run);
}

INSTANTIATE_TEST_SUITE_P(Cases, CommunicatorTest,
                         testing::Combine(testing::ValuesIn(communicator_cases()),
                                          testing::Values(1, 2, 3, 4)),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param).name) + "_" +
                                  std::to_string(std::get<1>(tested.param));
                         });

}  // namespace
}  // namespace yolodist::comm
