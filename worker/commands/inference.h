// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <string>
#include <vector>

#include "worker/eval/detection.h"
#include "worker/link/link.h"
#include "worker/model/model.h"

// What validation and detection share.
namespace yolodist::commands {

// A checkpoint ready to be used: fused, fp32, on its device.
struct LoadedModel {
  model::Model model;
  std::vector<std::string> names;  // of its classes; "class7" where the file does not say
};

// Reads a checkpoint of ours or an official one; the average where it has one. Throws DataError when the file
// cannot be read, does not say which model it is of, or has not all of its weights.
LoadedModel load_model(const std::filesystem::path& weights, c10::Device device);

// The side raised to a multiple of the model's largest stride. Source: ultralytics/yolov5 v7.0
// utils/general.py, check_img_size.
int fitting_side(int imgsz_px, const model_spec::ModelSpec& spec);
int grid_stride(const model_spec::ModelSpec& spec);

// Ends the command where a signal asked for it: throws Error with 128 + its number as the exit code.
void stop_if_asked(const link::Link& link);

// The rows `class x y w h [confidence]` of a label file: centre and size as fractions of the picture, six
// significant digits. Source: ultralytics/yolov5 v7.0 val.py, save_one_txt.
std::string label_rows(const std::vector<eval::Detection>& native, int height_px, int width_px,
                       bool with_confidence);

// The names without their endings; of equal ones the second gets -2, and so on, so that each picture has a
// file of its own.
std::vector<std::string> file_stems(const std::vector<std::filesystem::path>& pictures);

// A folder of the run directory. Throws StorageError.
void make_folder(const std::filesystem::path& folder);

}  // namespace yolodist::commands
