// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/link/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <future>

#include "common/base/error.h"
#include "common/protocol/shared_memory.h"
#include "tests/support/thrown.h"

namespace yolodist::link {
namespace {

using namespace std::chrono_literals;
using test::thrown;
using testing::HasSubstr;

Deadline soon() {
  return Deadline::after(10s);
}

// The launcher's end, worked by the test itself.
class LinkTest : public testing::Test {
 protected:
  LinkTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    launcher_end_ = ends[0];
    memory_fd_ = memfd_create("test", 0);
    arguments_.link_fd = ends[1];
    arguments_.memory_fd = dup(memory_fd_);
    arguments_.attempt = 5;
    arguments_.launcher_pid = getppid();
    link_ = std::make_unique<Link>(arguments_);
  }
  ~LinkTest() override {
    link_.reset();  // before its socket: the end of the socket would end this process
    close(launcher_end_);
    close(memory_fd_);
  }

  void say(const protocol::ToWorker& message, int attempt = 5) {
    say_text(protocol::encode(attempt, message));
  }
  void say_text(const std::string& text) {
    EXPECT_EQ(write(launcher_end_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  template <typename Body>
  Body hear() {
    std::string line;
    while (!lines_.next(line)) {
      char buffer[4096];
      const ssize_t count = read(launcher_end_, buffer, sizeof(buffer));
      if (count <= 0) {
        ADD_FAILURE() << "nothing to hear";
        return Body{};
      }
      lines_.append({buffer, static_cast<size_t>(count)});
    }
    const protocol::Envelope<protocol::ToLauncher> envelope = protocol::decode_to_launcher(line);
    EXPECT_EQ(envelope.attempt, 5);
    return std::get<Body>(envelope.body);
  }
  SharedExtent extend(int64_t bytes, int64_t expected_total) {
    auto extent = std::async(std::launch::async, [&] { return link_->extend_shared_memory(bytes, soon()); });
    EXPECT_EQ(hear<protocol::Resize>().bytes, expected_total);
    say(protocol::Resized{expected_total});
    return extent.get();
  }

  int launcher_end_ = -1, memory_fd_ = -1;
  LinkArguments arguments_;
  std::unique_ptr<Link> link_;
  protocol::LineReader lines_;
};

TEST_F(LinkTest, WaitsForItsStart) {
  EXPECT_THAT(thrown<PeerLost>([&] { link_->wait_for_start(Deadline::after(20ms)); }),
              HasSubstr("start message"));
  protocol::Start start;
  start.rank = 1;
  start.options.epochs = 7;
  say(start);
  const protocol::Start read = link_->wait_for_start(soon());
  EXPECT_EQ(read.rank, 1);
  EXPECT_EQ(read.attempt, 5);
  EXPECT_EQ(read.options.epochs, 7);
}

TEST_F(LinkTest, DropsMessagesOfAnOlderAttempt) {
  say(protocol::Stop{"SIGTERM"}, /*attempt=*/4);
  say(protocol::Start{});
  link_->wait_for_start(soon());
  EXPECT_FALSE(link_->stop_requested());
}

TEST_F(LinkTest, TellsThatAStopWasAskedFor) {
  EXPECT_FALSE(link_->stop_requested());
  EXPECT_EQ(link_->stop_reason(), "");
  say(protocol::Stop{"SIGUSR1"});
  say(protocol::Start{});
  link_->wait_for_start(soon());
  EXPECT_TRUE(link_->stop_requested());
  EXPECT_EQ(link_->stop_reason(), "SIGUSR1");
}

TEST_F(LinkTest, HandsSamplesOfOtherRanksToWhoAsks) {
  const protocol::Sample sample{4, 1, 2, 3, 5, "loss"};
  say(protocol::PeerSample{1, sample});  // nobody asks: dropped
  say(protocol::Start{});
  link_->wait_for_start(soon());
  std::promise<protocol::PeerSample> heard;
  link_->on_peer_sample([&](const protocol::PeerSample& peer) { heard.set_value(peer); });
  say(protocol::PeerSample{2, sample}, /*attempt=*/4);
  say(protocol::PeerSample{3, sample});
  std::future<protocol::PeerSample> result = heard.get_future();
  ASSERT_EQ(result.wait_for(10s), std::future_status::ready);
  const protocol::PeerSample peer = result.get();
  EXPECT_EQ(peer.rank, 3);
  EXPECT_EQ(peer.sample, sample);
  link_->on_peer_sample(nullptr);
  say(protocol::PeerSample{1, sample});
  say(protocol::Stop{"SIGUSR1"});
  while (!link_->stop_requested()) {
    std::this_thread::sleep_for(1ms);
  }
  link_->send_sample(sample);
  EXPECT_EQ(hear<protocol::Sample>(), sample);
}

TEST_F(LinkTest, SendsWhatTheTrainingSays) {
  link_->send_hello("cpu");
  EXPECT_EQ(hear<protocol::Hello>().pid, getpid());
  link_->send_progress({1, 2, 3, "text"});
  EXPECT_EQ(hear<protocol::Progress>().iteration, 2);
  run::FailureReport report;
  report.what = "it broke";
  link_->send_failure(report);
  EXPECT_EQ(hear<protocol::Failure>().report.what, "it broke");
  link_->send_done(ExitCode::state_saved);
  EXPECT_EQ(hear<protocol::Done>().exit_code, ExitCode::state_saved);
}

TEST_F(LinkTest, ExtendsTheSharedMemoryWithoutMovingIt) {
  constexpr int64_t unit = protocol::extent_alignment;
  const SharedExtent first = extend(10, unit);
  EXPECT_EQ(first.offset_bytes, 0);
  std::memset(first.memory.data(), 7, first.memory.size());
  const SharedExtent second = extend(unit + 1, 3 * unit);
  EXPECT_EQ(second.offset_bytes, unit);
  EXPECT_EQ(second.memory.size(), static_cast<size_t>(2 * unit));
  EXPECT_EQ(second.memory[0], std::byte{0});
  second.memory[5] = std::byte{9};

  struct stat state = {};
  ASSERT_EQ(fstat(memory_fd_, &state), 0);
  EXPECT_EQ(state.st_size, 3 * unit);
  EXPECT_GE(state.st_blocks * 512, 3 * unit) << "allocated, not only promised";
  std::byte seen{};
  ASSERT_EQ(pread(memory_fd_, &seen, 1, unit + 5), 1);
  EXPECT_EQ(seen, std::byte{9});
  ASSERT_EQ(pread(memory_fd_, &seen, 1, 3), 1);
  EXPECT_EQ(seen, std::byte{7});
}

TEST_F(LinkTest, NoRoomForSharedMemoryIsAnErrorNotASignal) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {1 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = thrown<StorageError>([&] { link_->extend_shared_memory(8 << 20, soon()); });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(error, HasSubstr("no room for 8.00 MiB of shared memory"));
  EXPECT_THAT(error, HasSubstr("ulimit -f"));
  extend(8 << 20, 8 << 20);  // the failed attempt left nothing behind
}

TEST_F(LinkTest, ASilentLauncherIsNotWaitedForForEver) {
  EXPECT_THROW(link_->extend_shared_memory(1, Deadline::after(20ms)), PeerLost);
}

TEST_F(LinkTest, NumbersCollectivesByChannelAndReportsTheirEnd) {
  std::promise<std::string> first, second;
  protocol::Collective collective;
  collective.channel = protocol::Channel::gradients;
  collective.count = 4;
  EXPECT_EQ(link_->start_collective(collective, [&](const std::string& error) { first.set_value(error); }),
            0);
  EXPECT_EQ(link_->start_collective(collective, [&](const std::string& error) { second.set_value(error); }),
            1);
  collective.channel = protocol::Channel::small;
  EXPECT_EQ(link_->start_collective(collective, [](const std::string&) {}), 0);
  EXPECT_EQ(hear<protocol::Collective>().sequence, 0);
  EXPECT_EQ(hear<protocol::Collective>().sequence, 1);
  EXPECT_EQ(hear<protocol::Collective>().channel, protocol::Channel::small);
  say(protocol::CollectiveDone{protocol::Channel::gradients, 1, "lost"});
  say(protocol::CollectiveDone{protocol::Channel::gradients, 0, ""});
  EXPECT_EQ(second.get_future().get(), "lost");
  EXPECT_EQ(first.get_future().get(), "");
}

TEST_F(LinkTest, GarbageBreaksTheLinkForAllWhoWait) {
  std::promise<std::string> end;
  link_->start_collective({}, [&](const std::string& error) { end.set_value(error); });
  say_text("garbage\n");
  EXPECT_THAT(end.get_future().get(), HasSubstr("broken"));
  EXPECT_THAT(thrown<InternalError>([&] { link_->wait_for_start(soon()); }), HasSubstr("garbage"));
  EXPECT_THROW(link_->start_collective({}, [](const std::string&) {}), InternalError);
}

// Last: a signal's request stays for the rest of the process.
TEST_F(LinkTest, ZzSignalsOfOthersCountAsAStopRequest) {
  std::raise(SIGINT);
  EXPECT_FALSE(link_->stop_requested()) << "SIGINT is the launcher's";
  std::raise(SIGTERM);
  EXPECT_TRUE(link_->stop_requested());
  EXPECT_EQ(link_->stop_reason(), "SIGTERM");
}

TEST(LinkDeathTest, EndsWithTheSocket) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        int ends[2];
        socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
        LinkArguments arguments;
        arguments.link_fd = ends[1];
        arguments.memory_fd = memfd_create("test", 0);
        arguments.launcher_pid = getppid();
        Link link(arguments);
        close(ends[0]);
        std::this_thread::sleep_for(10s);
      },
      testing::ExitedWithCode(to_int(ExitCode::peer_lost)), "");
}

TEST(LinkDeathTest, EndsWhenItsLauncherDiedAlready) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        LinkArguments arguments;
        arguments.launcher_pid = getpid();  // not the parent
        Link link(arguments);
      },
      testing::ExitedWithCode(to_int(ExitCode::peer_lost)), "");
}

}  // namespace
}  // namespace yolodist::link
