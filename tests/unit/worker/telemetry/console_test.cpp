// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/console.h"

#include <gtest/gtest.h>

namespace yolodist::telemetry {
namespace {

Progress progress_of(int64_t done) {
  Progress progress;
  progress.epoch = 1;
  progress.epochs = 100;
  progress.memory_bytes = 3'456'000'000;
  progress.box = 0.0712345;
  progress.obj = 0.1;
  progress.cls = 12345.6;
  progress.instances = 132;
  progress.imgsz_px = 1280;
  progress.done = done;
  progress.total = 20;
  progress.elapsed_s = 12;
  return progress;
}

TEST(Console, HasThePeersColumns) {
  EXPECT_EQ(epoch_header(), "      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size");
  EXPECT_EQ(epoch_columns(progress_of(5)),
            "       1/99      3.46G    0.07123        0.1  1.235e+04        132       1280");
  Progress first = progress_of(0);
  first.memory_bytes = 0;
  EXPECT_EQ(epoch_columns(first),
            "       1/99         0G    0.07123        0.1  1.235e+04        132       1280");
}

TEST(Console, ShowsPercentBarCountAndTimes) {
  const std::string columns = epoch_columns(progress_of(0));
  EXPECT_EQ(progress_line(progress_of(0)), columns + ":   0%|          | 0/20 [00:12<?, ?it/s]");
  EXPECT_EQ(progress_line(progress_of(5)), columns + ":  25%|██▌       | 5/20 [00:12<00:36,  2.40s/it]");
  EXPECT_EQ(progress_line(progress_of(20)), columns + ": 100%|██████████| 20/20 [00:12<00:00,  1.67it/s]");
}

TEST(Console, ShowsTheWorstRanksPeakAgainstItsBudget) {
  Progress progress = progress_of(5);
  const std::string line = progress_line(progress);
  progress.worst_peak_bytes = 1'234'000'000;
  EXPECT_EQ(progress_line(progress), line + " peak 1.23G");
  progress.worst_rank = 3;
  EXPECT_EQ(progress_line(progress), line + " peak 1.23G r3");
  progress.worst_budget_bytes = 2'000'000'000;
  EXPECT_EQ(progress_line(progress), line + " peak 1.23/2.00G r3");
  progress.worst_peak_bytes = 0;
  EXPECT_EQ(progress_line(progress), line);
}

TEST(Console, WritesHoursOnlyWhenThereAreSome) {
  EXPECT_EQ(clock_text(62.9), "01:02");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "00:00");
}

TEST(Console, BeginsAndEndsARunAsThePeerDoes) {
  EXPECT_EQ(start_lines(640, 4, "runs/train/exp", 3),
            "Image sizes 640 train, 640 val\nUsing 4 dataloader workers\nLogging results to runs/train/exp\n"
            "Starting training for 3 epochs...");
  EXPECT_EQ(end_line(3, 43.5), "3 epochs completed in 0.012 hours.");
}

}  // namespace
}  // namespace yolodist::telemetry
