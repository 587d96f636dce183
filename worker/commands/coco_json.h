// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/base/atomic_file.h"
#include "common/config/data_set.h"
#include "worker/comm/communicator.h"
#include "worker/data/index.h"
#include "worker/train/validation.h"

namespace yolodist::commands {

// Whether the data set is COCO itself, whose categories have other numbers than its classes: val is the list
// coco/val2017.txt. Source: ultralytics/yolov5 v7.0 val.py.
bool is_coco(const config::DataSet& data_set);

// The category of COCO that one of the 80 classes is: 1 to 90 without ten that no class has.
int coco_category(int class_index);

// What was found as COCO's evaluation reads it, one array: image_id (a number where the picture's name is
// one), category_id, bbox [left, top, width, height] in native pixels to a thousandth, score to five digits.
// Written by rank 0 in validation order as the groups come. Source: ultralytics/yolov5 v7.0 val.py,
// save_one_json.
class CocoWriter {
 public:
  // With no `file` nothing is written, and nothing is collective.
  CocoWriter(const std::filesystem::path& file, const data::Index& pictures, bool with_coco_categories,
             comm::Communicator& communicator);
  // Collective. Throws StorageError.
  void add(const train::ValidatedPiece& piece);
  // Until then the file is not there.
  void finish();

 private:
  const data::Index& pictures_;
  const bool is_on_;
  const bool with_coco_categories_;
  comm::Communicator& communicator_;
  std::optional<AtomicFile> file_;  // rank 0
  bool has_rows_ = false;
};

}  // namespace yolodist::commands
