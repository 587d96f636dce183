// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"

// Options as JSON. Each command's options have one list of their fields, a function visit(options, f) that
// calls f(key, member) for each; writing and reading walk over it. Only the option files of common/config
// include this.
namespace yolodist::config {

[[noreturn]] inline void refuse_field(const char* key, const char* expected, const nlohmann::json& value) {
  const std::string shown = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  throw UsageError(cat("option ", key, " should be ", expected, ", is ", shown));
}

template <typename Integer>
bool is_integer(const nlohmann::json& value) {
  using Limits = std::numeric_limits<Integer>;
  if (value.is_number_unsigned()) {
    return value.get<uint64_t>() <= static_cast<uint64_t>(Limits::max());
  }
  return value.is_number_integer() && value.get<int64_t>() >= Limits::min() &&
         value.get<int64_t>() <= Limits::max();
}

template <typename Member>
void assign_field(const char* key, const nlohmann::json& value, Member& member) {
  if constexpr (std::is_same_v<Member, bool>) {
    if (!value.is_boolean()) {
      refuse_field(key, "true or false", value);
    }
    member = value.get<bool>();
  } else if constexpr (std::is_same_v<Member, std::string>) {
    if (!value.is_string()) {
      refuse_field(key, "text", value);
    }
    member = value.get<std::string>();
  } else if constexpr (std::is_same_v<Member, double>) {
    if (!value.is_number()) {
      refuse_field(key, "a number", value);
    }
    member = value.get<double>();
  } else if constexpr (std::is_same_v<Member, std::vector<int>>) {
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_integer<int>)) {
      refuse_field(key, "a list of integers", value);
    }
    member = value.get<std::vector<int>>();
  } else {
    if (!is_integer<Member>(value)) {
      refuse_field(key, "an integer", value);
    }
    member = value.get<Member>();
  }
}

// The last fields of val's and detect's options: the run directory and the execution. As for any list of
// fields, `o` is const or not.
template <typename Options, typename Visit>
void visit_run(Options& o, const Visit& visit) {
  visit("project", o.project);
  visit("name", o.name);
  visit("exist_ok", o.exist_ok);
  visit("device", o.device);
  visit("ranks", o.ranks);
  visit("threads", o.threads);
  visit("workers", o.workers);
  visit("net_if", o.net_if);
  visit("worker_prefix", o.worker_prefix);
}

// Stores each field it visits.
struct FieldWriter {
  nlohmann::ordered_json& document;
  template <typename Member>
  void operator()(const char* key, const Member& member) const {
    document[key] = member;
  }
};

// Fills each field it visits; a key that is not there leaves the default. Throws UsageError when the document
// is no object or a value has the wrong type.
class FieldReader {
 public:
  explicit FieldReader(const nlohmann::json& document) : document_(document) {
    if (!document.is_object()) {
      throw UsageError("the stored options should be an object of names and values");
    }
  }
  template <typename Member>
  void operator()(const char* key, Member& member) const {
    const auto found = document_.find(key);
    if (found != document_.end()) {
      assign_field(key, *found, member);
    }
  }

 private:
  const nlohmann::json& document_;
};

}  // namespace yolodist::config
