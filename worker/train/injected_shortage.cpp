// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/injected_shortage.h"

#include <ATen/ops/empty.h>

#include <charconv>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/meter.h"

namespace yolodist::train {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw UsageError(
      cat("--inject-shortage is '", text, "'"),
      "RANK:PHASE:ITERATION:BYTES with forward, loss, backward, optimizer, validation or reserve.");
}

memory::Phase phase_named(const std::string& name, const std::string& text) {
  for (const memory::Phase phase : {memory::Phase::forward, memory::Phase::loss, memory::Phase::backward,
                                    memory::Phase::optimizer, memory::Phase::validation}) {
    if (name == memory::name_of(phase)) {
      return phase;
    }
  }
  refuse(text);
}

// A whole number from 0.
int64_t number_of(const std::string& part, const std::string& text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size() || number < 0) {
    refuse(text);
  }
  return number;
}

}  // namespace

InjectedShortage::InjectedShortage(const std::string& text, int rank, at::Device device) : device_(device) {
  if (text.empty()) {
    return;
  }
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 4) {
    refuse(text);
  }
  is_armed_ = number_of(parts[0], text) == rank;
  iteration_ = number_of(parts[2], text);
  is_lasting_ = parts[1] == "reserve";
  phase_ = is_lasting_ ? memory::Phase::forward : phase_named(parts[1], text);
  bytes_ = parse_bytes(parts[3], "--inject-shortage").count;
}

void InjectedShortage::enter(memory::Phase phase, int64_t iteration) {
  if (!is_armed_ || phase != phase_ || iteration < iteration_) {
    return;
  }
  is_armed_ = false;
  const int64_t left = memory::limit_of(device_) - memory::read(device_).current_bytes;
  const int64_t taken = is_lasting_ ? bytes_ : left - bytes_;
  if (taken > 0) {
    const memory::KindScope kind(memory::Kind::other);
    held_ = at::empty({taken}, at::TensorOptions().dtype(at::kByte).device(device_));
  }
}

void InjectedShortage::give_back() {
  if (!is_lasting_) {
    held_.reset();
  }
}

}  // namespace yolodist::train
