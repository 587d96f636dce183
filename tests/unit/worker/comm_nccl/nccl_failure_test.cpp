// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Each way in which NCCL fails, over the double: the right exception, with the right words, in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <atomic>
#include <map>
#include <mutex>

#include "common/base/error.h"
#include "tests/support/nccl_double.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/thrown.h"

namespace yolodist::comm {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
namespace nccl_double = test::nccl_double;
using nccl_double::Action;
using testing::AllOf;
using testing::HasSubstr;

// Ranks as threads; what each threw is kept.
class NcclFailure : public testing::Test {
 protected:
  void SetUp() override { nccl_double::reset(); }
  void TearDown() override {
    EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{});
    EXPECT_LT(Deadline::Clock::now() - begin_, 40s) << "nothing waits for the limits of the product";
  }

  struct Outcome {
    std::string text;  // "" = nothing was thrown
    ExitCode code = ExitCode::ok;
    json collectives;  // of a CollectiveFailure
  };

  // Runs body(communicator) on `ranks` threads, whose deadlines are short.
  std::vector<Outcome> outcomes(int ranks, const std::function<void(NcclCommunicator&)>& body) {
    const std::string id = NcclCommunicator::make_unique_id();
    const auto hosts = make_local_communicators(ranks);
    std::vector<Outcome> all(static_cast<size_t>(ranks));
    test::on_threads(ranks, [&](int rank) {
      Outcome& outcome = all[static_cast<size_t>(rank)];
      const test::ComputeStream compute;
      NcclSetup setup = test::nccl_setup(rank, ranks, id);
      setup.compute_stream = compute.get();
      setup.post_mortem = std::make_shared<PostMortem>(*hosts[static_cast<size_t>(rank)]);
      setup.post_mortem_timeout = post_mortem_timeout;
      setup.start_timeout = 10s;
      try {
        NcclCommunicator communicator(setup, Deadline::after(init_deadline));
        body(communicator);
      } catch (const CollectiveFailure& error) {
        outcome = {error.one_line(), error.exit_code(), error.collectives()};
      } catch (const Error& error) {
        outcome = {error.one_line(), error.exit_code(), nullptr};
      }
    });
    return all;
  }

  // Reductions of 4 KiB one after the other, as buckets of a step. The deadline is that of the last.
  static void reduce(NcclCommunicator& c, int count, std::chrono::milliseconds deadline) {
    std::vector<float> values(1024, 1);
    for (int i = 0; i < count; ++i) {
      c.name_next("bucket " + std::to_string(i));
      c.all_reduce(values.data(), values.size(), Dtype::f32, Reduction::sum)
          ->wait(Deadline::after(i + 1 == count ? deadline : 20s));
    }
  }

  std::chrono::milliseconds init_deadline = 20s;
  std::chrono::milliseconds post_mortem_timeout = 10s;

 private:
  Deadline::Clock::time_point begin_ = Deadline::Clock::now();
};

TEST_F(NcclFailure, InitFailsOnOneRank) {
  init_deadline = 500ms;
  nccl_double::inject({.action = Action::init_fails,
                       .rank = 1,
                       .result = ncclSystemError,
                       .text = "socketStartConnect: no route to host\n"});
  const auto all = outcomes(2, [](NcclCommunicator&) { ADD_FAILURE() << "connected"; });
  EXPECT_EQ(all[1].code, ExitCode::peer_lost);
  EXPECT_THAT(all[1].text, AllOf(HasSubstr("rank 1: connecting to the other ranks: unhandled system error "
                                           "(socketStartConnect: no route to host)"),
                                 HasSubstr("NCCL_SOCKET_IFNAME")));
  EXPECT_EQ(all[0].code, ExitCode::peer_lost);
  EXPECT_THAT(all[0].text,
              HasSubstr("rank 0: connecting to the other ranks: no answer from the other ranks"));
}

TEST_F(NcclFailure, InitNeverCompletes) {
  init_deadline = 300ms;
  nccl_double::inject({.action = Action::init_stalls, .rank = 1});
  for (const Outcome& outcome : outcomes(2, [](NcclCommunicator&) {})) {
    EXPECT_EQ(outcome.code, ExitCode::peer_lost);
    EXPECT_THAT(outcome.text, HasSubstr("no answer from the other ranks before the deadline"));
  }
  EXPECT_EQ(nccl_double::calls("ncclCommAbort"), 2);
}

TEST_F(NcclFailure, InitIsRefusedForWantOfACardEach) {
  nccl_double::inject({.action = Action::init_fails,
                       .result = ncclInvalidUsage,
                       .text = "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000"});
  const auto all = outcomes(1, [](NcclCommunicator&) {});
  EXPECT_EQ(all[0].code, ExitCode::no_device);
  EXPECT_THAT(all[0].text, AllOf(HasSubstr("Duplicate GPU detected"), HasSubstr("a card of its own")));
}

TEST_F(NcclFailure, InitHasNoDeviceMemory) {
  nccl_double::inject({.action = Action::init_fails,
                       .result = ncclUnhandledCudaError,
                       .text = "Cuda failure 2 'out of memory'"});
  EXPECT_EQ(outcomes(1, [](NcclCommunicator&) {})[0].code, ExitCode::out_of_memory);
}

TEST_F(NcclFailure, ACallIsRefused) {
  nccl_double::inject(
      {.action = Action::call_fails, .call = 2, .result = ncclInvalidArgument, .text = "count"});
  const auto all = outcomes(1, [](NcclCommunicator& c) { reduce(c, 4, 2s); });
  EXPECT_EQ(all[0].code, ExitCode::internal);
  EXPECT_THAT(all[0].text,
              AllOf(HasSubstr("NCCL refuses starting #2 all_reduce of 4.00 KiB (f32 sum, bucket 2)"),
                    HasSubstr("invalid argument (count)")));
}

TEST_F(NcclFailure, AnErrorComesUpInTheMiddleOfAnAllReduce) {
  nccl_double::inject({.action = Action::async_error, .rank = 1, .call = 3, .result = ncclInternalError});
  const auto all = outcomes(2, [](NcclCommunicator& c) { reduce(c, 4, 500ms); });
  EXPECT_EQ(all[1].code, ExitCode::peer_lost);
  EXPECT_THAT(all[1].text,
              HasSubstr("rank 1: #3 all_reduce of 4.00 KiB (f32 sum, bucket 3): internal error"));
  EXPECT_EQ(all[0].code, ExitCode::peer_lost);
  EXPECT_THAT(all[0].text,
              HasSubstr("#3 all_reduce of 4.00 KiB (f32 sum, bucket 3): not done before the deadline"));
  EXPECT_THAT(all[0].text, HasSubstr("the ranks are in step: ranks 0 and 1 are at #3"));

  // The report has the last collectives, of this rank and of all.
  const json& last = all[0].collectives.at("last");
  ASSERT_EQ(last.size(), 4U);
  EXPECT_EQ(last[3].at("sequence"), 3);
  EXPECT_EQ(last[3].at("bytes"), 4096);
  EXPECT_EQ(last[3].at("tag"), "bucket 3");
  EXPECT_EQ(last[3].at("state"), "failed");
  EXPECT_EQ(last[2].at("state"), "done");
  EXPECT_EQ(all[0].collectives.at("rank"), 0);
  ASSERT_EQ(all[0].collectives.at("ranks").size(), 2U);
  EXPECT_EQ(all[0].collectives.at("ranks")[1][3].at("state"), "failed");
}

TEST_F(NcclFailure, APeerIsReportedGone) {
  nccl_double::set_peers_notice(true);
  nccl_double::inject({.action = Action::async_error, .rank = 1, .call = 1});
  const auto all = outcomes(3, [](NcclCommunicator& c) { reduce(c, 3, 10s); });  // far from the deadline
  for (const Outcome& outcome : all) {
    EXPECT_EQ(outcome.code, ExitCode::peer_lost);
    EXPECT_THAT(outcome.text,
                HasSubstr("#1 all_reduce of 4.00 KiB (f32 sum, bucket 1): remote process exited"));
  }
}

TEST_F(NcclFailure, APeerFallsSilent) {
  nccl_double::inject({.action = Action::stall, .rank = 1, .call = 2});
  const auto begin = Deadline::Clock::now();
  const auto all = outcomes(2, [](NcclCommunicator& c) { reduce(c, 3, 400ms); });
  for (const Outcome& outcome : all) {
    EXPECT_EQ(outcome.code, ExitCode::peer_lost);
    EXPECT_THAT(outcome.text, HasSubstr("#2 all_reduce of 4.00 KiB (f32 sum, bucket 2): not done before"));
  }
  EXPECT_LT(Deadline::Clock::now() - begin, 5s);
}

TEST_F(NcclFailure, APeerThatDoesNotSpeakEitherIsSaidToBeSo) {
  post_mortem_timeout = 200ms;
  std::atomic<bool> is_over{false};
  const auto all = outcomes(2, [&](NcclCommunicator& c) {
    reduce(c, 1, 5s);
    if (c.rank() == 0) {
      EXPECT_THAT(test::thrown<PeerLost>([&] { reduce(c, 1, 200ms); }),
                  AllOf(HasSubstr("#1 all_reduce"), HasSubstr("not all ranks say where they are")));
      is_over = true;
    }
    while (!is_over) {
      std::this_thread::sleep_for(1ms);
    }
  });
  EXPECT_EQ(all[0].text, "");
}

TEST_F(NcclFailure, TheDeviceFails) {
  nccl_double::inject({.action = Action::device_error, .rank = 0, .call = 0});
  const auto all = outcomes(1, [](NcclCommunicator& c) { reduce(c, 1, 2s); });
  EXPECT_EQ(all[0].code, ExitCode::no_device);
  EXPECT_THAT(all[0].text, AllOf(HasSubstr("#0 all_reduce"), HasSubstr("illegal memory access")));
}

// Calls that do not fit together hang in NCCL; they are named instead.
using Call = std::function<std::unique_ptr<Work>(NcclCommunicator&, void* memory)>;
struct Mismatch {
  const char* name;
  Call of_rank_0, of_rank_1;
  const char *text_0, *text_1;
};

void PrintTo(const Mismatch& mismatch, std::ostream* stream) {
  *stream << mismatch.name;
}

class NcclMismatch : public NcclFailure, public testing::WithParamInterface<Mismatch> {};

Call all_reduce(size_t count, Dtype dtype, Reduction reduction) {
  return [=](NcclCommunicator& c, void* memory) { return c.all_reduce(memory, count, dtype, reduction); };
}

Call broadcast(size_t bytes, int root) {
  return [=](NcclCommunicator& c, void* memory) { return c.broadcast(memory, bytes, root); };
}

INSTANTIATE_TEST_SUITE_P(
    Cases, NcclMismatch,
    testing::Values(Mismatch{"Size", all_reduce(1024, Dtype::f32, Reduction::sum),
                             all_reduce(2048, Dtype::f32, Reduction::sum),
                             "#1 all_reduce of 4.00 KiB (f32 sum)", "#1 all_reduce of 8.00 KiB (f32 sum)"},
                    Mismatch{"Type", all_reduce(1024, Dtype::f64, Reduction::sum),
                             all_reduce(1024, Dtype::i64, Reduction::sum),
                             "#1 all_reduce of 8.00 KiB (f64 sum)", "#1 all_reduce of 8.00 KiB (i64 sum)"},
                    Mismatch{"Operation", all_reduce(8, Dtype::f32, Reduction::sum),
                             all_reduce(8, Dtype::f32, Reduction::max), "#1 all_reduce of 32 B (f32 sum)",
                             "#1 all_reduce of 32 B (f32 max)"},
                    Mismatch{"Kind", all_reduce(1024, Dtype::f32, Reduction::sum), broadcast(4096, 0),
                             "#1 all_reduce of 4.00 KiB (f32 sum)", "#1 broadcast of 4.00 KiB (from rank 0)"},
                    Mismatch{"Root", broadcast(64, 0), broadcast(64, 1), "#1 broadcast of 64 B (from rank 0)",
                             "#1 broadcast of 64 B (from rank 1)"}),
    [](const auto& tested) { return tested.param.name; });

TEST_P(NcclMismatch, IsNamedNotHung) {
  const Mismatch& mismatch = GetParam();
  const auto all = outcomes(2, [&](NcclCommunicator& c) {
    std::vector<std::byte> memory(64 << 10);
    c.broadcast(memory.data(), 16, 0)->wait(Deadline::after(5s));
    (c.rank() == 0 ? mismatch.of_rank_0 : mismatch.of_rank_1)(c, memory.data())->wait(Deadline::after(300ms));
  });
  for (const Outcome& outcome : all) {
    EXPECT_EQ(outcome.code, ExitCode::peer_lost);
    EXPECT_THAT(outcome.text, AllOf(HasSubstr("the ranks are out of step"), HasSubstr(mismatch.text_0),
                                    HasSubstr(mismatch.text_1)));
  }
  EXPECT_THAT(all[0].collectives.at("verdict").get<std::string>(), HasSubstr("out of step"));
}

TEST_F(NcclFailure, ARankThatLeavesOutACallIsNamed) {
  const auto all = outcomes(3, [](NcclCommunicator& c) {
    std::vector<std::byte> memory(4096);
    for (int i = 0; i < 20; ++i) {  // more than are kept
      c.broadcast(memory.data(), 16, 0)->wait(Deadline::after(5s));
    }
    std::vector<std::unique_ptr<Work>> works;
    if (c.rank() != 2) {
      works.push_back(c.all_reduce(memory.data(), 1024, Dtype::f32, Reduction::sum));
    }
    works.push_back(c.broadcast(memory.data(), 32, 0));
    for (const auto& work : works) {
      work->wait(Deadline::after(300ms));
    }
  });
  for (const Outcome& outcome : all) {
    EXPECT_THAT(outcome.text, AllOf(HasSubstr("ranks 0 and 1"), HasSubstr("at #20 all_reduce of 4.00 KiB"),
                                    HasSubstr("rank 2"), HasSubstr("at #20 broadcast of 32 B")));
  }
}

TEST_F(NcclFailure, AnAbortFromAnotherThreadEndsTheWait) {
  const auto begin = Deadline::Clock::now();
  const auto all = outcomes(2, [](NcclCommunicator& c) {
    std::atomic<bool> is_waiting{false};
    std::thread watchdog([&] {
      while (!is_waiting) {
        std::this_thread::sleep_for(1ms);
      }
      std::this_thread::sleep_for(20ms);
      c.abort();
      c.abort();
    });
    std::vector<float> values(1024);
    // Each rank reduces another size: nobody comes through.
    const auto work =
        c.all_reduce(values.data(), static_cast<size_t>(c.rank() + 1), Dtype::f32, Reduction::sum);
    is_waiting = true;
    const std::string text = test::thrown<PeerLost>([&] { work->wait(Deadline::after(60s)); });
    watchdog.join();
    EXPECT_THAT(text, HasSubstr("aborted"));
    EXPECT_THROW(work->wait(Deadline::after(1s)), PeerLost);
    EXPECT_THROW(c.broadcast(values.data(), 4, 0), PeerLost);
  });
  EXPECT_EQ(all[0].text + all[1].text, "");
  EXPECT_LT(Deadline::Clock::now() - begin, 10s);
}

TEST_F(NcclFailure, RanksReconnectAndKeepTheirBuckets) {
  nccl_double::inject({.action = Action::stall, .rank = 1, .call = 1});
  const std::string second_id = NcclCommunicator::make_unique_id();
  const auto all = outcomes(2, [&](NcclCommunicator& c) {
    auto* bucket = reinterpret_cast<float*>(c.allocate_shared(4096).data());
    bucket[0] = 1;
    c.all_reduce(bucket, 1, Dtype::f32, Reduction::sum)->wait(Deadline::after(5s));
    const auto lost = c.all_reduce(bucket, 1, Dtype::f32, Reduction::sum);
    EXPECT_THROW(lost->wait(Deadline::after(300ms)), PeerLost);
    c.reconnect(second_id, Deadline::after(20s));
    EXPECT_THAT(test::thrown<PeerLost>([&] { lost->wait(Deadline::after(5s)); }), HasSubstr("aborted before"))
        << "what was lost stays so";
    EXPECT_EQ(bucket[0], 2) << "the memory is still there";
    const auto work = c.all_reduce(bucket, 1, Dtype::f32, Reduction::sum);
    work->wait(Deadline::after(5s));
    EXPECT_EQ(bucket[0], 4);
  });
  EXPECT_EQ(all[0].text + all[1].text, "");
  EXPECT_EQ(nccl_double::calls("ncclCommAbort"), 2);
  EXPECT_EQ(nccl_double::calls("cudaMalloc"), 2);
}

TEST_F(NcclFailure, AFailedReconnectMayBeTriedAgain) {
  std::vector<std::string> ids = {NcclCommunicator::make_unique_id(), NcclCommunicator::make_unique_id()};
  const auto all = outcomes(2, [&](NcclCommunicator& c) {
    c.abort();
    if (c.rank() == 0) {
      EXPECT_THROW(c.reconnect(ids[0], Deadline::after(200ms)), PeerLost);
    }
    c.reconnect(ids[1], Deadline::after(20s));
    reduce(c, 1, 5s);
  });
  EXPECT_EQ(all[0].text + all[1].text, "");
}

// What is thrown can still be reported; then the process is ended, whatever hangs in it.
TEST(NcclAbort, ThatHangsEndsTheProcessInTime) {
  const auto begin = Deadline::Clock::now();
  test::in_processes(
      2,
      [](int rank, const std::string& id) {
        nccl_double::inject({.action = Action::abort_hangs, .rank = 1});
        NcclSetup setup = test::nccl_setup(rank, 2, id);
        setup.end_timeout = rank == 1 ? 300ms : 20s;
        setup.exit_timeout = 500ms;
        NcclCommunicator communicator(setup, Deadline::after(20s));
        float value = 1;
        const auto wait = [&] {
          communicator.all_reduce(&value, static_cast<size_t>(rank + 1), Dtype::f32, Reduction::sum)
              ->wait(Deadline::after(200ms));
        };
        EXPECT_THROW(wait(), PeerLost);
        if (rank == 1) {
          EXPECT_THAT(test::thrown<PeerLost>([&] { communicator.reconnect(id, Deadline::after(1s)); }),
                      HasSubstr("did not abort before"));
          std::this_thread::sleep_for(60s);  // what main does then may hang as well
          ADD_FAILURE() << "was not ended";
        }
      },
      {0, to_int(ExitCode::peer_lost)});
  EXPECT_LT(Deadline::Clock::now() - begin, 20s);
}

TEST(NcclPeer, ThatIsKilledIsLostToTheOthers) {
  test::in_processes(
      3,
      [](int rank, const std::string& id) {
        nccl_double::inject({.action = Action::exit_process, .rank = 2, .call = 1});
        nccl_double::set_peers_notice(rank == 0);
        NcclCommunicator communicator(test::nccl_setup(rank, 3, id), Deadline::after(20s));
        float value = 1;
        communicator.all_reduce(&value, 1, Dtype::f32, Reduction::sum)->wait(Deadline::after(20s));
        EXPECT_EQ(value, 3);
        const auto wait = [&] {
          communicator.all_reduce(&value, 1, Dtype::f32, Reduction::sum)
              ->wait(Deadline::after(rank == 0 ? 20s : 2s));
        };
        // One is told by NCCL, the other by its deadline.
        EXPECT_THAT(
            test::thrown<PeerLost>(wait),
            AllOf(HasSubstr("#1 all_reduce of 4 B"), HasSubstr(rank == 0 ? "a peer is gone" : "deadline")));
      },
      {0, 0, -SIGKILL});
}

}  // namespace
}  // namespace yolodist::comm
