// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Each reader of yaml on the same text: model, data set, hyperparameters, run.yaml.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/config/data_set.h"
#include "common/config/hyperparameters.h"
#include "common/config/run_file.h"
#include "common/config/train_options.h"
#include "common/model_spec/model_spec.h"
#include "tests/fuzz/memory_file.h"

namespace {

using namespace yolodist;

template <typename Action>
void attempt(Action&& action) {
  try {
    action();
  } catch (const DataError&) {  // the two ways in which bad input may end
  } catch (const UsageError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool is_quiet = [] {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    return true;
  }();
  static_cast<void>(is_quiet);
  static const fuzz::MemoryFile file;
  const std::string text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    const model_spec::ModelSpec spec = model_spec::parse_model_spec(text, "model.yaml");
    // What is stored in checkpoints reads back as the same model.
    const model_spec::ModelSpec again = model_spec::parse_model_spec(spec.yaml_text, "stored.yaml");
    check(again.yaml_text == spec.yaml_text && again.parameter_count() == spec.parameter_count(),
          "a stored model yaml does not read back");
  });
  attempt([&] { static_cast<void>(config::read_data_set(file.holding(text), false)); });
  attempt([&] { static_cast<void>(config::read_hyperparameters(file.holding(text))); });
  attempt([&] {
    const nlohmann::json document = config::from_yaml(text, "run.yaml");
    static_cast<void>(config::train_options_from_json(document));
  });
  return 0;
}
