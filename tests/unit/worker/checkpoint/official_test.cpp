// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/model_spec/model_spec.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"
#include "tests/unit/worker/checkpoint/official_file.h"
#include "worker/checkpoint/checkpoint.h"

namespace yolodist::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Checkpoint read(OfficialFile file) {
  const test::TemporaryFolder folder;
  return read_checkpoint(folder.write("x.pt", file.content()));
}

std::string refused(const std::string& content) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("x.pt", content);
  std::string line = test::thrown<DataError>([&] { read_checkpoint(path); });
  EXPECT_THAT(line, AllOf(HasSubstr("x.pt"), Not(HasSubstr("\n"))));
  return line;
}

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    names.push_back(name);
  }
  return names;
}

model_spec::ModelSpec spec_of(const Checkpoint& checkpoint) {
  return model_spec::parse_model_spec(checkpoint.meta.at("model_yaml").get<std::string>(), "x.pt");
}

// What every variant of the small file has to give.
void expect_the_small_model(const NamedTensors& tensors, double plus) {
  EXPECT_THAT(names_of(tensors), ElementsAre("model.0.conv.weight", "model.0.bn.weight", "model.0.bn.bias",
                                             "model.0.bn.running_mean", "model.0.bn.running_var",
                                             "model.0.bn.num_batches_tracked", "model.1.anchors",
                                             "model.1.m.0.weight", "model.1.m.0.bias"));
  const std::vector<double> starts = {0, 1, 2, 3, 4, 77, 1, 5, 6};
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    const bool is_counter = name.ends_with("num_batches_tracked");
    EXPECT_EQ(tensor.scalar_type(), is_counter ? at::kLong : at::kFloat) << name;
    const bool is_shifted = !is_counter && name != "model.1.anchors";
    EXPECT_TRUE(tensor.to(at::kFloat)
                    .equal(OfficialFile::values(tensor.sizes().vec(), starts[i] + (is_shifted ? plus : 0))))
        << name;
  }
}

TEST(OfficialCheckpoint, OfTodayIsReadInHalf) {
  const Checkpoint checkpoint = read({});
  expect_the_small_model(checkpoint.model, 0);
  EXPECT_TRUE(checkpoint.ema.empty());
  EXPECT_TRUE(checkpoint.optimizer.empty());
  const nlohmann::json& meta = checkpoint.meta;
  EXPECT_EQ(meta.at("official"), true);
  EXPECT_EQ(meta.at("model_class"), "models.yolo.DetectionModel");
  EXPECT_EQ(meta.at("model_name"), "tiny");
  EXPECT_EQ(meta.at("names"), (nlohmann::json{"cat", "dog"}));
  EXPECT_EQ(meta.at("nc"), 2);
  EXPECT_EQ(meta.at("strides"), nlohmann::json{2});
  EXPECT_EQ(meta.at("epoch"), -1);
}

TEST(OfficialCheckpoint, HasTheEntriesThatItsYamlDescribes) {
  const Checkpoint checkpoint = read({});
  const model_spec::ModelSpec spec = spec_of(checkpoint);
  const std::vector<model_spec::StateEntry> entries = spec.entries();
  ASSERT_EQ(entries.size(), checkpoint.model.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].name, checkpoint.model[i].first);
    EXPECT_EQ(entries[i].shape, checkpoint.model[i].second.sizes().vec()) << entries[i].name;
  }
  EXPECT_EQ(spec.class_count, 2);
  EXPECT_EQ(spec.activation, "SiLU");
  EXPECT_EQ(spec.anchors_px[0][2][1], 24);
}

TEST(OfficialCheckpoint, OfOldIsReadToo) {
  OfficialFile file;
  file.root = "archive";
  file.model_class = "models.yolo Model";
  file.has_anchor_grid = true;
  // best_fitness as NumPy pickles it.
  using namespace pickled;
  const std::string encode = global("_codecs encode");
  const std::string array =
      call(global("numpy.core.multiarray _reconstruct"),
           {global("numpy ndarray"), tuple({integer(0)}), call(encode, {text("b"), text("latin1")})}) +
      tuple(
          {integer(1), tuple({integer(1)}),
           call(global("numpy dtype"), {text("f8"), boolean(false), boolean(true)}) +
               tuple({integer(3), text("<"), none(), none(), none(), integer(-1), integer(-1), integer(0)}) +
               "b",
           boolean(false), call(encode, {text("12345678"), text("latin1")})}) +
      "b";
  file.entries = {
      {text("best_fitness"), array}, {text("wandb_id"), none()}, {text("training_results"), none()}};
  const Checkpoint checkpoint = read(file);
  expect_the_small_model(checkpoint.model, 0);
  EXPECT_FALSE(checkpoint.meta.contains("best_fitness"));
  EXPECT_TRUE(checkpoint.meta.at("wandb_id").is_null());
}

TEST(OfficialCheckpoint, IsReadInFloatAndDouble) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    OfficialFile file;
    file.dtype = dtype;
    expect_the_small_model(read(file).model, 0);
  }
}

TEST(OfficialCheckpoint, IsReadInEveryProtocolThatPythonHas) {
  for (const char protocol : {'\2', '\3', '\4', '\5'}) {
    OfficialFile file;
    file.protocol = protocol;
    file.model_class = "yolov5.models.yolo DetectionModel";  // as the package from PyPI calls it
    expect_the_small_model(read(file).model, 0);
  }
}

TEST(OfficialCheckpoint, KeepsModelAndAverageApart) {
  OfficialFile file;
  file.has_ema = true;
  file.entries = {{pickled::text("updates"), pickled::integer(12)},
                  {pickled::text("best_fitness"), pickled::number(0.5)},
                  {pickled::text("optimizer"), pickled::dict({{pickled::text("state"), pickled::dict({})}})}};
  const Checkpoint checkpoint = read(file);
  expect_the_small_model(checkpoint.model, 0);
  expect_the_small_model(checkpoint.ema, 100);
  EXPECT_EQ(&weights_for_inference(checkpoint), &checkpoint.ema);
  EXPECT_TRUE(checkpoint.optimizer.empty());
  EXPECT_EQ(checkpoint.meta.at("updates"), 12);
  EXPECT_EQ(checkpoint.meta.at("best_fitness"), 0.5);

  file.has_model = false;
  const Checkpoint only_average = read(file);
  expect_the_small_model(only_average.model, 100);
  EXPECT_EQ(&weights_for_inference(only_average), &only_average.model);
}

TEST(OfficialCheckpoint, TakesNamesAsADict) {
  using namespace pickled;
  OfficialFile file;
  file.names = dict({{integer(1), text("dog")}, {integer(0), text("cat")}});
  EXPECT_EQ(read(file).meta.at("names"), (nlohmann::json{"cat", "dog"}));
  file.names = dict({{integer(0), text("cat")}, {integer(7), text("dog")}});
  EXPECT_FALSE(read(file).meta.contains("names"));
  file.names = none();
  EXPECT_FALSE(read(file).meta.contains("names"));
}

TEST(OfficialCheckpoint, WritesOutAnchorsThatItsYamlOnlyCounts) {
  OfficialFile file;
  file.anchors = pickled::integer(3);
  const model_spec::ModelSpec spec = spec_of(read(file));
  ASSERT_EQ(spec.anchors_px.size(), 1U);  // the buffer (1 … 6 in cells) times the stride
  EXPECT_THAT(spec.anchors_px[0],
              ElementsAre(std::array{2.0, 4.0}, std::array{6.0, 8.0}, std::array{10.0, 12.0}));
}

TEST(OfficialCheckpoint, WritesOutAnActivationThatOnlyItsCodeNames) {
  OfficialFile file;
  file.activation_class = "torch.nn.modules.activation Hardswish";
  EXPECT_EQ(spec_of(read(file)).activation, "Hardswish");
  file.activation_class = "torch.nn.modules.activation LeakyReLU";
  file.activation_state = {{pickled::text("negative_slope"), pickled::number(0.1)}};
  EXPECT_EQ(spec_of(read(file)).activation, "LeakyReLU(0.1)");
}

TEST(OfficialCheckpoint, ToleratesWhatItDoesNotKnow) {
  using namespace pickled;
  OfficialFile file;
  const std::string date = call(global("datetime datetime"), {integer(2026)});
  file.attributes = {{text("author"), object(global("my.package Thing"), dict({{text("x"), integer(1)}}))},
                     {text("when"), date}};
  file.entries = {{text("opt"), object(global("argparse Namespace"), dict({{text("epochs"), integer(3)}}))},
                  {text("path"), call(global("pathlib PosixPath"), {text("runs")})},
                  {text("date"), text("2026-11-25")},
                  {text("git"), dict({{text("branch"), none()}})},
                  {integer(5), integer(6)}};
  const Checkpoint checkpoint = read(file);
  expect_the_small_model(checkpoint.model, 0);
  EXPECT_FALSE(checkpoint.meta.contains("opt"));
  EXPECT_FALSE(checkpoint.meta.contains("path"));
  EXPECT_EQ(checkpoint.meta.at("date"), "2026-11-25");
  EXPECT_TRUE(checkpoint.meta.at("git").at("branch").is_null());
}

TEST(OfficialCheckpoint, WithHostileGlobalsIsRefusedByName) {
  for (const char* name : {"os system",
                           "posix system",
                           "nt system",
                           "builtins eval",
                           "builtins exec",
                           "__builtin__ eval",
                           "__builtin__ getattr",
                           "subprocess Popen",
                           "subprocess check_output",
                           "sys exit",
                           "runpy run_path",
                           "importlib import_module",
                           "importlib.util spec_from_file_location",
                           "socket create_connection",
                           "shutil rmtree",
                           "ctypes CDLL",
                           "pickle loads",
                           "torch load",
                           "torch.hub load",
                           "webbrowser open",
                           "operator attrgetter",
                           "numpy.testing._private.utils runstring",
                           "urllib.request urlopen",
                           "io open"}) {
    OfficialFile file;
    file.entries = {{pickled::text("opt"), pickled::call(pickled::global(name), {pickled::text("x")})}};
    std::string dotted = name;
    dotted[dotted.find(' ')] = '.';
    EXPECT_THAT(refused(file.content()),
                AllOf(HasSubstr(dotted + " when"), HasSubstr("no honest checkpoint")));
  }
  OfficialFile file;  // by way of a module that imports another
  file.attributes = {{pickled::text("x"),
                      pickled::call(pickled::stack_global("models.common os.system"), {pickled::text("x")})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("models.common.os.system"));
  file.attributes = {{pickled::text("x"), pickled::global("posix system")}};  // not even called
  EXPECT_THAT(refused(file.content()), HasSubstr("posix.system"));
}

TEST(OfficialCheckpoint, OfAnotherKindIsRefusedByKind) {
  OfficialFile file;
  file.model_class = "models.yolo SegmentationModel";
  EXPECT_THAT(refused(file.content()), HasSubstr("segmentation model"));
  file.model_class = "models.yolo ClassificationModel";
  EXPECT_THAT(refused(file.content()), HasSubstr("classification model"));
  file.model_class = "ultralytics.nn.tasks DetectionModel";
  EXPECT_THAT(refused(file.content()), HasSubstr("ultralytics package"));
  file.model_class = "torchvision.models.resnet ResNet";
  file.has_yaml = false;
  EXPECT_THAT(refused(file.content()),
              AllOf(HasSubstr("torchvision.models.resnet.ResNet"), HasSubstr("state_dict()")));
}

// A model whose parts are the same part again and again, or itself.
TEST(OfficialCheckpoint, WithoutEndIsRefused) {
  using namespace pickled;
  const std::string nothing = dict({});
  const std::string yaml = dict({{text("nc"), integer(2)}});
  const auto state = [&](const std::string& modules) {
    return dict({{text("_parameters"), nothing},
                 {text("_buffers"), nothing},
                 {text("yaml"), yaml},
                 {text("_modules"), modules}});
  };
  const auto file_with = [](const std::string& model) {
    ZipBuilder zip;
    zip.add("x/data.pkl", std::string("\x80\x02") + dict({{text("model"), model}}) + ".");
    return zip.finished();
  };
  const std::string itself = global("a B") + std::string(")\x81q\x01", 4) +
                             state(dict({{text("x"), std::string("h\x01", 2)}})) + "b";
  EXPECT_THAT(refused(file_with(itself)), HasSubstr("too many parts"));

  std::string deep = object(global("a B"), state(nothing)) + "q" + std::string(1, '\0');
  for (char level = 1; level < 30; ++level) {
    const std::string below = std::string("h") + static_cast<char>(level - 1);
    const std::string twice = dict({{text("a"), below}, {text("b"), below}, {text("c"), below}});
    deep += "0" + object(global("a B"), state(twice)) + "q" + level;
  }
  EXPECT_THAT(refused(file_with(deep)), HasSubstr("too many parts"));
}

TEST(OfficialCheckpoint, ThatIsDamagedIsRefused) {
  using namespace pickled;
  OfficialFile file;
  file.attributes = {{text("_buffers"), dict({{text("x"), integer(1)}})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("its x is no tensor"));
  file.attributes = {{text("_buffers"), list({})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("no dict"));
  file.attributes = {{text("_modules"), dict({{text("x"), integer(1)}})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("its part x is no module"));
  file.attributes = {{text("_modules"), dict({})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("without weights"));
  file.attributes = {{text("yaml"), dict({{text("head"), list({list({dict({})})})}})}};
  EXPECT_THAT(refused(file.content()), HasSubstr("no model yaml"));
}

TEST(OfficialCheckpoint, CutShortOrChangedNeverDoesHarm) {
  OfficialFile file;
  file.has_ema = true;
  const std::string whole = file.content();
  const test::TemporaryFolder folder;
  for (size_t bytes = 0; bytes < whole.size(); bytes += 61) {
    EXPECT_NE(refused(whole.substr(0, bytes)), "") << bytes;
  }
  const auto path = folder / "x.pt";
  int refused_count = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (at % 2 == 0 ? 0x81 : 0x14));
    folder.write("x.pt", changed);
    try {
      read_checkpoint(path);
    } catch (const DataError&) {
      ++refused_count;
    }
  }
  EXPECT_GT(refused_count, 500);
}

}  // namespace
}  // namespace yolodist::checkpoint
