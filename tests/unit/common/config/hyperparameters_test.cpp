// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/hyperparameters.h"

#include <string>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::config {
namespace {

using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::filesystem::path hyps = std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/hyps";

// A whole file with one line put before it and one key taken out.
std::string low_with(const std::string& line, const std::string& without) {
  const nlohmann::ordered_json document = to_json(Hyperparameters{});
  std::string text = line + "\n";
  for (const auto& [key, value] : document.items()) {
    if (key != without) {
      text += key + ": " + value.dump() + "\n";
    }
  }
  return text;
}

TEST(Hyperparameters, DefaultsAreTheShippedLowFile) {
  EXPECT_EQ(to_json(read_hyperparameters(hyps / "hyp.scratch-low.yaml")), to_json(Hyperparameters{}));
}

// A spot check of each file against YOLOv5 v7.0; every one is read without a warning.
TEST(Hyperparameters, AllShippedFilesAreComplete) {
  testing::internal::CaptureStderr();
  const Hyperparameters med = read_hyperparameters(hyps / "hyp.scratch-med.yaml");
  const Hyperparameters high = read_hyperparameters(hyps / "hyp.scratch-high.yaml");
  const Hyperparameters voc = read_hyperparameters(hyps / "hyp.VOC.yaml");
  const Hyperparameters objects = read_hyperparameters(hyps / "hyp.Objects365.yaml");
  const Hyperparameters none = read_hyperparameters(hyps / "hyp.no-augmentation.yaml");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
  EXPECT_EQ(med.scale, 0.9);
  EXPECT_EQ(med.copy_paste, 0);
  EXPECT_EQ(high.copy_paste, 0.1);
  EXPECT_EQ(voc.anchors, 3.412);
  EXPECT_EQ(voc.momentum, 0.74832);
  EXPECT_EQ(objects.lr0, 0.00258);
  EXPECT_EQ(none.mosaic, 0);
  EXPECT_EQ(none.fliplr, 0);
}

TEST(Hyperparameters, MissingKeyKeepsItsDefaultWithAWarning) {
  const TemporaryFolder folder;
  testing::internal::CaptureStderr();
  const Hyperparameters hyp = read_hyperparameters(folder.write("h.yaml", low_with("", "mosaic")));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), AllOf(HasSubstr("mosaic"), HasSubstr("missing")));
  EXPECT_EQ(hyp.mosaic, 1.0);
}

TEST(Hyperparameters, UnknownKeyIsNamedWithItsLine) {
  const TemporaryFolder folder;
  testing::internal::CaptureStderr();
  read_hyperparameters(folder.write("h.yaml", low_with("\nmosiac: 1", "")));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("h.yaml:2"), HasSubstr("did you mean mosaic?")));
}

TEST(Hyperparameters, TakesPlusSignsAndExponents) {
  const TemporaryFolder folder;
  const Hyperparameters hyp = read_hyperparameters(folder.write("h.yaml", low_with("lr0: +1e-3", "lr0")));
  EXPECT_EQ(hyp.lr0, 0.001);
}

TEST(Hyperparameters, RefusesValuesOutOfRangeWithFileAndLine) {
  const TemporaryFolder folder;
  for (const char* line :
       {"lr0: -0.1", "fliplr: 1.5", "mosaic: -0.1", "momentum: 1.0", "scale: 1.0", "anchor_t: 1", "cls_pw: 0",
        "degrees: 200", "shear: 90", "lr0: .inf", "lr0: .nan"}) {
    const std::string key = std::string(line).substr(0, std::string(line).find(':'));
    const auto file = folder.write("h.yaml", low_with(std::string("# comment\n") + line, key));
    EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(file); }),
                AllOf(HasSubstr("h.yaml:2"), HasSubstr(key)))
        << line;
  }
}

TEST(Hyperparameters, RefusesWhatIsNotANumber) {
  const TemporaryFolder folder;
  for (const char* line : {"lr0: fast", "lr0: [0.1]", "lr0:", "lr0: '0.1'", "lr0: 0.1x"}) {
    const auto file = folder.write("h.yaml", low_with(line, "lr0"));
    EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(file); }),
                AllOf(HasSubstr("h.yaml:1"), HasSubstr("a number")))
        << line;
  }
}

TEST(Hyperparameters, RefusesFilesThatAreNoMapping) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(folder.write("h.yaml", "- 1\n")); }),
              HasSubstr("a list"));
  EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(folder.write("h.yaml", "lr0: 1\nlr0: 2\n")); }),
              AllOf(HasSubstr("h.yaml:2"), HasSubstr("second time, first at"), HasSubstr("h.yaml:1")));
  EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(folder.write("h.yaml", "lr0: 1\n\tlrf: [2\n")); }),
              HasSubstr("h.yaml:2: not valid yaml"));
  EXPECT_THAT(thrown<DataError>([&] { read_hyperparameters(folder / "none.yaml"); }), HasSubstr("none.yaml"));
}

TEST(Hyperparameters, JsonKeepsEveryValueAndTheOrder) {
  Hyperparameters hyp;
  hyp.lr0 = 1.0 / 3;
  hyp.label_smoothing = 0.1;
  const nlohmann::ordered_json document = to_json(hyp);
  EXPECT_EQ(document.begin().key(), "lr0");
  EXPECT_EQ(document.size(), 30u);
  EXPECT_EQ(to_json(hyperparameters_from_json(document)), document);
}

TEST(Hyperparameters, JsonIsCheckedToo) {
  EXPECT_THAT(thrown<DataError>([] { hyperparameters_from_json({{"fliplr", 2}}); }), HasSubstr("fliplr"));
  EXPECT_THAT(thrown<DataError>([] { hyperparameters_from_json({{"fliplr", "x"}}); }), HasSubstr("fliplr"));
  EXPECT_THAT(thrown<DataError>([] { hyperparameters_from_json(nullptr); }), Not(IsEmpty()));
  EXPECT_EQ(hyperparameters_from_json({{"other", 2}}).fliplr, 0.5);
}

// Source: worked out from ultralytics/yolov5 v7.0 train.py; the last is also stored in a real checkpoint.
TEST(Hyperparameters, GainsScaleWithLevelsClassesAndSide) {
  const Hyperparameters p5 = scaled({}, 3, 80, 640);
  EXPECT_DOUBLE_EQ(p5.box, 0.05);
  EXPECT_DOUBLE_EQ(p5.cls, 0.5);
  EXPECT_DOUBLE_EQ(p5.obj, 1.0);
  const Hyperparameters p6 = scaled({}, 4, 80, 1280);
  EXPECT_DOUBLE_EQ(p6.box, 0.0375);
  EXPECT_DOUBLE_EQ(p6.cls, 0.375);
  EXPECT_DOUBLE_EQ(p6.obj, 3.0);
  const Hyperparameters two_classes = scaled({}, 3, 2, 1280);
  EXPECT_DOUBLE_EQ(two_classes.cls, 0.0125);
  EXPECT_DOUBLE_EQ(two_classes.obj, 4.0);
}

}  // namespace
}  // namespace yolodist::config
