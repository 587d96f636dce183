// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "common/run/run_directory.h"
#include "worker/train/validation.h"

namespace yolodist::commands {

// The document of `val --json`: {"schema", "images", "labels", "P", "R", "mAP50", "mAP50-95", "per_class":
// [{"class", "name", "labels", "P", "R", "mAP50", "mAP50-95"}], "speed_ms": {"load", "inference", "nms"}}.
// Classes are those that occur in the labels. Numbers read back exactly.
nlohmann::ordered_json result_document(const train::ValidationReport& report,
                                       const std::vector<std::string>& names);

// The curves behind the pictures: {"schema", "x": [0 … 1], "classes": [{"class", "name", "P", "R", "F1",
// "precision_at_recall"}], "best_confidence", "confusion_matrix": {"rows": "predicted", "columns": "true",
// "counts": [[…]]}}. P, R and F1 are over confidence, the fourth over recall, all at IoU 0.5; the last row
// and column of the matrix are the background.
nlohmann::ordered_json curves_document(const train::ValidationReport& report,
                                       const std::vector<std::string>& names);

// result.json and curves.json of the run directory; with `on_standard_output` the first is printed, too.
// Throws StorageError.
void write_results(const run::RunDirectory& run, const train::ValidationReport& report,
                   const std::vector<std::string>& names, bool on_standard_output);

}  // namespace yolodist::commands
