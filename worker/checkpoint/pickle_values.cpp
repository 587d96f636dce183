// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/pickle_values.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/base/text.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;
using nlohmann::json;

constexpr std::string_view kRebuildTensor = "torch._utils _rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils _rebuild_parameter";
constexpr std::string_view kRebuildParameterWithState = "torch._utils _rebuild_parameter_with_state";
constexpr int kDeepestData = 64;
constexpr size_t kValueBytes = 16;

// Python 2 calls the module of the built-in functions __builtin__, Python 3 builtins. Of it, these make plain
// values.
constexpr std::array kHarmlessBuiltins = {"bool",      "bytearray", "bytes",   "complex", "dict",   "float",
                                          "frozenset", "int",       "list",    "long",    "object", "range",
                                          "reversed",  "slice",     "set",     "str",     "tuple",  "type",
                                          "unicode",   "xrange",    "NoneType"};
constexpr std::array kCodeModules = {"os",          "posix",      "nt",
                                     "sys",         "subprocess", "shutil",
                                     "socket",      "pty",        "runpy",
                                     "imp",         "code",       "importlib",
                                     "codeop",      "ctypes",     "_ctypes",
                                     "commands",    "asyncio",    "marshal",
                                     "signal",      "pickle",     "_pickle",
                                     "cPickle",     "dill",       "joblib",
                                     "cloudpickle", "io",         "_io",
                                     "operator",    "_operator",  "webbrowser",
                                     "urllib",      "urllib2",    "urllib3",
                                     "http",        "httplib",    "requests",
                                     "ftplib",      "smtplib",    "telnetlib",
                                     "inspect",     "timeit",     "bdb",
                                     "pdb",         "profile",    "cProfile",
                                     "trace",       "doctest",    "pip",
                                     "setuptools",  "distutils",  "multiprocessing",
                                     "pydoc",       "site",       "antigravity",
                                     "turtle",      "tempfile",   "fileinput",
                                     "linecache",   "zipimport",  "pkgutil",
                                     "threading"};
// As the last part of a name, in whatever module: an honest module imports others, so `models.common
// os.system` works.
constexpr std::array kCodeFunctions = {"system",    "popen",      "Popen",    "check_output", "call",
                                       "run",       "eval",       "exec",     "execfile",     "compile",
                                       "open",      "load",       "loads",    "__import__",   "getattr",
                                       "setattr",   "apply",      "run_path", "run_module",   "input",
                                       "runstring", "breakpoint", "CodeType", "FunctionType"};

template <typename List>
bool contains(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::optional<json> to_json(const PickleValue& value, size_t& budget_bytes, int depth);

std::optional<json> to_json_array(const std::vector<const PickleValue*>& items, size_t& budget_bytes,
                                  int depth) {
  json array = json::array();
  for (const PickleValue* item : items) {
    auto element = to_json(*item, budget_bytes, depth + 1);
    if (!element) {
      return std::nullopt;
    }
    array.push_back(std::move(*element));
  }
  return array;
}

std::optional<json> to_json_object(const std::vector<const PickleValue*>& items, size_t& budget_bytes,
                                   int depth) {
  json object = json::object();
  for (size_t i = 0; i < items.size(); i += 2) {
    const PickleValue& key = *items[i];
    if (key.kind != Kind::text && key.kind != Kind::integer) {
      return std::nullopt;
    }
    const auto name = to_json(key, budget_bytes, depth + 1);
    auto element = to_json(*items[i + 1], budget_bytes, depth + 1);
    if (!name || !element) {
      return std::nullopt;
    }
    // Python's class names are often {0: "person", …}; JSON has text keys only.
    object[key.kind == Kind::text ? key.text : std::to_string(key.integer)] = std::move(*element);
  }
  return object;
}

std::optional<json> to_json(const PickleValue& value, size_t& budget_bytes, int depth) {
  const size_t cost_bytes = kValueBytes + value.text.size();
  if (depth > kDeepestData || budget_bytes < cost_bytes) {
    return std::nullopt;
  }
  budget_bytes -= cost_bytes;
  switch (value.kind) {
    case Kind::none:
      return json(nullptr);
    case Kind::boolean:
      return json(value.integer != 0);
    case Kind::integer:
      return json(value.integer);
    case Kind::number:
      return json(value.number);
    case Kind::text:
      return json(value.text);
    case Kind::list:
    case Kind::tuple:
      return to_json_array(value.items, budget_bytes, depth);
    case Kind::object:
      if (calls(value, "torch Size") && value.arguments->items.size() == 1) {
        return to_json_array(value.arguments->items[0]->items, budget_bytes, depth);
      }
      return std::nullopt;
    case Kind::dict:
      return to_json_object(value.items, budget_bytes, depth);
    default:
      return std::nullopt;
  }
}

}  // namespace

bool calls(const PickleValue& value, std::string_view global) {
  return value.kind == Kind::object && value.callable->kind == Kind::global && value.callable->text == global;
}

bool is_tensor(const PickleValue& value) {
  return value.kind == Kind::object && value.callable->kind == Kind::global &&
         is_rebuild_global(value.callable->text);
}

const PickleValue& unwrapped_tensor(const PickleValue& value) {
  const bool is_parameter = calls(value, kRebuildParameter) || calls(value, kRebuildParameterWithState);
  return is_parameter && !value.arguments->items.empty() ? *value.arguments->items[0] : value;
}

bool is_rebuild_global(std::string_view global) {
  return global == kRebuildTensor || global == kRebuildParameter || global == kRebuildParameterWithState;
}

const PickleValue* lookup(const PickleValue& dict, std::string_view key) {
  if (dict.kind != Kind::dict) {
    return nullptr;
  }
  for (size_t i = dict.items.size(); i >= 2; i -= 2) {
    if (dict.items[i - 2]->kind == Kind::text && dict.items[i - 2]->text == key) {
      return dict.items[i - 1];
    }
  }
  return nullptr;
}

std::string dotted(std::string global) {
  for (char& c : global) {
    // It goes into an error's line.
    c = c == ' ' ? '.' : static_cast<unsigned char>(c) < 0x20 || c == '\x7f' ? '?' : c;
  }
  return global.substr(0, 120);
}

bool runs_code(std::string_view global) {
  const size_t space = global.find(' ');
  const std::string_view module = global.substr(0, space);
  const std::string_view name = space == std::string_view::npos ? "" : global.substr(space + 1);
  if (module == "__builtin__" || module == "builtins") {
    return !contains(kHarmlessBuiltins, name);
  }
  if (contains(kCodeModules, module.substr(0, module.find('.'))) || module.starts_with("torch.hub") ||
      module.starts_with("torch.utils.cpp_extension")) {
    return true;
  }
  const std::vector<std::string> parts = split(name, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (contains(kCodeModules, parts[i])) {
      return true;
    }
  }
  return !parts.empty() && contains(kCodeFunctions, parts.back());
}

std::optional<json> to_json(const PickleValue& value, size_t& budget_bytes) {
  return to_json(value, budget_bytes, 0);
}

}  // namespace yolodist::checkpoint
