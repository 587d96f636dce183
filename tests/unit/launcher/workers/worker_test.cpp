// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "common/base/deadline.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/workers/worker_command.h"
#include "launcher/workers/worker_process.h"
#include "tests/support/thrown.h"

namespace yolodist::workers {
namespace {

using namespace std::chrono_literals;
using test::thrown;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(SplitCommand, CutsAsAShellDoes) {
  EXPECT_THAT(split_command("gdb -batch --args"), ElementsAre("gdb", "-batch", "--args"));
  EXPECT_THAT(split_command("  a 'b c' \"d 'e'\" f\\ g ''  "), ElementsAre("a", "b c", "d 'e'", "f g", ""));
  EXPECT_THAT(split_command("x'y'z"), ElementsAre("xyz"));
  EXPECT_TRUE(split_command(" ").empty());
  EXPECT_THAT(thrown<UsageError>([] { split_command("gdb 'x"); }), HasSubstr("quote"));
}

WorkerEnvironment wanted() {
  WorkerEnvironment environment;
  environment.is_dropped = [](std::string_view name) { return name.starts_with("OMPI_"); };
  environment.threads = 3;
  return environment;
}

TEST(WorkerEnvironment, DropsMpiAndKeepsTheRest) {
  const std::vector<std::string> result =
      worker_environment({"PATH=/bin", "OMPI_COMM_WORLD_RANK=1", "NCCL_DEBUG=INFO"}, wanted());
  EXPECT_THAT(result, Contains("PATH=/bin"));
  EXPECT_THAT(result, Contains("NCCL_DEBUG=INFO"));
  EXPECT_THAT(result, Not(Contains(HasSubstr("OMPI_"))));
}

TEST(WorkerEnvironment, ThreadsWaitPassivelyUnlessTheUserSaysOtherwise) {
  std::vector<std::string> result = worker_environment({}, wanted());
  EXPECT_THAT(result, Contains("OMP_NUM_THREADS=3"));
  EXPECT_THAT(result, Contains("OMP_WAIT_POLICY=PASSIVE"));
  EXPECT_THAT(result, Contains("GOMP_SPINCOUNT=0"));
  result = worker_environment({"OMP_WAIT_POLICY=ACTIVE", "OMP_NUM_THREADS=1"}, wanted());
  EXPECT_THAT(result, ElementsAre("OMP_WAIT_POLICY=ACTIVE", "OMP_NUM_THREADS=1", "GOMP_SPINCOUNT=0"));
}

TEST(WorkerEnvironment, GivesTheUsersCudaVisibleDevicesBack) {
  WorkerEnvironment environment = wanted();
  EXPECT_THAT(worker_environment({"CUDA_VISIBLE_DEVICES="}, environment),
              Not(Contains(HasSubstr("CUDA_VISIBLE"))));
  environment.cuda_visible_devices = "2,3";
  environment.on_cuda = true;
  const std::vector<std::string> result = worker_environment({"CUDA_VISIBLE_DEVICES="}, environment);
  EXPECT_THAT(result, Contains("CUDA_VISIBLE_DEVICES=2,3"));
  EXPECT_THAT(result, Contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"));
}

TEST(WorkerEnvironment, TellsNcclExactlyTheInterfacesThatAreAskedFor) {
  const std::vector<std::string> users = {"NCCL_SOCKET_IFNAME=eth", "NCCL_SOCKET_FAMILY=AF_INET"};
  EXPECT_THAT(worker_environment(users, wanted()), Contains("NCCL_SOCKET_IFNAME=eth")) << "nobody asks";
  WorkerEnvironment environment = wanted();
  environment.interfaces = {"ib0", "ib1"};
  const std::vector<std::string> result = worker_environment(users, environment);
  EXPECT_THAT(result, Contains("NCCL_SOCKET_IFNAME==ib0,ib1"));
  EXPECT_THAT(result, Not(Contains("NCCL_SOCKET_IFNAME=eth")));
  EXPECT_THAT(result, Contains("NCCL_SOCKET_FAMILY=AF_INET"));
}

TEST(FindProgram, LooksWhereAShellLooks) {
  EXPECT_TRUE(find_program("sh").has_value());
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
  EXPECT_FALSE(find_program("no-such-program").has_value());
  EXPECT_FALSE(find_program("/tmp").has_value());
  EXPECT_THROW(find_worker_program({"no-such-program"}), UsageError);
  EXPECT_THAT(thrown<DeviceUnavailable>([] { find_worker_program({}); }), HasSubstr("yolodist-worker"));
}

WorkerCommand shell(const std::string& script) {
  // The link's words follow as $0, $1, …
  WorkerCommand command;
  command.prefix = {"/bin/sh", "-c", script};
  command.program = "worker";
  command.environment = {"PATH=/usr/bin:/bin"};
  command.attempt = 4;
  return command;
}

WorkerEnd wait_for_end(WorkerProcess& worker) {
  for (const Deadline deadline = Deadline::after(10s); !deadline.has_passed();) {
    worker.reap();
    if (worker.end()) {
      return *worker.end();
    }
    std::this_thread::sleep_for(1ms);
  }
  ADD_FAILURE() << "the worker did not end";
  return {};
}

TEST(WorkerProcess, TellsHowItsWorkerEnded) {
  WorkerProcess exits(shell("exit 65"));
  EXPECT_EQ(wait_for_end(exits).exit_code, 65);
  WorkerProcess dies(shell("kill -KILL $$"));
  const WorkerEnd end = wait_for_end(dies);
  EXPECT_EQ(end.exit_code, 137);
  EXPECT_EQ(end.signal_number, SIGKILL);
}

TEST(WorkerProcess, HearsAndAnswers) {
  // Says what it got on its command line and reads one line.
  WorkerProcess worker(shell(cat("v=", protocol::version, R"(
      printf '{"v":%s,"attempt":3,"type":"resize","bytes":1}\n' $v >&3
      printf '{"v":%s,"attempt":4,"type":"hello","pid":%s,"device":"%s"}\n' $v $$ "$*" >&3; read line <&3
      case $line in *SIGUSR1*) exit 7;; esac; exit 8)")));
  std::vector<protocol::ToLauncher> messages;
  for (const Deadline deadline = Deadline::after(10s); messages.empty() && !deadline.has_passed();) {
    messages = worker.receive();
  }
  ASSERT_EQ(messages.size(), 1u) << "that of an older attempt is dropped";
  const auto& hello = std::get<protocol::Hello>(messages[0]);
  EXPECT_EQ(hello.pid, worker.pid());
  EXPECT_EQ(hello.device,
            cat("--link-fd 3 --memory-fd 4 --attempt 4 --launcher-pid ", getpid(), " --prefixed"));
  worker.send(protocol::Stop{"SIGUSR1"});
  EXPECT_EQ(wait_for_end(worker).exit_code, 7);
}

TEST(WorkerProcess, StartsWithSignalsAtTheirDefaults) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, &before);
  WorkerProcess worker(shell("kill -TERM $$; sleep 5"));
  sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(wait_for_end(worker).signal_number, SIGTERM);
}

TEST(WorkerProcess, KeepsOtherDescriptorsOut) {
  WorkerProcess worker(shell(
      "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && count=$((count + 1)); done; exit $count"));
  EXPECT_EQ(wait_for_end(worker).exit_code, 5);
}

TEST(WorkerProcess, EndsItsWorkerWithItself) {
  int pid = 0;
  {
    WorkerProcess worker(shell("exec sleep 60"));  // exec: no grandchild keeps the test's output open
    pid = worker.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(WorkerProcess, SharesMemoryByExtents) {
  WorkerProcess worker(
      shell("head -c 65536 /dev/zero >&4; printf abc | dd of=/proc/self/fd/4 bs=1 seek=100 conv=notrunc "
            "2>/dev/null"));
  EXPECT_EQ(wait_for_end(worker).exit_code, 0);
  EXPECT_THROW(worker.memory(0, 1), InternalError);
  EXPECT_THROW(worker.map_up_to(131072), InternalError) << "the worker has not made so much";
  worker.map_up_to(65536);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(worker.memory(100, 3)), 3), "abc");
  EXPECT_THROW(worker.memory(65535, 2), InternalError);
  EXPECT_THROW(worker.memory(-1, 1), InternalError);
  EXPECT_THROW(worker.memory(0, int64_t{1} << 62), InternalError);
}

TEST(WorkerProcess, GarbageIsAnError) {
  WorkerProcess worker(shell("echo garbage >&3"));
  wait_for_end(worker);
  EXPECT_THAT(thrown<InternalError>([&] { worker.receive(); }), HasSubstr("garbage"));
}

TEST(WorkerProcess, AProgramThatIsNotThereIsNamed) {
  WorkerCommand command;
  command.program = "/nowhere/yolodist-worker";
  EXPECT_THAT(thrown<InternalError>([&] { WorkerProcess worker(command); }),
              HasSubstr("/nowhere/yolodist-worker"));
}

}  // namespace
}  // namespace yolodist::workers
