// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/log_reading.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "common/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::run {
namespace {

using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr double gib = 1024.0 * 1024 * 1024, mib = 1024.0 * 1024;

// Two GPUs, one process, out of memory in the first iteration: the log that YOLOv5's users know best.
constexpr const char* replica_log =
    "\x1b[34m\x1b[1mtrain: \x1b[0mweights=yolov5x6.pt, cfg=, data=data/wheat.yaml, "
    "hyp=data/hyps/hyp.scratch-low.yaml, "
    "epochs=100, batch_size=16, imgsz=1280, rect=False, resume=False, device=0,1, multi_scale=False, "
    "optimizer=SGD\n"
    "YOLOv5 v7.0-0-g915bbf2 Python-3.8.10 torch-1.12.1+cu113 CUDA:0 (Tesla V100-SXM2-16GB, 16160MiB)\n"
    "                                                        CUDA:1 (Tesla V100-SXM2-16GB, 16160MiB)\n"
    "\n"
    "Overriding model.yaml nc=80 with nc=3\n"
    "  0%|          | 0/512 [00:00<?, ?it/s]\r  0%|          | 0/512 [00:04<?, ?it/s]\n"
    "Traceback (most recent call last):\n"
    "RuntimeError: Caught RuntimeError in replica 0 on device 0.\n"
    "Original Traceback (most recent call last):\n"
    "RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.78 GiB total capacity; 14.37 "
    "GiB already "
    "allocated; 1.88 MiB free; 14.52 GiB reserved in total by PyTorch)\n";

TEST(LogReading, FindsWhatAReplicaWraps) {
  const LogReading reading = read_log_text(replica_log);
  ASSERT_EQ(reading.findings.size(), 2U);
  EXPECT_EQ(reading.findings[0].trouble, Trouble::wrapped_replica);
  EXPECT_EQ(reading.findings[0].line, "RuntimeError: Caught RuntimeError in replica 0 on device 0.");
  EXPECT_EQ(reading.findings[0].line_number, 8);
  ASSERT_NE(reading.cause(), nullptr);
  const Finding& cause = *reading.cause();
  EXPECT_EQ(cause.trouble, Trouble::device_memory);
  EXPECT_EQ(cause.line_number, 10);
  EXPECT_THAT(cause.line, testing::StartsWith("RuntimeError: CUDA out of memory. Tried"));
  EXPECT_EQ(cause.numbers.device, 0);
  EXPECT_EQ(cause.numbers.asked_bytes, 20 << 20);
  EXPECT_EQ(cause.numbers.total_bytes, static_cast<int64_t>(15.78 * gib));
  EXPECT_EQ(cause.numbers.allocated_bytes, static_cast<int64_t>(14.37 * gib));
  EXPECT_EQ(cause.numbers.reserved_bytes, static_cast<int64_t>(14.52 * gib));
  EXPECT_EQ(cause.numbers.free_bytes, static_cast<int64_t>(1.88 * mib));
}

TEST(LogReading, SeesHowYolov5WasStarted) {
  const TrainingSetup setup = read_log_text(replica_log).setup;
  EXPECT_EQ(setup.model, "yolov5x6");
  EXPECT_EQ(setup.data, "data/wheat.yaml");
  EXPECT_EQ(setup.imgsz_px, 1280);
  EXPECT_EQ(setup.batch, 16);
  EXPECT_EQ(setup.device_count, 2);
  EXPECT_EQ(setup.class_count, 3);
  EXPECT_EQ(setup.card, "Tesla V100-SXM2-16GB");
  EXPECT_EQ(setup.card_bytes, 16160LL << 20);
  EXPECT_TRUE(setup.is_data_parallel);
}

TEST(LogReading, SeesOlderAndOtherWaysToStart) {
  const TrainingSetup old =
      read_log_text(
          "Namespace(adam=False, batch_size=8, cfg='./models/yolov5l.yaml', data='a.yaml', "
          "device='0,1,2,3', img_size=[640, 640], total_batch_size=32, weights='', "
          "world_size=4)\nUsing torch 1.7.0 CUDA:0 (Tesla T4, 15109.75MB)\n")
          .setup;
  EXPECT_EQ(old.model, "yolov5l");
  EXPECT_EQ(old.imgsz_px, 640);
  EXPECT_EQ(old.batch, 32);
  EXPECT_EQ(old.device_count, 4);
  EXPECT_EQ(old.card, "Tesla T4");
  EXPECT_EQ(old.card_bytes, static_cast<int64_t>(15109.75 * mib));
  EXPECT_FALSE(old.is_data_parallel);

  const TrainingSetup command = read_log_text(
                                    "$ torchrun --nproc_per_node 2 train.py --img 960 --batch-size=24 "
                                    "--weights runs/yolov5m.pt --data b.yaml\n")
                                    .setup;
  EXPECT_EQ(command.model, "yolov5m");
  EXPECT_EQ(command.imgsz_px, 960);
  EXPECT_EQ(command.batch, 24);
  EXPECT_EQ(command.device_count, 2);

  const TrainingSetup own_weights =
      read_log_text(
          "train: weights=runs/exp/last.pt, cfg=models/yolov5s6.yaml, batch_size=-1, imgsz=640, device=\n")
          .setup;
  EXPECT_EQ(own_weights.model, "yolov5s6") << "the weights' name says nothing";
  EXPECT_EQ(own_weights.batch, -1);
  EXPECT_EQ(own_weights.device_count, 0);
}

MemoryNumbers numbers_of(const std::string& line) {
  const LogReading reading = read_log_text(line);
  return reading.findings.empty() ? MemoryNumbers{} : reading.findings.front().numbers;
}

TEST(LogReading, ReadsTheNewerFormsOfOutOfMemory) {
  const MemoryNumbers newer = numbers_of(
      "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 1 has a total capacity of "
      "23.64 GiB of "
      "which 1.06 GiB is free. Process 4711 has 22.57 GiB memory in use. Of the allocated memory 21.10 GiB "
      "is allocated by "
      "PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated.");
  EXPECT_EQ(newer.device, 1);
  EXPECT_EQ(newer.asked_bytes, static_cast<int64_t>(2.5 * gib));
  EXPECT_EQ(newer.total_bytes, static_cast<int64_t>(23.64 * gib));
  EXPECT_EQ(newer.free_bytes, static_cast<int64_t>(1.06 * gib));
  EXPECT_EQ(newer.in_use_bytes, static_cast<int64_t>(22.57 * gib));
  EXPECT_EQ(newer.allocated_bytes, static_cast<int64_t>(21.10 * gib));

  const MemoryNumbers misspelt = numbers_of(
      "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.70 GiB. GPU 0 has a total "
      "capacty of 6.00 GiB of "
      "which 0 bytes is free.");
  EXPECT_EQ(misspelt.total_bytes, static_cast<int64_t>(6 * gib));
  ASSERT_TRUE(misspelt.free_bytes.has_value());
  EXPECT_EQ(*misspelt.free_bytes, 0);

  EXPECT_TRUE(numbers_of("RuntimeError: CUDA error: out of memory").empty());
  EXPECT_EQ(numbers_of("RuntimeError: CUDA error: out of memory").device, -1);
}

TEST(LogReading, KnowsEachTroubleByItsMessages) {
  const std::vector<std::pair<const char*, Trouble>> messages = {
      {"RuntimeError: CUDA error: out of memory", Trouble::device_memory},
      {"RuntimeError: Unable to find a valid cuDNN algorithm to run convolution",
       Trouble::device_memory_in_disguise},
      {"RuntimeError: GET was unable to find an engine to execute this computation",
       Trouble::device_memory_in_disguise},
      {"RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", Trouble::device_memory_in_disguise},
      {"CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
       Trouble::device_memory_in_disguise},
      {"RuntimeError: DataLoader worker (pid 46) is killed by signal: Bus error. It is possible that "
       "dataloader's workers are "
       "out of shared memory. Please try to raise your shared memory limit.",
       Trouble::shared_memory},
      {"RuntimeError: unable to open shared memory object </torch_46_1> in read-write mode",
       Trouble::shared_memory},
      {"OSError: [Errno 28] No space left on device: '/dev/shm/x'", Trouble::shared_memory},
      {"OSError: [Errno 28] No space left on device", Trouble::disk_full},
      {"Killed", Trouble::host_memory},
      {"train.sh: line 12: 31337 Killed                  python train.py", Trouble::host_memory},
      {"slurmstepd: error: Detected 1 oom_kill event in StepId=9.0. Some of the step tasks have been OOM "
       "Killed.",
       Trouble::host_memory},
      {"[ 1.2] Out of memory: Killed process 4711 (python) total-vm:1kB, anon-rss:1kB", Trouble::host_memory},
      {"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)", Trouble::host_memory},
      {"torch.distributed.elastic.multiprocessing.api: failed (exitcode: -9) local_rank: 1 (pid: 7)",
       Trouble::host_memory},
      {"RuntimeError: DataLoader worker (pid 46) is killed by signal: Killed.", Trouble::host_memory},
      {"[E ProcessGroupNCCL.cpp:566] [Rank 1] Watchdog caught collective operation timeout: "
       "WorkNCCL(OpType=BROADCAST, "
       "Timeout(ms)=60000) ran for 66853 milliseconds before timing out.",
       Trouble::collective_timeout},
      {"RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one.",
       Trouble::unused_parameters},
      {"RuntimeError: CUDA error: no kernel image is available for execution on the device",
       Trouble::no_kernel_image},
      {"RuntimeError: Found no NVIDIA driver on your system.", Trouble::no_driver},
      {"RuntimeError: CUDA error: device-side assert triggered", Trouble::label_class},
      {"RuntimeError: NCCL error in: ../ProcessGroupNCCL.cpp:891, unhandled system error",
       Trouble::nccl_error},
      {"error: rank 1 on node1: out of memory [exit code 71, runs/exp/failures/attempt-0.rank-1.json]",
       Trouble::yolodist_error},
  };
  for (const auto& [message, trouble] : messages) {
    const LogReading reading = read_log_text(std::string("epoch 1\n") + message + "\n");
    ASSERT_EQ(reading.findings.size(), 1U) << message;
    EXPECT_STREQ(name_of(reading.findings[0].trouble), name_of(trouble)) << message;
    EXPECT_EQ(reading.findings[0].line, message);
    EXPECT_GT(std::string(explanation_of(trouble).what_now).size(), 10U);
  }
}

TEST(LogReading, FindsNothingWhereNothingIs) {
  for (const char* line :
       {"find_unused_parameters=False", "      0/99     13.9G    0.0445    0.0671", "Skilled workers: 8",
        "I was Killed once",
        "[W] find_unused_parameters=True was specified in DDP constructor, but did not find any unused "
        "parameters",
        "CUDA:0 (", "CUDA:x (a, b)", "Overriding model.yaml nc=", "train: weights=", "Tried to allocate"}) {
    const LogReading reading = read_log_text(line);
    EXPECT_TRUE(reading.findings.empty()) << line;
    EXPECT_EQ(reading.cause(), nullptr);
  }
}

TEST(LogReading, TellsTheCauseFromWhatFollows) {
  const LogReading reading = read_log_text(
      "[E ProcessGroupNCCL.cpp:566] [Rank 0] Watchdog caught collective operation timeout\n"
      "[E ProcessGroupNCCL.cpp:566] [Rank 2] Watchdog caught collective operation timeout\n"
      "failed (exitcode: -9) local_rank: 1\n");
  ASSERT_EQ(reading.findings.size(), 2U);
  EXPECT_EQ(reading.findings[0].count, 2);
  EXPECT_EQ(reading.cause()->trouble, Trouble::host_memory);
  const LogReading killed_after = read_log_text("Killed\nCUDA error: out of memory\n");
  EXPECT_EQ(killed_after.cause()->trouble, Trouble::device_memory);
}

TEST(LogReading, SeesThroughProgressBarsAndColours) {
  const LogReading reading = read_log_text(
      "  1%|\r  2%|          \r\x1b[31mRuntimeError: CUDA out of memory. Tried to allocate 3.00 GiB\x1b[0m\r "
      " 3%|\n");
  ASSERT_EQ(reading.findings.size(), 1U);
  EXPECT_EQ(reading.findings[0].line, "RuntimeError: CUDA out of memory. Tried to allocate 3.00 GiB");
  EXPECT_EQ(reading.findings[0].line_number, 1);
}

TEST(LogReading, ReadsHeadAndTailOfALargeFile) {
  const TemporaryFolder folder;
  std::string text = "train: weights=yolov5s.pt, cfg=, batch_size=4, imgsz=320, device=0\n";
  const std::string row = std::string(1023, '.') + "\n";
  while (text.size() < (48U << 20)) {
    text += row;
  }
  text += "Killed\n";
  const LogReading reading = read_log(folder.write("big.log", text));
  EXPECT_TRUE(reading.is_cut);
  EXPECT_EQ(reading.bytes, static_cast<int64_t>(text.size()));
  EXPECT_EQ(reading.setup.model, "yolov5s");
  ASSERT_EQ(reading.findings.size(), 1U);
  EXPECT_EQ(reading.findings[0].line_number, 0) << "the middle was not counted";
}

TEST(LogReading, ReadsWhatPowerShellWrites) {
  const TemporaryFolder folder;
  std::string text = "\xff\xfe";
  for (const char c : std::string("RuntimeError: CUDA out of memory. Tried to allocate 1.00 GiB\r\n")) {
    text += c;
    text += '\0';
  }
  const LogReading reading = read_log(folder.write("windows.log", text));
  ASSERT_EQ(reading.findings.size(), 1U);
  EXPECT_EQ(reading.findings[0].numbers.asked_bytes, 1 << 30);
}

TEST(LogReading, RefusesWhatIsNoLog) {
  const TemporaryFolder folder;
  std::string binary;
  for (int k = 0; k < 4096; ++k) {
    binary += static_cast<char>(k * 37);
  }
  EXPECT_THAT(thrown<DataError>([&] { read_log(folder.write("last.pt", binary)); }),
              AllOf(HasSubstr("last.pt"), HasSubstr("not a log")));
  EXPECT_THAT(thrown<DataError>([&] { read_log(folder / "none.log"); }), HasSubstr("none.log"));
  EXPECT_TRUE(read_log(folder.write("empty.log", "")).findings.empty());
  // A machine that went down leaves zeros at the end; a progress bar has letters of other alphabets.
  const std::string odd = "0%|\xe2\x96\x88\xe2\x96\x88| \xe7\x94\xa8\nKilled\n" + std::string(8, '\0');
  EXPECT_EQ(read_log(folder.write("odd.log", std::string(200, 'a') + odd)).findings.size(), 1U);
}

TEST(LogReading, TakesAnyBytes) {
  std::string text;
  uint32_t state = 1;
  for (int k = 0; k < 200000; ++k) {
    state = state * 1664525 + 1013904223;
    const uint32_t choice = state >> 24;
    static const std::vector<std::string> pieces = {"CUDA:",
                                                    "(",
                                                    ", ",
                                                    "weights=",
                                                    "batch_size=",
                                                    "GPU ",
                                                    " free;",
                                                    " already allocated",
                                                    "Tried to allocate ",
                                                    "CUDA out of memory",
                                                    "\r",
                                                    "\n",
                                                    "\x1b[",
                                                    "=",
                                                    ",",
                                                    " GiB",
                                                    "9999999999999999999",
                                                    "Killed",
                                                    "train.py",
                                                    " --",
                                                    "nc=80 with nc="};
    text += choice < 128 ? pieces[choice % pieces.size()] : std::string(1, static_cast<char>(choice));
  }
  EXPECT_NO_THROW(read_log_text(text, text));
}

}  // namespace
}  // namespace yolodist::run
