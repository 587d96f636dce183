// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A checkpoint file (input that begins as a zip file) or a bare pickle: read, and taken apart as a YOLOv5
// model.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.h"
#include "common/model_spec/model_spec.h"
#include "tests/fuzz/memory_file.h"
#include "worker/checkpoint/official_model.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/pickle_values.h"
#include "worker/checkpoint/zip_reader.h"

namespace {

using namespace yolodist::checkpoint;

void take_apart(std::string_view data) {
  const Pickle pickle = read_pickle(data, "x.pt");
  for (const std::string& global : pickle.globals) {
    static_cast<void>(runs_code(global));
    static_cast<void>(dotted(global));
  }
  size_t budget_bytes = data_budget_bytes(data.size());
  for (const char* key : {"model", "ema"}) {
    if (const PickleValue* model = lookup(*pickle.root, key); model != nullptr && is_module(*model)) {
      const OfficialModel described = describe_module(*model, "x.pt", budget_bytes);
      yolodist::model_spec::parse_model_spec(definition_yaml(described, {{1, 2, 3, 4, 5, 6}}, "x.pt"),
                                             "x.pt");
    }
  }
  static_cast<void>(to_json(*pickle.root, budget_bytes));
}

void read_zip(std::string_view content) {
  static const yolodist::fuzz::MemoryFile file;
  const ZipReader zip(file.holding(content));
  for (const auto& [name, record] : zip.records()) {
    const std::string bytes = zip.read_text(record);
    if (name.ends_with("data.pkl")) {
      take_apart(bytes);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  try {
    if (content.starts_with('\x80')) {
      take_apart(content);
    } else {
      read_zip(content);
    }
  } catch (const yolodist::DataError&) {  // the one way in which bad input may end
  }
  return 0;
}
