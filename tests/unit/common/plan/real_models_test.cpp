// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <chrono>

#include "common/plan/bounds.h"
#include "common/plan/cards.h"
#include "common/plan/planner.h"
#include "common/plan/summary.h"

// The planner over the real memory model and the shipped models.
namespace yolodist::plan {
namespace {

constexpr int64_t gib = int64_t{1} << 30;

model_spec::ModelSpec shipped(const std::string& name) {
  return model_spec::read_model_spec(YOLODIST_SOURCE_DIR "/share/yolodist/models/" + name + ".yaml");
}

Request request_of(const model_spec::ModelSpec& spec, int side_px, int batch, std::vector<Device> devices) {
  Request request;
  request.spec = &spec;
  Workload& w = request.workload;
  w.imgsz_px = w.height_px = w.width_px = side_on_stride(spec, side_px);
  w.validation_height_px = w.validation_width_px = largest_validation_side(spec, w.imgsz_px);
  request.matches_a_picture = most_matches(spec, 100);
  request.global_batch = batch;
  request.devices = std::move(devices);
  return request;
}

Device cpu(int64_t budget_bytes) {
  Device device;
  device.card = "cpu";
  device.budget_bytes = budget_bytes;
  return device;
}

Device card(const char* name) {
  static const CardCatalogue catalogue = read_cards(YOLODIST_SOURCE_DIR "/share/yolodist/cards.yaml");
  return device_of_card(find_card(catalogue, name), Precision::fp32);
}

TEST(RealModels, X6FitsOnASmallCardWithRecomputeOnly) {
  const model_spec::ModelSpec spec = shipped("yolov5x6");
  Request request = request_of(spec, 1280, 16, std::vector<Device>(4, card("V100-16GB")));
  const Plan plan = make_plan(request);
  EXPECT_TRUE(plan.fits) << plan.summary;
  EXPECT_NE(recompute_text(plan.ranks[0].recompute), "none");
  EXPECT_LE(plan.ranks[0].estimate.device_bytes, request.devices[0].budget_bytes);
  request.recompute = RecomputeChoice::none;
  EXPECT_FALSE(make_plan(request).fits);
}

TEST(RealModels, TheLargestBatchFitsAndOneMoreDoesNot) {
  for (const char* name : {"yolov5n", "yolov5s6", "yolov5x6"}) {
    const model_spec::ModelSpec spec = shipped(name);
    Request request = request_of(spec, 1280, -1, {card("T4"), card("T4")});
    const Plan plan = make_plan(request);
    EXPECT_TRUE(plan.fits) << name;
    EXPECT_GT(plan.ranks[0].estimate.device_bytes, request.devices[0].budget_bytes * 85 / 100) << name;
    request.global_batch = plan.global_batch + 2;
    EXPECT_FALSE(make_plan(request).fits) << name << " at " << request.global_batch;
    request.global_batch = plan.global_batch;
    EXPECT_TRUE(make_plan(request).fits) << name;
  }
}

TEST(RealModels, MoreMemoryIsNeverSlower) {
  for (const char* name : {"yolov5n", "yolov5m6"}) {
    const model_spec::ModelSpec spec = shipped(name);
    double before = 1e99;
    int fitting = 0;
    for (int step = 1; step <= 40; ++step) {
      const Plan plan = make_plan(request_of(spec, 640, 4, {cpu(step * gib / 10)}));
      if (plan.fits) {
        ++fitting;
        EXPECT_LE(plan.ranks[0].seconds, before) << name << " at " << step;
        before = plan.ranks[0].seconds;
      }
    }
    EXPECT_GT(fitting, 5) << name;
  }
}

TEST(RealModels, TheSmallestBudgetWouldDo) {
  const model_spec::ModelSpec spec = shipped("yolov5s");
  const Plan plan = make_plan(request_of(spec, 640, 4, {cpu(gib / 4)}));
  ASSERT_FALSE(plan.fits);
  EXPECT_TRUE(make_plan(request_of(spec, 640, 4, {cpu(plan.smallest_budget_bytes)})).fits);
  EXPECT_FALSE(make_plan(request_of(spec, 640, 4, {cpu(plan.smallest_budget_bytes - 512)})).fits);
}

TEST(RealModels, NextPlansEnd) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  const Request request = request_of(spec, 640, 8, {cpu(gib), cpu(gib)});
  Plan plan = make_plan(request);
  int steps = 0;
  while (const std::optional<Plan> after =
             next_plan(request, plan, {.rank = 1, .in_validation = false, .excess_bytes = gib / 2})) {
    EXPECT_LT(after->ranks[1].estimate.training_bytes, plan.ranks[1].estimate.training_bytes);
    plan = *after;
    ASSERT_LT(++steps, 50);
  }
  EXPECT_GE(steps, 1);
}

TEST(RealModels, AnswersInTime) {
  const model_spec::ModelSpec spec = shipped("yolov5x6");
  const auto start = std::chrono::steady_clock::now();
  make_plan(request_of(spec, 1280, 16, std::vector<Device>(4, card("V100-16GB"))));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
#ifdef NDEBUG
  EXPECT_LT(seconds.count(), 1.0) << "on an idle machine a tenth of a second";
#else
  EXPECT_LT(seconds.count(), 10.0);
#endif
}

}  // namespace
}  // namespace yolodist::plan
