// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace yolodist::checkpoint {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;  // in order

// What a weights file holds.
struct Checkpoint {
  NamedTensors model;                             // official names; parameters and buffers
  NamedTensors ema;                               // likewise, or empty
  std::map<std::string, NamedTensors> optimizer;  // state name ("momentum", "exp_avg", …) → by parameter name
  // Everything else (epoch, step, hyp, names, …): an object; keys other than schema, model, ema and
  // optimizer. Integers fit int64, floats may be non-finite, text is UTF-8.
  nlohmann::json meta = nlohmann::json::object();
};

// Writes PyTorch's zip format: a dict {"schema": 1, the keys of meta, "model": {…}, "ema": {…}, "optimizer":
// {…: {…}}} that Python reads with torch.load(path, weights_only=True). Atomic: on failure `path` is as it
// was. Tensors may be views into larger buffers or lie on a GPU; only their own elements are written,
// contiguous, one tensor at a time (no copy of the whole). Throws StorageError when the file cannot be
// written, NoRoom, before anything is begun, when there is no room for it. `before_rename`: as in
// AtomicFile::commit.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint,
                      const std::function<void()>& before_rename = nullptr);

// Reads
// - a file of write_checkpoint;
// - a torch.save of Python: of a state dict (then model is that, meta empty), or of a dict with a state
//   dict under "model" (of the rest, what is not plain data is left out);
// - an official YOLOv5 detection checkpoint, a dict with pickled modules under "model" and perhaps "ema";
//   anchor_grid is dropped, floating tensors become fp32, counters stay int64. Its meta has what the file
//   says of: official (true), model_class, model_yaml (text for model_spec::parse_model_spec), model_name
//   ("yolov5n"), names (a list), nc, strides, and whatever else is plain data: epoch (-1 in a finished
//   file), opt, date, …
// Tensors are contiguous, on the CPU, and own their memory. Nothing in the file is executed, and no more
// memory is asked for than a small multiple of the file's size. Throws DataError in one line, saying what the
// file is, when it is not such a file, is damaged, or names what would run code in Python; OutOfMemory when
// the tensors do not fit.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// The weights that detection and validation take: the average where there is one. (A new training takes
// `model`.) Source: ultralytics/yolov5 v7.0 models/experimental.py, attempt_load, and train.py.
inline const NamedTensors& weights_for_inference(const Checkpoint& checkpoint) {
  return checkpoint.ema.empty() ? checkpoint.model : checkpoint.ema;
}

}  // namespace yolodist::checkpoint
