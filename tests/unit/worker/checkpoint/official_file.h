// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/worker/checkpoint/pickle_text.h"
#include "tests/unit/worker/checkpoint/zip_builder.h"

namespace yolodist::checkpoint {

// A small file in the layout of YOLOv5's own: a net of two layers, Conv(3 -> 8, 3x3, stride 2) and Detect
// with two classes and three anchors on one level. Tests change the parts that they are about.
struct OfficialFile {
  std::string root = "best";  // the folder inside the zip
  char protocol = 2;
  std::string model_class = "models.yolo DetectionModel";
  at::ScalarType dtype = at::kHalf;
  std::string activation_class = "torch.nn.modules.activation SiLU";
  pickled::Pairs activation_state;  // attributes of it
  std::string anchors =
      pickled::list({pickled::list({pickled::integer(4), pickled::integer(6), pickled::integer(8),
                                    pickled::integer(10), pickled::integer(20), pickled::integer(24)})});
  std::string names = pickled::list({pickled::text("cat"), pickled::text("dog")});
  bool has_yaml = true;
  bool has_anchor_grid = false;
  bool has_model = true;
  bool has_ema = false;       // its tensors are those of the model plus 100
  pickled::Pairs attributes;  // more of the model
  pickled::Pairs entries;     // more of the file

  std::string content() {
    zip_ = {};
    keys_ = 0;
    pickled::Pairs top = {{pickled::text("epoch"), pickled::integer(-1)}};
    if (has_model) {
      top.emplace_back(pickled::text("model"), module(0));
    }
    top.emplace_back(pickled::text("ema"), has_ema ? module(100) : pickled::none());
    top.insert(top.end(), entries.begin(), entries.end());
    zip_.add(root + "/data.pkl", std::string("\x80") + protocol + pickled::dict(top) + ".");
    zip_.add(root + "/version", "3\n");
    zip_.add(root + "/byteorder", "little");
    return zip_.finished();
  }

  // start, start + 1, …
  static at::Tensor values(const std::vector<int64_t>& shape, double start) {
    int64_t count = 1;
    for (const int64_t side : shape) {
      count *= side;
    }
    return at::arange(start, start + static_cast<double>(count), at::TensorOptions(at::kFloat)).view(shape);
  }

 private:
  std::string name_of(const std::string& name) const {
    return protocol >= 4 ? pickled::stack_global(name) : pickled::global(name);
  }

  std::string tensor(const at::Tensor& value) {
    const char* type = value.scalar_type() == at::kHalf     ? "HalfStorage"
                       : value.scalar_type() == at::kDouble ? "DoubleStorage"
                       : value.scalar_type() == at::kLong   ? "LongStorage"
                                                            : "FloatStorage";
    const std::string key = std::to_string(keys_++);
    zip_.add(root + "/data/" + key,
             std::string_view(static_cast<const char*>(value.const_data_ptr()), value.nbytes()));
    std::vector<std::string> sizes;
    std::vector<std::string> strides;
    for (int64_t d = 0; d < value.dim(); ++d) {
      sizes.push_back(pickled::integer(static_cast<int32_t>(value.size(d))));
      strides.push_back(pickled::integer(static_cast<int32_t>(value.stride(d))));
    }
    const std::string id =
        pickled::tuple({pickled::text("storage"), name_of(std::string("torch ") + type), pickled::text(key),
                        pickled::text("cpu"), pickled::integer(static_cast<int32_t>(value.numel()))});
    return pickled::call(name_of("torch._utils _rebuild_tensor_v2"),
                         {id + "Q", pickled::integer(0), pickled::tuple(sizes), pickled::tuple(strides),
                          pickled::boolean(false), pickled::ordered({})});
  }
  std::string parameter(const at::Tensor& value) {
    return pickled::call(name_of("torch._utils _rebuild_parameter"),
                         {tensor(value.to(dtype)), pickled::boolean(true), pickled::ordered({})});
  }

  std::string part(const std::string& name, const pickled::Pairs& parameters, const pickled::Pairs& buffers,
                   const pickled::Pairs& modules, pickled::Pairs more = {}) const {
    more.insert(more.begin(), {{pickled::text("training"), pickled::boolean(false)},
                               {pickled::text("_parameters"), pickled::ordered(parameters)},
                               {pickled::text("_buffers"), pickled::ordered(buffers)},
                               {pickled::text("_non_persistent_buffers_set"),
                                pickled::call(name_of("__builtin__ set"), {pickled::list({})})},
                               {pickled::text("_forward_hooks"), pickled::ordered({})},
                               {pickled::text("_modules"), pickled::ordered(modules)}});
    return pickled::object(name_of(name), pickled::dict(more));
  }

  std::string module(double plus) {
    using pickled::text;
    const auto floats = [&](const std::vector<int64_t>& shape, double start) {
      return values(shape, start + plus);
    };
    const std::string conv =
        part("torch.nn.modules.conv Conv2d",
             {{text("weight"), parameter(floats({8, 3, 3, 3}, 0))}, {text("bias"), pickled::none()}}, {}, {});
    const std::string bn =
        part("torch.nn.modules.batchnorm BatchNorm2d",
             {{text("weight"), parameter(floats({8}, 1))}, {text("bias"), parameter(floats({8}, 2))}},
             {{text("running_mean"), tensor(floats({8}, 3).to(dtype))},
              {text("running_var"), tensor(floats({8}, 4).to(dtype))},
              {text("num_batches_tracked"), tensor(values({}, 77).to(at::kLong))}},
             {}, {{text("eps"), pickled::number(1e-3)}});
    const std::string act = part(activation_class, {}, {}, {}, activation_state);
    const std::string block =
        part("models.common Conv", {}, {}, {{text("conv"), conv}, {text("bn"), bn}, {text("act"), act}});
    const std::string output = part(
        "torch.nn.modules.conv Conv2d",
        {{text("weight"), parameter(floats({21, 8, 1, 1}, 5))}, {text("bias"), parameter(floats({21}, 6))}},
        {}, {});
    pickled::Pairs buffers = {{text("anchors"), tensor(values({1, 3, 2}, 1).to(dtype))}};
    if (has_anchor_grid) {
      buffers.emplace_back(text("anchor_grid"), tensor(values({1, 1, 3, 1, 1, 2}, 1).to(dtype)));
    }
    const std::string outputs = part("torch.nn.modules.container ModuleList", {}, {}, {{text("0"), output}});
    const std::string detect =
        part("models.yolo Detect", {}, buffers, {{text("m"), outputs}, {text("off"), pickled::none()}},
             {{text("nc"), pickled::integer(2)}});
    const std::string layers =
        part("torch.nn.modules.container Sequential", {}, {}, {{text("0"), block}, {text("1"), detect}});
    pickled::Pairs more = {{text("yaml_file"), text("tiny.yaml")},
                           {text("nc"), pickled::integer(2)},
                           {text("names"), names},
                           {text("stride"), tensor(at::arange(2, 3, at::TensorOptions(at::kFloat)))}};
    if (has_yaml) {
      more.emplace_back(text("yaml"), definition());
    }
    more.insert(more.end(), attributes.begin(), attributes.end());
    return part(model_class, {}, {}, {{text("model"), layers}}, more);
  }

  std::string definition() const {
    using namespace pickled;
    return dict(
        {{text("nc"), integer(2)},
         {text("depth_multiple"), number(0.33)},
         {text("width_multiple"), number(1)},
         {text("anchors"), anchors},
         {text("backbone"),
          list({list({integer(-1), integer(1), text("Conv"), list({integer(8), integer(3), integer(2)})})})},
         {text("head"), list({list({list({integer(0)}), integer(1), text("Detect"),
                                    list({text("nc"), text("anchors")})})})},
         {text("ch"), integer(3)}});
  }

  ZipBuilder zip_;
  int keys_ = 0;
};

}  // namespace yolodist::checkpoint
