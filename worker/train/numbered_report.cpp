// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/numbered_report.h"

#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace yolodist::train {

void write_numbered_report(const std::function<std::filesystem::path(int)>& place, nlohmann::json document) {
  int number = 0;
  std::error_code ignored;
  while (std::filesystem::exists(place(number), ignored)) {
    ++number;
  }
  const std::filesystem::path file = place(number);
  try {
    std::filesystem::create_directories(file.parent_path());
    document["schema"] = 1;
    write_file_atomically(file,
                          document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } catch (const std::exception& error) {
    log::warning(cat("the report ", file.filename().string(), " could not be written: ", error.what()));
  }
}

}  // namespace yolodist::train
