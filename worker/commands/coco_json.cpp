// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/coco_json.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/eval/matching.h"

namespace yolodist::commands {
namespace {

constexpr std::chrono::minutes peer_patience{30};  // a rank may have slower pictures than another
constexpr int coco_class_count = 80;

double rounded(double value, double parts) {
  return std::nearbyint(value * parts) / parts;
}

// A number where the name is one that JSON can hold, else text.
std::string image_id(const std::filesystem::path& picture) {
  const std::string stem = picture.stem().string();
  constexpr size_t most_digits = 18;
  const bool is_number = !stem.empty() && stem.size() <= most_digits &&
                         stem.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? std::to_string(std::stoll(stem))
                   : nlohmann::json(stem).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

bool is_coco(const config::DataSet& data_set) {
  return data_set.val.size() == 1 && data_set.val[0].string().ends_with("coco/val2017.txt");
}

int coco_category(int class_index) {
  static constexpr std::array<int, 10> without_class = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83};
  check(class_index >= 0 && class_index < coco_class_count, cat("class ", class_index, " of COCO's 80"));
  int category = class_index + 1;
  for (const int skipped : without_class) {
    category += category >= skipped ? 1 : 0;
  }
  return category;
}

CocoWriter::CocoWriter(const std::filesystem::path& file, const data::Index& pictures,
                       bool with_coco_categories, comm::Communicator& communicator)
    : pictures_(pictures),
      is_on_(!file.empty()),
      with_coco_categories_(with_coco_categories),
      communicator_(communicator) {
  if (is_on_ && communicator.rank() == 0) {
    file_.emplace(file);
    file_->write("[");
  }
}

void CocoWriter::add(const train::ValidatedPiece& piece) {
  if (!is_on_) {
    return;
  }
  std::string rows;
  for (size_t i = 0; i < piece.samples.size(); ++i) {
    const data::Sample& sample = piece.samples[i];
    const std::string id = image_id(pictures_.pictures[static_cast<size_t>(sample.picture_index)].path);
    for (const eval::Detection& d : eval::native_detections(piece.detections[i], sample.fitting)) {
      const int category = with_coco_categories_ ? coco_category(d.class_index) : d.class_index;
      rows += rows.empty() ? "" : ",\n";
      rows += cat(R"({"image_id": )", id, R"(, "category_id": )", category, R"(, "bbox": [)",
                  exact_decimal(rounded(d.box.x1, 1e3)), ", ", exact_decimal(rounded(d.box.y1, 1e3)), ", ",
                  exact_decimal(rounded(d.box.x2 - d.box.x1, 1e3)), ", ",
                  exact_decimal(rounded(d.box.y2 - d.box.y1, 1e3)), R"(], "score": )",
                  exact_decimal(rounded(d.score, 1e5)), "}");
    }
  }
  // Slices of a group are in the order of the ranks.
  for (const std::string& part :
       comm::all_gather_strings(communicator_, rows, Deadline::after(peer_patience))) {
    if (file_ && !part.empty()) {
      file_->write(has_rows_ ? ",\n" : "\n");
      file_->write(part);
      has_rows_ = true;
    }
  }
}

void CocoWriter::finish() {
  if (file_) {
    file_->write("\n]\n");
    file_->commit();
  }
}

}  // namespace yolodist::commands
