// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <set>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/tensor_reader.h"
#include "worker/checkpoint/zip_reader.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;
using nlohmann::json;

constexpr int64_t kSchema = 1;
constexpr int kDeepestMeta = 64;

// One file being read.
class Loader {
 public:
  explicit Loader(const std::filesystem::path& path) : zip_(path), where_(path.string()) {}

  Checkpoint load() {
    open_pickle();
    refuse_foreign_globals();
    const PickleValue& root = *pickle_.root;
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
    visits_left_ = 16 * data.size() + 1024;
  }

  void refuse_foreign_globals() const {
    std::string first;
    for (const std::string& global : pickle_.globals) {
      if (global.starts_with("models.yolo ") || global.starts_with("yolov5.models.yolo ")) {
        fail(cat("is an official YOLOv5 checkpoint (a pickled ", dotted(global),
                 "): official YOLOv5 checkpoints are not read yet"),
             "Train from scratch with --cfg, or start from weights of yolodist.");
      }
      if (global.starts_with("ultralytics.")) {
        fail(cat("is a checkpoint of the ultralytics package (a pickled ", dotted(global),
                 "), which is not read"));
      }
      const bool known =
          global == "collections OrderedDict" || global == "torch Size" || is_tensor_global(global);
      if (!known && first.empty()) {
        first = global;
      }
    }
    if (!first.empty()) {
      fail(cat("holds a pickled ", dotted(first),
               ", which is not read: only tensors, dicts, lists, numbers and text are"),
           "In Python, save the module's state_dict() instead.");
    }
  }
  static std::string dotted(std::string global) {
    std::replace(global.begin(), global.end(), ' ', '.');
    return global.substr(0, 120);
  }

  const PickleValue* lookup(const PickleValue& dict, std::string_view key) const {
    const PickleValue* found = nullptr;
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      if (dict.items[i]->kind == Kind::text && dict.items[i]->text == key) {
        found = dict.items[i + 1];
      }
    }
    return found;
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
    if (auto plain = to_json(value, 0)) {
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

  std::optional<json> to_json(const PickleValue& value, int depth) {
    if (depth > kDeepestMeta || visits_left_ == 0) {
      return std::nullopt;
    }
    --visits_left_;
    switch (value.kind) {
      case Kind::none:
        return json(nullptr);
      case Kind::boolean:
        return json(value.integer != 0);
      case Kind::integer:
        return json(value.integer);
      case Kind::number:
        return json(value.number);
      case Kind::text:
        return json(value.text);
      case Kind::list:
      case Kind::tuple:
        return to_json_array(value.items, depth);
      case Kind::object:
        if (calls(value, "torch Size") && value.arguments->items.size() == 1) {
          return to_json_array(value.arguments->items[0]->items, depth);
        }
        return std::nullopt;
      case Kind::dict:
        return to_json_object(value.items, depth);
      default:
        return std::nullopt;
    }
  }
  std::optional<json> to_json_array(const std::vector<const PickleValue*>& items, int depth) {
    json array = json::array();
    for (const PickleValue* item : items) {
      auto element = to_json(*item, depth + 1);
      if (!element) {
        return std::nullopt;
      }
      array.push_back(std::move(*element));
    }
    return array;
  }
  std::optional<json> to_json_object(const std::vector<const PickleValue*>& items, int depth) {
    json object = json::object();
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue& key = *items[i];
      auto element = to_json(*items[i + 1], depth + 1);
      if (!element || (key.kind != Kind::text && key.kind != Kind::integer)) {
        return std::nullopt;
      }
      // Python's class names are often {0: "person", …}; JSON has text keys only.
      object[key.kind == Kind::text ? key.text : std::to_string(key.integer)] = std::move(*element);
    }
    return object;
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
  size_t visits_left_ = 0;
};

}  // namespace

Checkpoint read_checkpoint(const std::filesystem::path& path) {
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
