// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/diagnose.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <ctime>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/failure_report.h"
#include "launcher/commands/fitting_plan.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string text_of(const Diagnosis& diagnosis) {
  return join(diagnosis.lines, "\n");
}

class Diagnose : public testing::Test {
 protected:
  Diagnose() { setenv("YOLODIST_SHARE", YOLODIST_SOURCE_DIR "/share/yolodist", 1); }

  void write_run(const std::string& more = "") {
    folder_.write(
        "run.yaml",
        "schema: 1\ncommand: train\nstarted: 2026-01-31T12:00:00+0000\nworld_size: 2\nresumed_count: 1\n"
        "options:\n  weights: ''\n  cfg: yolov5n\n  imgsz: 640\n  batch_size: 8\n  epochs: 3\n" +
            more);
  }
  void write_failure(int rank, int exit_code, int64_t time_s, const std::string& what,
                     const json& memory = nullptr) {
    run::write_failure_report(run_.failure_report(0, rank), {.attempt = 0,
                                                             .rank = rank,
                                                             .host = "node1",
                                                             .what = what,
                                                             .hint = "Do this.",
                                                             .phase = "train",
                                                             .exit_code = exit_code,
                                                             .time_ns = time_s * 1'000'000'000,
                                                             .memory = memory});
  }

  test::TemporaryFolder folder_;
  run::RunDirectory run_{folder_.path()};
};

const json out_of_memory = {{"rank", 1},
                            {"host", "node1"},
                            {"phase", "backward"},
                            {"piece", "model.4.cv1"},
                            {"requested_bytes", 5 << 20},
                            {"held_bytes", 395 << 20},
                            {"budget_bytes", 400 << 20},
                            {"free_bytes", 5 << 20}};

TEST_F(Diagnose, SaysWhatARunThatFailedNeeds) {
  write_run();
  folder_.write("weights/last.pt", "x");
  folder_.write("logs/rank-1.log",
                "2026-01-31 12:00:00.000 info fine\n2026-01-31 12:00:01.000 warning slow disk\n"
                "2026-01-31 12:00:02.000 error out of memory\n");
  folder_.write("plan.json",
                R"({"schema":1,"plans":[{"plan":{"summary":"same as YOLOv5","ranks":[{"rank":0,"card":"cpu",)"
                R"("budget_bytes":419430400,"peak_bytes":{"allocator":390000000}}]}}]})");
  write_failure(0, 76, 1769860805, "rank 1 did not come");
  write_failure(1, 71, 1769860800, "rank 1 ran out of memory", out_of_memory);
  const Diagnosis diagnosis = diagnose_run(run_);
  EXPECT_THAT(
      text_of(diagnosis),
      AllOf(HasSubstr("yolov5n, 640 px, batch 8, 2 ranks"), HasSubstr("resumed 1 time"),
            HasSubstr("state      failed"), HasSubstr("failure    rank 1 on node1"),
            HasSubstr("backward of model.4.cv1"), HasSubstr("asked 5.00 MiB"), HasSubstr("also       rank 0"),
            HasSubstr("plan: same as YOLOv5"), HasSubstr("exit code  71: out of memory")));
  EXPECT_THAT(text_of(diagnosis),
              AllOf(HasSubstr("yolodist plan --model yolov5n --img 640 --batch 8"),
                    HasSubstr("--device cpu --device-memory 0.39GiB"),
                    HasSubstr("mpirun -np 2 yolodist train --resume " + folder_.path().string()),
                    HasSubstr("rank 1: 2026-01-31"), HasSubstr("slow disk"), Not(HasSubstr("info fine"))));
  EXPECT_EQ(diagnosis.document["exit_code"], 71);
  EXPECT_EQ(diagnosis.document["failures"].size(), 2U);
  EXPECT_EQ(diagnosis.document["failures"][0]["memory"], out_of_memory) << "earliest first";
  EXPECT_EQ(diagnosis.document["may_resume"], true);
}

TEST_F(Diagnose, KnowsARunThatEndedWell) {
  write_run();
  folder_.write(
      "metrics.jsonl",
      R"({"type":"iteration","attempt":0,"epoch":2,"iteration":9,"step":3,"images_per_s":12.5,)"
      R"("loss":{"box":0.1,"obj":0.1,"cls":0.1,"total":0.3},"ranks":[{"rank":0,"peak_bytes":1048576}]})"
      "\n"
      R"({"type":"event","attempt":0,"iteration":9,"event":"end","detail":"finished"})"
      "\n");
  const Diagnosis diagnosis = diagnose_run(run_);
  EXPECT_THAT(text_of(diagnosis),
              AllOf(HasSubstr("finished"), HasSubstr("epoch 2 of 3, iteration 9, 12.5 img/s"),
                    HasSubstr("rank 0: peak 1.00 MiB"), HasSubstr("nothing is to be done")));
  EXPECT_EQ(diagnosis.document["state"], "finished");
  EXPECT_EQ(diagnosis.document["may_resume"], false);
}

TEST_F(Diagnose, SeesWhereARunWithoutAReportBrokeOff) {
  write_run();
  folder_.write("metrics.jsonl",
                R"({"type":"sample","rank":0,"time_s":1769860800,"phase":"forward","allocated_bytes":1})"
                "\n");
  folder_.write("logs/rank-0.log",
                "2026-01-31 12:00:00.000 info epoch 1\n2026-01-31 12:00:09.000 info going on\n\n");
  folder_.write("results.csv", "epoch\n0\n1\n");
  const Diagnosis silent = diagnose_run(run_);
  EXPECT_THAT(text_of(silent), AllOf(HasSubstr("no sign of life"),
                                     HasSubstr("rank 0 said last: 2026-01-31 12:00:09.000 info going on"),
                                     HasSubstr("resume     mpirun -np 2")));
  folder_.write("results.csv", "epoch\n0\n1\n2\n");
  EXPECT_EQ(diagnose_run(run_).document["state"], "finished");
}

TEST_F(Diagnose, TellsOfShortagesThatTrainingWentOnFrom) {
  write_run();
  folder_.write("failures/attempt-0.rank-1.memory-0.json", out_of_memory.dump());
  folder_.write("failures/attempt-0.rank-1.memory-1.json", "half a docu");
  const Diagnosis diagnosis = diagnose_run(run_);
  EXPECT_THAT(text_of(diagnosis),
              AllOf(HasSubstr("memory     out of memory on rank 1 (node1): backward of model.4.cv1"),
                    HasSubstr("memory-0.json"), HasSubstr("asked 5.00 MiB"), HasSubstr("unread"),
                    HasSubstr("memory-1.json")));
  EXPECT_EQ(diagnosis.document["memory_events"].size(), 1U);
}

TEST_F(Diagnose, TellsOfConnectionsThatWereMadeAnew) {
  write_run();
  folder_.write(
      "failures/attempt-0.rank-1.link-0.json",
      R"({"schema": 1, "rank": 1, "iteration": 7, "what": "rank 1: starting #14 all_reduce: system error"})");
  const Diagnosis diagnosis = diagnose_run(run_);
  EXPECT_THAT(text_of(diagnosis), AllOf(HasSubstr("iteration 7: rank 1: starting #14"),
                                        HasSubstr("attempt-0.rank-1.link-0.json"), Not(HasSubstr("unread"))));
  EXPECT_EQ(diagnosis.document["link_events"].size(), 1U);
}

TEST_F(Diagnose, ExplainsARankThatWasKilled) {
  write_run();
  write_failure(0, 137, std::time(nullptr), "rank 0 was ended by signal 9");
  const Diagnosis diagnosis = diagnose_run(run_);
  EXPECT_THAT(text_of(diagnosis),
              AllOf(HasSubstr("exit code  137"), HasSubstr("SIGKILL"), HasSubstr("no checkpoint yet")));
  EXPECT_FALSE(diagnosis.document.contains("plan")) << "the host's memory is no matter of the plan";
}

TEST_F(Diagnose, TakesRunsOfOtherCommandsAndHalfWrittenOnes) {
  folder_.write("run.yaml",
                "schema: 1\ncommand: val\nworld_size: 1\noptions:\n  weights: best.pt\n  imgsz: 640\n");
  write_failure(0, 65, 1769860800, "labels are missing");
  EXPECT_THAT(text_of(diagnose_run(run_)),
              AllOf(HasSubstr("val, best.pt"), HasSubstr("labels are missing"), HasSubstr("exit code  65")));

  write_run();
  for (const char* content : {"", "{", "[]", "null", "{\"plans\":[]}", "{\"plans\":[3]}",
                              "{\"plans\":[{\"plan\":{\"ranks\":3}}]}"}) {
    folder_.write("plan.json", content);
    folder_.write("metrics.jsonl", content);
    folder_.write("failures/attempt-0.rank-0.json", content);
    folder_.write("failures/attempt-0.rank-0.memory-0.json", content);
    EXPECT_NO_THROW(diagnose_run(run_)) << content;
  }
  EXPECT_THAT(thrown<DataError>([&] { diagnose_run({folder_ / "none"}); }), HasSubstr("run.yaml"));
}

TEST_F(Diagnose, PlansWhatAnotherTrainerTried) {
  const auto file = folder_.write(
      "train.log",
      "train: weights=yolov5x6.pt, cfg=, data=w.yaml, epochs=9, batch_size=16, imgsz=1280, device=0,1\n"
      "CUDA:0 (Tesla V100-SXM2-16GB, 16160MiB)\nCUDA:1 (Tesla V100-SXM2-16GB, 16160MiB)\n"
      "RuntimeError: Caught RuntimeError in replica 0 on device 0.\n"
      "RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.78 GiB total capacity; "
      "14.37 GiB already allocated; 1.88 MiB free; 14.38 GiB reserved in total by PyTorch)\n");
  const Diagnosis diagnosis = diagnose_log(file);
  EXPECT_THAT(
      text_of(diagnosis),
      AllOf(HasSubstr("  | RuntimeError: Caught RuntimeError in replica 0 on device 0.\n"),
            HasSubstr("line 5:"), HasSubstr("The cause."), HasSubstr("DataParallel"),
            HasSubstr("What would fit:"),
            HasSubstr("yolodist plan --model yolov5x6 --img 1280 --batch 16 --ranks 2 --card V100-16GB"),
            HasSubstr(
                "mpirun -np 2 yolodist train --weights yolov5x6.pt --data w.yaml --img 1280 --batch 16")));
  EXPECT_EQ(diagnosis.document["findings"].size(), 2U);
  EXPECT_EQ(diagnosis.document["findings"][1]["is_cause"], true);
  EXPECT_EQ(diagnosis.document["findings"][1]["memory"]["asked_bytes"], 20 << 20);
  EXPECT_EQ(diagnosis.document["plan"]["fits"], true);
}

TEST_F(Diagnose, NamesOptionsThatFitWhereWhatWasTriedDoesNot) {
  const Diagnosis diagnosis =
      diagnose_log(folder_.write("train.log",
                                 "train.py --cfg yolov5l.yaml --img 960 --batch 32\nCUDA out of memory. "
                                 "Tried to allocate 1.00 GiB (GPU 0; "
                                 "8.00 GiB total capacity; 7.00 GiB already allocated)\n"));
  ASSERT_EQ(diagnosis.document["plan"]["fits"], false);
  const std::string command = diagnosis.document["train_command"];
  EXPECT_THAT(command,
              testing::StartsWith("yolodist train --weights '' --cfg yolov5l --data DATA.yaml --img "));
  EXPECT_THAT(command, Not(testing::EndsWith("--img 960 --batch 32")));
}

TEST_F(Diagnose, SaysWhenNothingIsKnown) {
  const Diagnosis nothing = diagnose_log(folder_.write("other.log", "all well\nValueError: odd\n"));
  EXPECT_THAT(text_of(nothing),
              AllOf(HasSubstr("No message"), HasSubstr("ValueError: odd"), Not(HasSubstr("yolodist train"))));
  const Diagnosis no_model =
      diagnose_log(folder_.write("short.log", "RuntimeError: CUDA error: out of memory\n"));
  EXPECT_THAT(text_of(no_model), HasSubstr("yolodist plan --model all"));
  const Diagnosis shm =
      diagnose_log(folder_.write("shm.log",
                                 "train.py --weights yolov5s.pt\nRuntimeError: unable to open shared memory "
                                 "object </torch_1> in read-write mode\n"));
  EXPECT_THAT(text_of(shm), AllOf(HasSubstr("--shm-size"), HasSubstr("yolodist train --weights yolov5s.pt"),
                                  Not(HasSubstr("yolodist plan "))));
}

TEST_F(Diagnose, TakesOnlyWhatIsThere) {
  EXPECT_THAT(thrown<DataError>([&] { diagnose({(folder_ / "nowhere").string()}); }), HasSubstr("nowhere"));
  EXPECT_THAT(thrown<UsageError>([&] { diagnose({"a", "b"}); }), HasSubstr("'b'"));
  EXPECT_THAT(thrown<UsageError>([&] { diagnose({"--jsno"}); }), HasSubstr("--json"));
}

TEST_F(Diagnose, AsksThePlanOnlyForWhatIsKnown) {
  EXPECT_THAT(fitting_plan({}).problem, HasSubstr("model"));
  EXPECT_THAT(fitting_plan({.model = "yolov5s"}).problem, HasSubstr("memory"));
  EXPECT_THAT(fitting_plan({.model = "no-such", .memory_bytes = 1 << 30}).problem, HasSubstr("no-such"));
  const FitAnswer unlisted =
      fitting_plan({.model = "yolov5s", .card = "Some Card", .memory_bytes = int64_t{10} << 30});
  EXPECT_EQ(unlisted.problem, "");
  EXPECT_THAT(unlisted.card_option, AllOf(HasSubstr("--card "), HasSubstr("--device-memory 10.00GiB")));
  EXPECT_EQ(unlisted.budget_bytes, int64_t{10} << 30);
}

}  // namespace
}  // namespace yolodist::commands
