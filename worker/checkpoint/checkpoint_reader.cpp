// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/official_model.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/pickle_values.h"
#include "worker/checkpoint/tensor_reader.h"
#include "worker/checkpoint/zip_reader.h"
#include "worker/memory/mark.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;
using nlohmann::json;

constexpr int64_t kSchema = 1;

// One file being read.
class Loader {
 public:
  explicit Loader(const std::filesystem::path& path) : zip_(path), where_(path.string()) {}

  Checkpoint load() {
    open_pickle();
    refuse_hostile_globals();
    const PickleValue& root = *pickle_.root;
    for (const char* key : {"model", "ema"}) {
      if (const PickleValue* value = lookup(root, key); value != nullptr && is_module(*value)) {
        return load_official(root);
      }
    }
    refuse_foreign_globals();
    if (root.kind != Kind::dict) {
      fail("holds no dict: neither a checkpoint nor a state dict");
    }
    const PickleValue* schema = lookup(root, "schema");
    is_ours_ = schema != nullptr && schema->kind == Kind::integer;
    if (is_ours_ && schema->integer != kSchema) {
      fail(cat("has schema ", schema->integer, ", this yolodist reads ", kSchema,
               ". Use the yolodist that wrote it"));
    }
    Checkpoint checkpoint;
    const PickleValue* model = lookup(root, "model");
    if (model == nullptr || is_tensor(*model)) {
      if (root.items.empty() || !is_tensor(*root.items[1])) {
        fail("holds no weights: neither a state dict nor a dict with one under \"model\"");
      }
      checkpoint.model = to_tensors(root, "");
      return checkpoint;
    }
    checkpoint.model = to_tensors(*model, "model");
    for (size_t i = 0; i < root.items.size(); i += 2) {
      read_entry(*root.items[i], *root.items[i + 1], checkpoint);
    }
    return checkpoint;
  }

 private:
  [[noreturn]] void fail(const std::string& what, std::string hint = "") const {
    throw DataError(cat(where_, " ", what), std::move(hint));
  }

  void open_pickle() {
    const ZipRecord* record = nullptr;
    for (const auto& [name, candidate] : zip_.records()) {
      if (name.ends_with("/data.pkl") && name.find('/') == name.size() - 9) {
        prefix_ = name.substr(0, name.size() - 8);
        record = &candidate;
      }
    }
    if (record == nullptr && zip_.left_out_count() > 0) {
      fail("is a zip file with compressed records, which PyTorch never writes",
           "Unpack it: a checkpoint may be inside, or zip its files again without compression.");
    }
    if (record == nullptr) {
      fail("is a zip file without data.pkl, not a PyTorch checkpoint");
    }
    if (zip_.find(prefix_ + "constants.pkl") != nullptr) {
      fail("is a TorchScript file, not a checkpoint");
    }
    if (const ZipRecord* order = zip_.find(prefix_ + "byteorder");
        order != nullptr && order->size_bytes < 16) {
      if (zip_.read_text(*order) != "little") {
        fail("was written on a big-endian machine, which is not read");
      }
    }
    if (record->size_bytes > kLargestPickleBytes) {
      fail(cat("has a pickle of ", record->size_bytes, " bytes, at most ", kLargestPickleBytes, " are read"));
    }
    const std::string data = zip_.read_text(*record);
    tensors_.set_folder(prefix_ + "data/");
    pickle_ = read_pickle(data, where_);
    budget_bytes_ = data_budget_bytes(data.size());
  }

  // Nothing of a file is ever run, so this is a word of warning about where the file comes from.
  void refuse_hostile_globals() const {
    for (const std::string& global : pickle_.globals) {
      if (runs_code(global)) {
        fail(cat("would run ", dotted(global), " when Python loads it, so it is no honest checkpoint"),
             "Get the file from elsewhere.");
      }
    }
  }

  void refuse_foreign_globals() const {
    for (const std::string& global : pickle_.globals) {
      const bool known =
          global == "collections OrderedDict" || global == "torch Size" || is_tensor_global(global);
      if (!known) {
        fail(cat("holds a pickled ", dotted(global),
                 ", which is not read: only tensors, dicts, lists, numbers and text are"),
             "In Python, save the module's state_dict() instead.");
      }
    }
  }

  // A file of YOLOv5 itself: its models are pickled modules, of classes that do not matter here.
  Checkpoint load_official(const PickleValue& root) {
    Checkpoint checkpoint;
    bool is_described = false;
    for (const char* key : {"model", "ema"}) {
      const PickleValue* value = lookup(root, key);
      if (value == nullptr || !is_module(*value)) {
        continue;
      }
      const OfficialModel model = describe_module(*value, where_, budget_bytes_);
      (key == std::string_view("ema") ? checkpoint.ema : checkpoint.model) = to_floats(model);
      if (!is_described) {
        describe(model, checkpoint.meta);
        is_described = true;
      }
    }
    if (checkpoint.model.empty()) {
      checkpoint.model.swap(checkpoint.ema);
    }
    // What else there is, as far as it is plain data: epoch, best_fitness, opt, date, …
    for (size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue& key = *root.items[i];
      const bool is_own = key.kind != Kind::text || key.text == "model" || key.text == "ema" ||
                          key.text == "optimizer" || key.text == "schema" ||
                          checkpoint.meta.contains(key.text);
      if (is_own) {
        continue;
      }
      if (auto plain = to_json(*root.items[i + 1], budget_bytes_)) {
        checkpoint.meta[key.text] = std::move(*plain);
      }
    }
    return checkpoint;
  }

  NamedTensors to_floats(const OfficialModel& model) {
    NamedTensors tensors;
    for (const auto& [name, value] : model.tensors) {
      at::Tensor tensor = tensors_.read(*value, name);
      tensors.emplace_back(name, tensor.is_floating_point() ? tensor.to(at::kFloat) : tensor);
    }
    if (tensors.empty()) {
      fail("holds a model without weights");
    }
    return tensors;
  }

  void describe(const OfficialModel& model, json& meta) {
    std::vector<double> strides;
    if (model.stride != nullptr) {
      const at::Tensor tensor = tensors_.read(*model.stride, "stride").to(at::kDouble);
      strides.assign(tensor.const_data_ptr<double>(), tensor.const_data_ptr<double>() + tensor.numel());
    }
    std::vector<std::vector<double>> anchors_px;
    if (model.anchors != nullptr) {
      const at::Tensor tensor = tensors_.read(*model.anchors, "anchors").to(at::kDouble);
      const double* at = tensor.const_data_ptr<double>();
      if (tensor.dim() == 3 && tensor.size(0) == static_cast<int64_t>(strides.size())) {
        for (const double stride : strides) {
          std::vector<double>& level = anchors_px.emplace_back();
          for (int64_t side = 0; side < tensor.size(1) * tensor.size(2); ++side) {
            level.push_back(*at++ * stride);
          }
        }
      }
    }
    meta["official"] = true;
    meta["model_class"] = model.class_name;
    meta["model_yaml"] = definition_yaml(model, anchors_px, where_);
    if (!strides.empty() &&
        std::all_of(strides.begin(), strides.end(), [](double s) { return s >= 1 && s <= 4096; })) {
      for (const double stride : strides) {
        meta["strides"].push_back(std::llround(stride));
      }
    }
    if (model.class_count > 0) {
      meta["nc"] = model.class_count;
    }
    if (!model.names.empty()) {
      meta["names"] = model.names;
    }
    if (!model.model_name.empty()) {
      meta["model_name"] = model.model_name;
    }
  }

  void read_entry(const PickleValue& key, const PickleValue& value, Checkpoint& checkpoint) {
    if (key.kind != Kind::text) {
      if (is_ours_) {
        fail("is damaged: a key of it is no text");
      }
      return;
    }
    if (key.text == "schema" || key.text == "model") {
      return;
    }
    if (key.text == "ema" && value.kind == Kind::dict) {
      if (is_ours_ || is_state_dict(value)) {
        checkpoint.ema = to_tensors(value, "ema");
      }
      return;
    }
    if (key.text == "optimizer" && value.kind == Kind::dict) {
      read_optimizer(value, checkpoint);
      return;
    }
    if (auto plain = to_json(value, budget_bytes_)) {
      checkpoint.meta[key.text] = std::move(*plain);
    } else if (is_ours_) {
      fail(cat("is damaged: its ", key.text, " is no plain data"));
    }
  }

  bool is_state_dict(const PickleValue& dict) const {
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      if (dict.items[i]->kind != Kind::text || !is_tensor(*dict.items[i + 1])) {
        return false;
      }
    }
    return true;
  }

  // Python's own optimizers save another form (by number, with groups), which is left out.
  void read_optimizer(const PickleValue& dict, Checkpoint& checkpoint) {
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue& key = *dict.items[i];
      const PickleValue& value = *dict.items[i + 1];
      const bool fits = key.kind == Kind::text && value.kind == Kind::dict && is_state_dict(value);
      if (!fits && is_ours_) {
        fail("is damaged: its optimizer state is not by parameter name");
      }
      if (fits) {
        checkpoint.optimizer[key.text] = to_tensors(value, "optimizer");
      }
    }
  }

  NamedTensors to_tensors(const PickleValue& dict, std::string_view what) {
    if (dict.kind != Kind::dict) {
      fail(cat("has a \"", what, "\" that is no dict of tensors"));
    }
    NamedTensors tensors;
    std::set<std::string_view> names;
    tensors.reserve(dict.items.size() / 2);
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue& key = *dict.items[i];
      if (key.kind != Kind::text) {
        fail("has a tensor whose name is no text");
      }
      if (!is_tensor(*dict.items[i + 1])) {
        fail(cat("is no state dict: its entry \"", key.text, "\" is no tensor"));
      }
      if (!names.insert(key.text).second) {
        fail(cat("is damaged: it has the tensor ", key.text, " twice"));
      }
      tensors.emplace_back(key.text, tensors_.read(*dict.items[i + 1], key.text));
    }
    return tensors;
  }

  ZipReader zip_;
  TensorReader tensors_{zip_};
  std::string where_;
  std::string prefix_;  // "archive/"
  Pickle pickle_;
  bool is_ours_ = false;
  size_t budget_bytes_ = 0;  // of to_json
};

}  // namespace

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const memory::KindScope kind(memory::Kind::host);
  try {
    Checkpoint checkpoint = Loader(path).load();
    static_cast<void>(checkpoint.meta.dump());
    return checkpoint;
  } catch (const c10::OutOfMemoryError&) {
    throw OutOfMemory(cat("no memory for the tensors of ", path.string()));
  } catch (const c10::Error& error) {
    throw DataError(cat(path.string(), " cannot be read: ", error.what_without_backtrace()));
  } catch (const nlohmann::json::exception&) {
    throw DataError(cat(path.string(), " is damaged: it holds text that is not UTF-8"));
  }
}

}  // namespace yolodist::checkpoint
