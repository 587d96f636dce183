// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/model_spec.h"

#include <algorithm>
#include <cmath>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/model_spec/blocks.h"
#include "common/model_spec/definition.h"

namespace yolodist::model_spec {
namespace {

// Of all layers together; YOLOv5x6 has fewer than 100. More is a slip in number or depth_multiple, and would take minutes
// and gigabytes to lay out.
constexpr int most_repeats = 10000;

// The depth rule; std::nearbyint rounds halves to even, as Python's round does.
int repeats_of(const Row& row, double depth_multiple) {
  return row.number > 1 ? std::max(static_cast<int>(std::nearbyint(row.number * depth_multiple)), 1)
                        : row.number;
}

std::vector<int> absolute_sources(const Row& row, int index) {
  std::vector<int> sources;
  for (const int written : row.from) {
    const int source = written < 0 ? index + written : written;
    const bool is_picture = index == 0 && written == -1;
    if (!is_picture && (source < 0 || source >= index)) {
      throw DataError(
          cat(row.arguments.place, ": layer ", index, " takes layer ", written,
              " as its source, which is not before it"),
          index == 0 ? "The first layer takes -1, the picture." : cat("Name one from 0 to ", index - 1, "."));
    }
    sources.push_back(source);
  }
  return sources;
}

const Block& block_of(const Row& row) {
  const Block* block = find_block(row.module);
  if (block == nullptr) {
    std::vector<std::string> names = known_blocks();
    std::replace(names.begin(), names.end(), std::string("Upsample"), std::string("nn.Upsample"));
    const std::string guess = nearest(row.module, names);
    throw DataError(
        cat(row.arguments.place, ": unknown block '", row.module, "'; known are ", join(names, ", ")),
        guess.empty() ? "" : cat("Did you mean ", guess, "?"));
  }
  return *block;
}

// `nc` by name is the class count; the other name that occurs, `anchors`, is Detect's and is checked there.
Arguments with_class_count(Arguments arguments, int class_count) {
  for (Argument& value : arguments.values) {
    if (value.kind == Argument::Kind::text && value.text == "nc") {
      value = number_argument(class_count);
    }
  }
  return arguments;
}

// What the summary prints: the call as YOLOv5 makes it.
std::string call_text(const Block& block, const LayerSpec& layer, const Arguments& arguments) {
  std::vector<Argument> values = arguments.values;
  if (block.has_width) {
    values.front() = number_argument(layer.c_out);
    values.insert(values.begin(), number_argument(layer.c_in.front()));
    if (block.repeats_inside) {
      values.insert(values.begin() + 2, number_argument(layer.repeats));
    }
  }
  return text_of(values);
}

void check_detect_arguments(const Arguments& arguments, const ModelSpec& spec) {
  arguments.require_at_most(2);
  const int count = arguments.integer(0, "nc", std::nullopt, 1, 1000000);
  if (count != spec.class_count) {
    arguments.refuse(cat("has ", count, " classes, the model ", spec.class_count),
                     "Write nc instead of the number.");
  }
  const bool names_anchors = arguments.has(1) && arguments.values[1].kind == Argument::Kind::text &&
                             arguments.values[1].text == "anchors";
  if (!names_anchors) {
    arguments.refuse("argument 2 should be the word anchors",
                     "Write [nc, anchors], and the anchors at the top.");
  }
}

std::string detect_text(const LayerSpec& layer, const ModelSpec& spec) {
  std::vector<std::string> levels, channels;
  for (const auto& level : spec.anchors_px) {
    std::vector<std::string> sides;
    for (const auto& [w, h] : level) {
      sides.push_back(exact_decimal(w));
      sides.push_back(exact_decimal(h));
    }
    levels.push_back(cat("[", join(sides, ", "), "]"));
  }
  for (const int c : layer.c_in) {
    channels.push_back(std::to_string(c));
  }
  return cat("[", spec.class_count, ", [", join(levels, ", "), "], [", join(channels, ", "), "]]");
}

// Builds the layers one after the other, following channels and sizes.
struct Builder {
  ModelSpec& spec;
  std::vector<int> heights;  // of each layer's output, for the probe picture
  int repeats = 0;           // of all layers so far

  int channels_of(int source) const {
    return source < 0 ? 3 : spec.layers[static_cast<size_t>(source)].c_out;
  }
  int height_of(int source) const {
    return source < 0 ? probe_side_px : heights[static_cast<size_t>(source)];
  }

  void add(const Row& row) {
    const Block& block = block_of(row);
    LayerSpec layer;
    layer.index = static_cast<int>(spec.layers.size());
    layer.block = block.name;
    layer.from = absolute_sources(row, layer.index);
    layer.from_written = row.from;
    layer.from_text = row.from_text();
    layer.repeats = repeats_of(row, spec.depth_multiple);
    repeats += layer.repeats;
    if (repeats > most_repeats) {
      row.arguments.refuse(
          cat("repeated ", layer.repeats, " times; all layers together may have ", most_repeats, " repeats"),
          "Correct its number or depth_multiple.");
    }
    const Arguments arguments = with_class_count(row.arguments, spec.class_count);
    std::vector<int> source_heights;
    for (const int source : layer.from) {
      layer.c_in.push_back(channels_of(source));
      source_heights.push_back(height_of(source));
    }
    if (layer.from.size() > 1 && !block.takes_many_sources) {
      arguments.refuse(cat("takes one source, has ", layer.from_text));
    }
    const bool is_detect = layer.block == "Detect";
    if (is_detect) {
      check_detect_arguments(arguments, spec);
    }
    const int height = build(block, layer, arguments, source_heights);
    layer.args_text = is_detect ? detect_text(layer, spec) : call_text(block, layer, arguments);
    layer.stride_px = static_cast<double>(probe_side_px) / height;
    spec.layers.push_back(std::move(layer));
    heights.push_back(height);
  }

  int build(const Block& block, LayerSpec& layer, const Arguments& arguments,
            const std::vector<int>& source_heights) {
    const std::string prefix = cat("model.", layer.index);
    BlockCall call{spec, arguments, prefix, source_heights, layer.c_in.front()};
    if (block.repeats_inside || layer.repeats == 1) {
      return block.build(call, layer);
    }
    if (block.takes_many_sources) {
      arguments.refuse("cannot be repeated");
    }
    // The same call again and again, in a row: each must take what the one before gives.
    for (int i = 0; i < layer.repeats; ++i) {
      call.prefix = cat(prefix, ".", i);
      call.heights = {block.build(call, layer)};
      if (layer.c_out != call.c1) {
        arguments.refuse(cat("repeated ", layer.repeats, " times, it should keep its ", call.c1,
                             " channels, gives ", layer.c_out));
      }
    }
    return call.heights.front();
  }
};

void set_strides(ModelSpec& spec, const std::vector<int>& heights, const Arguments& detect) {
  for (const int source : spec.layers.back().from) {
    const int height = heights[static_cast<size_t>(source)];
    const int stride = probe_side_px / height;
    if (stride * height != probe_side_px) {
      detect.refuse(cat("its source layer ", source, " makes ", height, " cells of ", probe_side_px,
                        " px, no whole stride"));
    }
    if (!spec.strides_px.empty() && stride < spec.strides_px.back()) {
      detect.refuse(cat("its sources should go from small strides to large ones, have ",
                        spec.strides_px.back(), " and then ", stride),
                    "Reverse the order of its sources.");
    }
    spec.strides_px.push_back(stride);
  }
}

double mean_area(const std::vector<std::array<double, 2>>& level) {
  double sum = 0;
  for (const auto& [w, h] : level) {
    sum += w * h;
  }
  return sum / static_cast<double>(level.size());
}

// Small anchors belong to small strides. Source: ultralytics/yolov5 v7.0 utils/autoanchor.py,
// check_anchor_order.
void order_anchors(ModelSpec& spec) {
  const double growth = mean_area(spec.anchors_px.back()) - mean_area(spec.anchors_px.front());
  if (growth < 0 && spec.strides_px.back() > spec.strides_px.front()) {
    std::reverse(spec.anchors_px.begin(), spec.anchors_px.end());
  }
}

void check_ends_with_detect(const Definition& definition) {
  for (size_t i = 0; i < definition.rows.size(); ++i) {
    const Row& row = definition.rows[i];
    const bool is_last = i + 1 == definition.rows.size();
    if ((row.module == "Detect") != is_last && find_block(row.module) != nullptr) {
      row.arguments.refuse(is_last ? "the last layer should be Detect" : "Detect can only be the last layer");
    }
    if (is_last && row.from.size() != definition.anchors_px.size() && row.module == "Detect") {
      throw DataError(cat(definition.anchors_place, ": anchors has ", definition.anchors_px.size(),
                          " levels, but Detect has ", row.from.size(), " sources"));
    }
  }
}

}  // namespace

int64_t LayerSpec::parameter_count() const {
  int64_t count = 0;
  for (const StateEntry& entry : entries) {
    if (entry.is_parameter()) {
      int64_t elements = 1;
      for (const int64_t side : entry.shape) {
        elements *= side;
      }
      count += elements;
    }
  }
  return count;
}

int64_t ModelSpec::parameter_count() const {
  int64_t count = 0;
  for (const LayerSpec& layer : layers) {
    count += layer.parameter_count();
  }
  return count;
}

std::vector<StateEntry> ModelSpec::entries() const {
  std::vector<StateEntry> all;
  for (const LayerSpec& layer : layers) {
    all.insert(all.end(), layer.entries.begin(), layer.entries.end());
  }
  return all;
}

std::vector<bool> ModelSpec::saved() const {
  std::vector<bool> is_saved(layers.size(), false);
  for (const LayerSpec& layer : layers) {
    for (size_t i = 0; i < layer.from.size(); ++i) {
      if (layer.from_written[i] != -1) {
        is_saved[static_cast<size_t>(layer.from[i])] = true;
      }
    }
  }
  return is_saved;
}

std::vector<std::string> known_blocks() {
  return block_names();
}

ModelSpec parse_model_spec(const std::string& text, const std::string& where, int class_count) {
  const Definition definition = read_definition(text, where, class_count);
  ModelSpec spec;
  spec.name = std::filesystem::path(where).stem().string();
  spec.class_count = definition.class_count;
  spec.depth_multiple = definition.depth_multiple;
  spec.width_multiple = definition.width_multiple;
  spec.activation = definition.activation;
  spec.anchors_px = definition.anchors_px;
  spec.yaml_text = to_yaml(definition);
  check_ends_with_detect(definition);
  Builder builder{spec, {}};
  for (const Row& row : definition.rows) {
    builder.add(row);
  }
  set_strides(spec, builder.heights, definition.rows.back().arguments);
  order_anchors(spec);
  return spec;
}

ModelSpec read_model_spec(const std::filesystem::path& file, int class_count) {
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    throw DataError(cat(file.string(), " is a folder"), "Give the model yaml inside it.");
  }
  return parse_model_spec(read_file(file), file.string(), class_count);
}

}  // namespace yolodist::model_spec
