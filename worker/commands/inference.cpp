// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/inference.h"

#include <algorithm>
#include <csignal>
#include <set>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/fuse.h"
#include "worker/train/saving.h"

namespace yolodist::commands {
namespace {

std::vector<std::string> names_of(const nlohmann::json& meta, int class_count) {
  std::vector<std::string> names;
  if (const auto found = meta.find("names"); found != meta.end() && found->is_array()) {
    for (const nlohmann::json& name : *found) {
      names.push_back(name.is_string() ? name.get<std::string>() : name.dump());
    }
  }
  for (auto c = static_cast<int>(names.size()); c < class_count; ++c) {
    names.push_back(cat("class", c));
  }
  names.resize(static_cast<size_t>(class_count));
  return names;
}

}  // namespace

LoadedModel load_model(const std::filesystem::path& weights, c10::Device device) {
  const checkpoint::Checkpoint checkpoint = checkpoint::read_checkpoint(weights);
  const auto yaml = checkpoint.meta.find("model_yaml");
  if (yaml == checkpoint.meta.end() || !yaml->is_string()) {
    throw DataError(cat(weights.string(), ": does not say which model it is of"),
                    "Use a checkpoint of yolodist, or one that YOLOv5 saved with its model.");
  }
  model_spec::ModelSpec spec = model_spec::parse_model_spec(yaml->get<std::string>(), weights.string());
  spec.name = checkpoint.meta.value("model_name", spec.name);
  model::Model model(std::move(spec), at::kFloat);
  const int taken = train::transfer(model, checkpoint, /*skip_anchors=*/false);
  if (static_cast<size_t>(taken) != model.state.size()) {
    throw DataError(cat(weights.string(), ": has ", taken, " of the ", model.state.size(),
                        " tensors that its own model ", model.spec.name, " needs"),
                    "The file is damaged, or its model was changed by hand.");
  }
  std::vector<std::string> names = names_of(checkpoint.meta, model.spec.class_count);
  LoadedModel loaded{model::fused(model), std::move(names)};
  loaded.model.to(device);
  return loaded;
}

int grid_stride(const model_spec::ModelSpec& spec) {
  return std::max(spec.max_stride_px(), 32);
}

int fitting_side(int imgsz_px, const model_spec::ModelSpec& spec) {
  const int stride = grid_stride(spec);
  return (imgsz_px + stride - 1) / stride * stride;
}

void stop_if_asked(const link::Link& link) {
  if (!link.stop_requested()) {
    return;
  }
  const std::string reason = link.stop_reason();
  int number = SIGTERM;
  for (const auto& [name, value] :
       {std::pair("SIGINT", SIGINT), std::pair("SIGUSR1", SIGUSR1), std::pair("SIGUSR2", SIGUSR2)}) {
    number = reason == name ? value : number;
  }
  throw Error(static_cast<ExitCode>(128 + number), cat("stopped on request (", reason, ")"),
              "Start it again; there is nothing to resume.");
}

std::string label_rows(const std::vector<eval::Detection>& native, int height_px, int width_px,
                       bool with_confidence) {
  const auto width = static_cast<float>(width_px), height = static_cast<float>(height_px);
  std::string rows;
  for (const eval::Detection& detection : native) {
    const eval::Box& box = detection.box;
    rows +=
        printf_string("%d %g %g %g %g", detection.class_index, (box.x1 + box.x2) / 2 / width,
                      (box.y1 + box.y2) / 2 / height, (box.x2 - box.x1) / width, (box.y2 - box.y1) / height);
    rows += with_confidence ? printf_string(" %g\n", detection.score) : "\n";
  }
  return rows;
}

std::vector<std::string> file_stems(const std::vector<std::filesystem::path>& pictures) {
  std::vector<std::string> stems;
  std::set<std::string> taken;
  for (const std::filesystem::path& picture : pictures) {
    taken.insert(picture.stem().string());  // a number never takes the name of another picture
  }
  std::set<std::string> seen;
  for (const std::filesystem::path& picture : pictures) {
    const std::string stem = picture.stem().string();
    std::string name = stem;
    if (!seen.insert(stem).second) {
      int number = 1;
      do {
        name = cat(stem, "-", ++number);
      } while (!taken.insert(name).second);
    }
    stems.push_back(name);
  }
  return stems;
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    throw StorageError(cat("cannot make the folder ", folder.string(), ": ", failure.message()));
  }
}

}  // namespace yolodist::commands
