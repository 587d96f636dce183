// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/pickle_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;

// The opcodes, named as in Python's pickletools.
namespace op {
enum : unsigned char {
  mark = '(',
  stop = '.',
  pop = '0',
  pop_mark = '1',
  dup = '2',
  binfloat = 'G',
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  none = 'N',
  binpersid = 'Q',
  reduce = 'R',
  binstring = 'T',
  short_binstring = 'U',
  binunicode = 'X',
  binbytes = 'B',
  short_binbytes = 'C',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  list = 'l',
  empty_tuple = ')',
  tuple = 't',
  empty_dict = '}',
  dict = 'd',
  setitem = 's',
  setitems = 'u',
  build = 'b',
  global = 'c',
  binput = 'q',
  long_binput = 'r',
  binget = 'h',
  long_binget = 'j',
  proto = 0x80,
  newobj = 0x81,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  newtrue = 0x88,
  newfalse = 0x89,
  long1 = 0x8a,
  long4 = 0x8b,
  short_binunicode = 0x8c,
  binunicode8 = 0x8d,
  binbytes8 = 0x8e,
  empty_set = 0x8f,
  additems = 0x90,
  frozenset = 0x91,
  newobj_ex = 0x92,
  stack_global = 0x93,
  memoize = 0x94,
  frame = 0x95,
  bytearray8 = 0x96
};
}  // namespace op

// The stack machine of one pickle. Source: Lib/pickletools.py of CPython 3.11, the opcodes' descriptions.
class Machine {
 public:
  Machine(std::string_view data, std::string_view where) : data_(data), where_(where) {}

  Pickle run() {
    for (;;) {
      const auto opcode = take<unsigned char>();
      if (opcode == op::stop) {
        pickle_.root = pop();
        return std::move(pickle_);
      }
      if (!run_scalar(opcode) && !run_container(opcode) && !run_object(opcode) && !run_memo(opcode)) {
        fail(cat("unknown pickle opcode ", int{opcode}, " at byte ", at_ - 1));
      }
    }
  }

 private:
  [[noreturn]] void fail(std::string_view why) const {
    throw DataError(cat(where_, " cannot be read: ", why));
  }

  std::string_view take_bytes(uint64_t count) {
    if (count > data_.size() - at_) {
      fail(cat("its pickle is cut short at byte ", at_));
    }
    const std::string_view bytes = data_.substr(at_, count);
    at_ += count;
    return bytes;
  }
  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string take_line() {
    const size_t end = data_.find('\n', at_);
    if (end == std::string_view::npos) {
      fail(cat("its pickle is cut short at byte ", at_));
    }
    std::string line(data_.substr(at_, end - at_));
    at_ = end + 1;
    return line;
  }
  int64_t take_long(uint64_t length) {
    const std::string_view bytes = take_bytes(length);
    if (length > 8) {
      fail("it holds an integer of more than 64 bits");
    }
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) {
      value = (value << 8) | static_cast<unsigned char>(bytes[i]);
    }
    return static_cast<int64_t>(value);
  }

  PickleValue& push(Kind kind) {
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    stack_.push_back(&value);
    return value;
  }
  void push_text(Kind kind, uint64_t length) { push(kind).text = std::string(take_bytes(length)); }
  PickleValue* top() {
    if (stack_.size() <= floor()) {
      fail(cat("its pickle takes from an empty stack at byte ", at_));
    }
    return stack_.back();
  }
  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) {
      fail(cat("its pickle lacks a mark at byte ", at_));
    }
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleValue*> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  std::vector<const PickleValue*> pop_last(size_t count) {
    std::vector<const PickleValue*> items(count);
    for (size_t i = count; i-- > 0;) {
      items[i] = pop();
    }
    return items;
  }
  void extend(const std::vector<const PickleValue*>& items, bool is_dict) {
    PickleValue* into = top();
    const bool takes_items = into->kind == Kind::object ||
                             into->kind == (is_dict ? Kind::dict : Kind::list) ||
                             (!is_dict && into->kind == Kind::set);
    if (!takes_items || (is_dict && items.size() % 2 != 0)) {
      fail(cat("its pickle adds to what is no container at byte ", at_));
    }
    into->items.insert(into->items.end(), items.begin(), items.end());
  }
  void remember(uint32_t index) { memo_[index] = top(); }
  void recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) {
      fail(cat("its pickle recalls what it never stored at byte ", at_));
    }
    stack_.push_back(found->second);
  }
  void push_global(const std::string& module, const std::string& name) {
    PickleValue& value = push(Kind::global);
    value.text = module + " " + name;
    if (std::find(pickle_.globals.begin(), pickle_.globals.end(), value.text) == pickle_.globals.end()) {
      // A real file names a few dozen; the bound keeps this search linear for a hostile one.
      if (pickle_.globals.size() >= 4096) {
        fail("it names too many classes");
      }
      pickle_.globals.push_back(value.text);
    }
  }

  bool run_scalar(unsigned char opcode) {
    switch (opcode) {
      case op::proto: {
        const auto version = take<uint8_t>();
        if (version < 2 || version > 5) {
          fail(cat("its pickle has protocol ", int{version}, ", 2 to 5 are read"));
        }
        return true;
      }
      case op::frame:
        take_bytes(8);
        return true;
      case op::none:
        push(Kind::none);
        return true;
      case op::newtrue:
        push(Kind::boolean).integer = 1;
        return true;
      case op::newfalse:
        push(Kind::boolean);
        return true;
      case op::binint:
        push(Kind::integer).integer = take<int32_t>();
        return true;
      case op::binint1:
        push(Kind::integer).integer = take<uint8_t>();
        return true;
      case op::binint2:
        push(Kind::integer).integer = take<uint16_t>();
        return true;
      case op::long1:
        push(Kind::integer).integer = take_long(take<uint8_t>());
        return true;
      case op::long4:
        push(Kind::integer).integer = take_long(take<uint32_t>());
        return true;
      case op::binfloat:
        push(Kind::number).number = std::bit_cast<double>(__builtin_bswap64(take<uint64_t>()));
        return true;
      case op::short_binunicode:
        push_text(Kind::text, take<uint8_t>());
        return true;
      case op::binunicode:
        push_text(Kind::text, take<uint32_t>());
        return true;
      case op::binunicode8:
        push_text(Kind::text, take<uint64_t>());
        return true;
      case op::short_binstring:
        push_text(Kind::text, take<uint8_t>());
        return true;
      case op::binstring:
        push_text(Kind::text, take<uint32_t>());
        return true;
      case op::short_binbytes:
        push_text(Kind::bytes, take<uint8_t>());
        return true;
      case op::binbytes:
        push_text(Kind::bytes, take<uint32_t>());
        return true;
      case op::binbytes8:
      case op::bytearray8:
        push_text(Kind::bytes, take<uint64_t>());
        return true;
      default:
        return false;
    }
  }

  bool run_container(unsigned char opcode) {
    switch (opcode) {
      case op::mark:
        marks_.push_back(stack_.size());
        return true;
      case op::pop:
        if (!marks_.empty() && stack_.size() == marks_.back()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      case op::pop_mark:
        pop_to_mark();
        return true;
      case op::dup:
        stack_.push_back(top());
        return true;
      case op::empty_list:
        push(Kind::list);
        return true;
      case op::empty_dict:
        push(Kind::dict);
        return true;
      case op::empty_set:
        push(Kind::set);
        return true;
      case op::empty_tuple:
        push(Kind::tuple);
        return true;
      case op::tuple1:
      case op::tuple2:
      case op::tuple3: {
        auto items = pop_last(opcode - op::tuple1 + 1U);
        push(Kind::tuple).items = std::move(items);
        return true;
      }
      case op::tuple:
      case op::list:
      case op::dict:
      case op::frozenset: {
        auto items = pop_to_mark();
        if (opcode == op::dict && items.size() % 2 != 0) {
          fail(cat("its pickle has a dict with a key and no value at byte ", at_));
        }
        const Kind kind = opcode == op::tuple  ? Kind::tuple
                          : opcode == op::list ? Kind::list
                          : opcode == op::dict ? Kind::dict
                                               : Kind::set;
        push(kind).items = std::move(items);
        return true;
      }
      case op::append:
        extend_last(1, false);
        return true;
      case op::setitem:
        extend_last(2, true);
        return true;
      case op::appends:
      case op::additems: {
        const auto items = pop_to_mark();
        extend(items, false);
        return true;
      }
      case op::setitems: {
        const auto items = pop_to_mark();
        extend(items, true);
        return true;
      }
      default:
        return false;
    }
  }
  void extend_last(size_t count, bool is_dict) {
    const auto items = pop_last(count);
    extend(items, is_dict);
  }

  bool run_object(unsigned char opcode) {
    switch (opcode) {
      case op::global: {
        const std::string module = take_line();
        push_global(module, take_line());
        return true;
      }
      case op::stack_global: {
        const auto parts = pop_last(2);
        if (parts[0]->kind != Kind::text || parts[1]->kind != Kind::text) {
          fail(cat("its pickle names a class by what is no text at byte ", at_));
        }
        push_global(parts[0]->text, parts[1]->text);
        return true;
      }
      case op::reduce:
      case op::newobj:
        push_object(pop_last(2));
        return true;
      case op::newobj_ex: {
        auto parts = pop_last(3);
        push_object({parts[0], parts[1]});
        stack_.back()->items.push_back(parts[2]);
        return true;
      }
      case op::build: {
        const PickleValue* state = pop();
        PickleValue* object = top();
        if (object->kind != Kind::object && object->kind != Kind::dict) {
          fail(cat("its pickle sets the state of what is no object at byte ", at_));
        }
        object->state = state;
        return true;
      }
      case op::binpersid: {
        const PickleValue* id = pop();
        push(Kind::persistent).items = {id};
        return true;
      }
      default:
        return false;
    }
  }
  void push_object(const std::vector<const PickleValue*>& parts) {
    if (parts[1]->kind != Kind::tuple) {
      fail(cat("its pickle calls with what is no tuple at byte ", at_));
    }
    // An OrderedDict is a dict that is filled afterwards.
    if (parts[0]->kind == Kind::global && parts[0]->text == "collections OrderedDict" &&
        parts[1]->items.empty()) {
      push(Kind::dict);
      return;
    }
    PickleValue& object = push(Kind::object);
    object.callable = parts[0];
    object.arguments = parts[1];
  }

  bool run_memo(unsigned char opcode) {
    switch (opcode) {
      case op::binput:
        remember(take<uint8_t>());
        return true;
      case op::long_binput:
        remember(take<uint32_t>());
        return true;
      case op::memoize:
        remember(static_cast<uint32_t>(memo_.size()));
        return true;
      case op::binget:
        recall(take<uint8_t>());
        return true;
      case op::long_binget:
        recall(take<uint32_t>());
        return true;
      default:
        return false;
    }
  }

  std::string_view data_;
  std::string_view where_;
  size_t at_ = 0;
  Pickle pickle_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle read_pickle(std::string_view data, std::string_view where) {
  if (data.size() > kLargestPickleBytes) {
    throw DataError(cat(where, " cannot be read: its pickle has ", data.size(), " bytes, at most ",
                        kLargestPickleBytes, " are read"));
  }
  return Machine(data, where).run();
}

}  // namespace yolodist::checkpoint
