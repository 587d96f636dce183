// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/share_folder.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/initialise.h"

namespace yolodist::commands {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

checkpoint::Checkpoint small_checkpoint(int class_count) {
  const model_spec::ModelSpec spec = model_spec::read_model_spec(
      std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models/yolov5n.yaml", class_count);
  model::Model model(spec, at::kFloat);
  model::initialise(model, 1);
  checkpoint::Checkpoint checkpoint;
  for (size_t i = 0; i < model.state.size(); ++i) {
    checkpoint.model.emplace_back(model.state.entries()[i].name, model.state[i]);
  }
  checkpoint.meta["model_yaml"] = spec.yaml_text;
  checkpoint.meta["model_name"] = "yolov5n";
  return checkpoint;
}

TEST(LoadModel, TakesModelAndNamesFromTheFile) {
  const test::TemporaryFolder folder;
  checkpoint::Checkpoint checkpoint = small_checkpoint(3);
  checkpoint.meta["names"] = {"cat", "dog"};
  checkpoint::write_checkpoint(folder / "w.pt", checkpoint);
  const LoadedModel loaded = load_model(folder / "w.pt", at::kCPU);
  EXPECT_EQ(loaded.model.spec.class_count, 3);
  EXPECT_EQ(loaded.model.spec.name, "yolov5n");
  EXPECT_THAT(loaded.names, ElementsAre("cat", "dog", "class2"));
  EXPECT_TRUE(loaded.model.state.contains("model.0.conv.bias")) << "fused";
}

TEST(LoadModel, RefusesWhatIsNoWholeModel) {
  const test::TemporaryFolder folder;
  checkpoint::Checkpoint checkpoint = small_checkpoint(3);
  checkpoint.model.pop_back();
  checkpoint::write_checkpoint(folder / "short.pt", checkpoint);
  EXPECT_THAT(test::thrown<DataError>([&] { load_model(folder / "short.pt", at::kCPU); }),
              AllOf(HasSubstr("short.pt"), HasSubstr("348 of the 349")));
  checkpoint.meta.erase("model_yaml");
  checkpoint::write_checkpoint(folder / "state.pt", checkpoint);
  EXPECT_THAT(test::thrown<DataError>([&] { load_model(folder / "state.pt", at::kCPU); }),
              HasSubstr("which model"));
}

TEST(FittingSide, IsAMultipleOfTheLargestStride) {
  const auto side = [](int imgsz_px, std::vector<int> strides) {
    model_spec::ModelSpec spec;
    spec.strides_px = std::move(strides);
    return fitting_side(imgsz_px, spec);
  };
  EXPECT_EQ(side(640, {8, 16, 32}), 640);
  EXPECT_EQ(side(641, {8, 16, 32}), 672);
  EXPECT_EQ(side(650, {8, 16, 32, 64}), 704);
  EXPECT_EQ(side(40, {8}), 64) << "at least 32";
}

TEST(FileStems, AreDifferentForEachPicture) {
  EXPECT_THAT(file_stems({"a/x.jpg", "b/x.png", "c/x-2.jpg", "d/x.jpg", "y.jpg"}),
              ElementsAre("x", "x-3", "x-2", "x-4", "y"));
}

TEST(LabelRows, AreFractionsOfThePicture) {
  const std::vector<eval::Detection> found = {{{10, 20, 30, 60}, 0.5F, 2}, {{0, 0, 200, 100}, 0.1234567F, 0}};
  EXPECT_EQ(label_rows(found, 100, 200, false), "2 0.1 0.4 0.1 0.4\n0 0.5 0.5 1 1\n");
  EXPECT_EQ(label_rows(found, 100, 200, true), "2 0.1 0.4 0.1 0.4 0.5\n0 0.5 0.5 1 1 0.123457\n");
  EXPECT_EQ(label_rows({}, 100, 200, true), "");
}

}  // namespace
}  // namespace yolodist::commands
