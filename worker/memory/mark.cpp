// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/mark.h"

#include <atomic>

namespace yolodist::memory {
namespace {

std::atomic<Phase> published{Phase::start};
thread_local bool publishes = false;

void enter(Phase phase) {
  if (publishes) {
    published.store(phase, std::memory_order_relaxed);
  }
}

}  // namespace

const char* name_of(Phase phase) {
  constexpr std::array<const char*, phase_count> names = {
      "start", "data", "forward", "loss", "backward", "reduce", "optimizer", "validation", "checkpoint"};
  return names.at(static_cast<size_t>(phase));
}

const char* name_of(Kind kind) {
  constexpr std::array<const char*, kind_count> names = {"parameters", "gradients",   "optimizer",   "ema",
                                                         "buffers",    "input",       "activations", "loss",
                                                         "transient",  "host memory", "other"};
  return names.at(static_cast<size_t>(kind));
}

Kind kind_of(Phase phase) {
  switch (phase) {
    case Phase::data:
    case Phase::checkpoint:
      return Kind::host;
    case Phase::forward:
      return Kind::activations;
    case Phase::loss:
      return Kind::loss;
    case Phase::backward:
    case Phase::reduce:
    case Phase::optimizer:
    case Phase::validation:
      return Kind::transient;
    case Phase::start:
      break;
  }
  return Kind::other;
}

Mark& current_mark() {
  thread_local Mark mark;
  return mark;
}

PhaseScope::PhaseScope(Phase phase) : before_(current_mark()) {
  current_mark() = Mark{.phase = phase, .kind = kind_of(phase)};
  enter(phase);
}

PhaseScope::~PhaseScope() {
  current_mark() = before_;
  enter(before_.phase);
}

void publish_phase() {
  publishes = true;
  enter(current_mark().phase);
}

Phase published_phase() {
  return published.load(std::memory_order_relaxed);
}

KindScope::KindScope(Kind kind) : before_(current_mark().kind) {
  current_mark().kind = kind;
}

LayerScope::LayerScope(int layer, const std::string* piece, std::array<int64_t, 4> shape)
    : before_(current_mark()) {
  Mark& mark = current_mark();
  mark.layer = layer;
  mark.piece = piece;
  mark.shape = shape;
}

LayerScope::~LayerScope() {
  Mark& mark = current_mark();
  mark.layer = before_.layer;
  mark.piece = before_.piece;
  mark.shape = before_.shape;
}

}  // namespace yolodist::memory
