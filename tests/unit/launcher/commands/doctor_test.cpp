// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/doctor.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "common/base/error.h"
#include "launcher/commands/host_checks.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t gib = 1 << 30;

// A host on which nothing is to be complained of.
Situation healthy() {
  Situation s;
  s.host.host = "node1";
  s.host.memory = {64 * gib};
  s.host.memory_available = Bytes{60 * gib};
  s.host.shared_memory = device::Space{{32 * gib}, {32 * gib}, true};
  s.host.folder = device::Space{{500 * gib}, {100 * gib}, true};
  s.host.allowed_cores = s.host.online_cores = 8;
  s.inventory.driver = "580.65.06";
  s.inventory.driver_cuda = 13000;
  s.inventory.devices = {{0, "GPU-1", "00000000:01:00.0", "Card", Bytes{16 * gib}, Bytes{16 * gib}}};
  s.inventory.devices[0].capability = "8.0";
  s.inventory.has_card = true;
  s.versions = {"0.1.0", "abc", "2.11.0", "13.0", "2.28.9", "sm_75 sm_80"};
  s.mpi = "Open MPI v4.1.4";
  s.mpirun = "/usr/bin/mpirun";
  s.worker_program = "/opt/bin/yolodist-worker";
  s.worker = {true, ""};
  return s;
}

HostCheck check_of(const Situation& situation, const std::string& name) {
  const std::vector<HostCheck> checks = judge(situation);
  const auto found =
      std::find_if(checks.begin(), checks.end(), [&](const HostCheck& check) { return check.name == name; });
  return found == checks.end() ? HostCheck{CheckLevel::bad, "no such check", "", ""} : *found;
}

int count(const Situation& situation, CheckLevel level) {
  const std::vector<HostCheck> checks = judge(situation);
  return static_cast<int>(std::count_if(checks.begin(), checks.end(),
                                        [&](const HostCheck& check) { return check.level == level; }));
}

TEST(HostChecks, AreAllOkOnAHealthyHost) {
  for (const HostCheck& check : judge(healthy())) {
    EXPECT_EQ(check.level, CheckLevel::ok) << check.name << ": " << check.text;
    EXPECT_FALSE(check.text.empty()) << check.name;
    EXPECT_EQ(check.what_now, "") << check.name;
  }
}

TEST(HostChecks, AHostWithoutADriverTrainsOnItsCpu) {
  Situation s = healthy();
  s.inventory = {{}, "no NVIDIA driver (libnvidia-ml.so.1 not found)", "Start it with --gpus all."};
  EXPECT_EQ(count(s, CheckLevel::bad), 0);
  EXPECT_THAT(check_of(s, "devices").text, AllOf(HasSubstr("the CPU"), HasSubstr("no NVIDIA driver")));
  s.device = "cuda";
  EXPECT_EQ(check_of(s, "devices").level, CheckLevel::bad);
  EXPECT_THAT(check_of(s, "driver").what_now, HasSubstr("--gpus all"));
}

TEST(HostChecks, NameADeviceThatIsNotThere) {
  Situation s = healthy();
  s.device = "0,5";
  EXPECT_EQ(check_of(s, "devices").level, CheckLevel::bad);
  EXPECT_THAT(check_of(s, "devices").text, HasSubstr("device 5"));
}

TEST(HostChecks, SeeADriverThatIsTooOld) {
  Situation s = healthy();
  s.inventory.driver_cuda = 12040;
  for (const char* device : {"", "cuda", "0"}) {
    s.device = device;
    EXPECT_EQ(check_of(s, "driver").level, CheckLevel::bad) << device;
    EXPECT_THAT(check_of(s, "driver").text, AllOf(HasSubstr("CUDA up to 12.4"), HasSubstr("driver 580")));
    EXPECT_THAT(check_of(s, "driver").what_now, HasSubstr("LibTorch 2.7.1"));
    EXPECT_EQ(check_of(s, "devices").level, CheckLevel::ok) << "said once";
  }
  s.device = "cpu";
  EXPECT_EQ(check_of(s, "driver").level, CheckLevel::ok);
  s.device = "cuda";
  s.versions.cuda = "not built";
  EXPECT_EQ(check_of(s, "driver").level, CheckLevel::ok);
}

TEST(HostChecks, SeeACardThatTheBuildDoesNotRunOn) {
  Situation s = healthy();
  EXPECT_THAT(check_of(s, "versions").text, HasSubstr("compute capability 7.5, 8.0"));
  s.inventory.devices[0].capability = "7.0";
  for (const char* device : {"", "cuda", "0"}) {
    s.device = device;
    EXPECT_EQ(check_of(s, "devices").level, CheckLevel::bad) << device;
    EXPECT_THAT(check_of(s, "devices").text, AllOf(HasSubstr("capability 7.0"), HasSubstr("7.5, 8.0")));
    EXPECT_THAT(check_of(s, "devices").what_now, HasSubstr("LibTorch 2.7.1 (CUDA 12.6"));
  }
  s.device = "cpu";
  EXPECT_EQ(count(s, CheckLevel::bad), 0);
}

TEST(HostChecks, WarnOfACardThatIsThereAndCannotBeUsed) {
  Situation s = healthy();
  s.inventory = {{}, "driver/library version mismatch", "Reboot.", true};
  EXPECT_EQ(check_of(s, "devices").level, CheckLevel::warn);
  EXPECT_EQ(check_of(s, "devices").what_now, "Reboot.");
  s.device = "cpu";
  EXPECT_EQ(check_of(s, "devices").level, CheckLevel::ok);
}

TEST(HostChecks, SeeMemoryThatOthersHold) {
  Situation s = healthy();
  s.inventory.devices[0].free = {2 * gib};
  EXPECT_EQ(check_of(s, "devices").level, CheckLevel::warn);
  EXPECT_THAT(check_of(s, "devices").what_now, HasSubstr("nvidia-smi"));
}

TEST(HostChecks, WithoutAWorkerNothingRuns) {
  Situation s = healthy();
  s.worker = {false, "error while loading shared libraries: libtorch.so"};
  EXPECT_EQ(check_of(s, "worker").level, CheckLevel::bad);
  EXPECT_THAT(check_of(s, "worker").text, HasSubstr("libtorch.so"));
  s.worker_program.clear();
  s.worker_problem = "the worker program is not there";
  EXPECT_EQ(check_of(s, "worker").level, CheckLevel::bad);
}

TEST(HostChecks, WarnOfWhatIsScarce) {
  Situation s = healthy();
  s.host.cgroup.memory = Bytes{3 * gib};
  s.host.cgroup.memory_used = Bytes{1 * gib};
  s.host.cgroup.cores = 1.5;
  s.host.shared_memory->free = {64 << 20};
  s.host.folder->free = {1 << 20};
  s.host.limits = {256, 64 << 10};
  s.host.has_infiniband = true;
  s.mpirun.reset();
  s.share_problem = "share/yolodist is not there";
  for (const char* name :
       {"host memory", "cores", "/dev/shm", "disk", "open files", "locked memory", "MPI", "shipped files"}) {
    EXPECT_EQ(check_of(s, name).level, CheckLevel::warn) << name;
    EXPECT_NE(check_of(s, name).what_now, "") << name;
  }
  EXPECT_EQ(count(s, CheckLevel::bad), 0);
  EXPECT_THAT(check_of(s, "host memory").text, HasSubstr("limited to 3.00 GiB"));
  s.host.shared_memory.reset();
  s.host.folder.reset();
  EXPECT_EQ(check_of(s, "/dev/shm").level, CheckLevel::warn);
  EXPECT_EQ(check_of(s, "disk").level, CheckLevel::warn);
}

TEST(Doctor, RefusesDevicesThatAreNone) {
  EXPECT_THAT(thrown<UsageError>([] { doctor({"--device", "mps"}); }), HasSubstr("mps"));
}

}  // namespace
}  // namespace yolodist::commands
