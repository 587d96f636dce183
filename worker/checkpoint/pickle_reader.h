// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::checkpoint {

// A value of a pickle, as data. Nothing is ever called or imported: a global is its name, and what Python
// would build by calling something is an `object` that says what would have been called with what.
struct PickleValue {
  enum class Kind {
    none,
    boolean,
    integer,
    number,
    text,
    bytes,
    list,
    tuple,
    set,
    dict,
    global,
    object,
    persistent
  };

  Kind kind = Kind::none;
  int64_t integer = 0;  // boolean (0 or 1), integer
  double number = 0;
  std::string text;  // text, bytes; global: "module name"
  // list, tuple, set: the elements. dict: key, value, key, value, … in the file's order. object: what was
  // appended or set afterwards. persistent: one element, the id.
  std::vector<const PickleValue*> items;
  const PickleValue* callable = nullptr;   // object: the global (or another object)
  const PickleValue* arguments = nullptr;  // object: a tuple
  const PickleValue* state = nullptr;      // object, dict: what BUILD gave it
};

// The values of one pickle and who owns them. References between them may form cycles: whoever walks the tree
// bounds its depth and the number of values it visits.
struct Pickle {
  std::deque<PickleValue> values;
  const PickleValue* root = nullptr;
  std::vector<std::string> globals;  // every name the pickle mentions, "module name", in order of appearance
};

// Largest pickle that is read. (That of YOLOv5x with optimizer state is under 1 MiB.)
inline constexpr size_t kLargestPickleBytes = size_t{16} << 20;

// Reads a pickle of protocol 2 to 5. Memory stays within about 150 times `data`. Throws DataError "… cannot
// be read: …" beginning with `where` when the data is damaged, cut short, or uses what no PyTorch file uses
// (integers over 64 bits, extension codes, protocol 0 and 1).
Pickle read_pickle(std::string_view data, std::string_view where);

}  // namespace yolodist::checkpoint
