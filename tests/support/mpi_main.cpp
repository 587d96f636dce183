// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The main of a test that runs as several MPI ranks: rank 0 prints as usual, failures of other ranks are
// printed by it at the end as "[rank 2/3] …", and the exit code is the worst of all: 1 if anything failed
// anywhere, 77 if every case was skipped on every rank.
#include "tests/support/mpi_main.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "common/base/exit_code.h"
#include "common/base/text.h"

namespace yolodist::test {
namespace {

std::unique_ptr<mpi::Session> the_session;

class FailureCollector : public testing::EmptyTestEventListener {
 public:
  std::string text;

 private:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed()) {
      const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
      text += cat(info == nullptr ? "" : info->name(), ": ",
                  result.file_name() == nullptr ? "" : result.file_name(), ":", result.line_number(), ": ",
                  result.message(), "\n");
    }
  }
};

int run(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  the_session = std::make_unique<mpi::Session>(std::chrono::seconds(60));
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  auto* collector = new FailureCollector;  // owned by GoogleTest
  listeners.Append(collector);
  if (the_session->rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
  }
  const bool failed = RUN_ALL_TESTS() != 0;
  const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
  const bool ran = unit.successful_test_count() + unit.failed_test_count() > 0;

  const Deadline deadline = Deadline::after(std::chrono::seconds(30));
  const std::vector<std::string> results =
      mpi::all_gather_texts(*the_session, cat(failed ? "F" : "-", ran ? "R" : "-", collector->text), deadline,
                            "collecting test results");
  bool any_failed = false, any_ran = false;
  for (size_t rank = 0; rank < results.size(); ++rank) {
    any_failed = any_failed || results[rank][0] == 'F';
    any_ran = any_ran || results[rank][1] == 'R';
    if (rank > 0 && the_session->rank() == 0 && results[rank].size() > 2) {
      std::printf("[rank %zu/%zu] %s", rank, results.size(), results[rank].c_str() + 2);
    }
  }
  the_session->finalize(std::chrono::seconds(30));
  return any_failed ? 1 : (any_ran ? 0 : to_int(ExitCode::skipped_test));
}

}  // namespace

mpi::Session& session() {
  return *the_session;
}

}  // namespace yolodist::test

int main(int argc, char** argv) {
  return yolodist::test::run(argc, argv);
}
