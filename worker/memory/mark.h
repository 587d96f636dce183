// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace yolodist::memory {

// What a rank is doing, and what the memory that it takes meanwhile is for.
enum class Phase { start, data, forward, loss, backward, reduce, optimizer, validation, checkpoint };
enum class Kind {
  parameters,
  gradients,
  optimizer,
  ema,
  buffers,
  input,
  activations,
  loss,
  transient,
  host,
  other
};
inline constexpr int phase_count = 9, kind_count = 11;
const char* name_of(Phase phase);
const char* name_of(Kind kind);
// What is allocated in a phase unless said otherwise: forward → activations, backward → transient, …
Kind kind_of(Phase phase);

// Where this thread is. Kept always: setting it costs a few stores.
struct Mark {
  Phase phase = Phase::start;
  Kind kind = Kind::other;
  int layer = -1;                      // index in the layer table; -1 = none
  const std::string* piece = nullptr;  // "model.4.m.7.cv2"; lives as long as the layer table
  std::array<int64_t, 4> shape{};      // of the tensor that is being made; 0 = not known
};
Mark& current_mark();  // of this thread

// Each sets a part of the mark until it goes out of scope, then puts back what was there before. Backward
// may run on threads of its own (CUDA): nodes of ours set phase and layer again there.
class PhaseScope {
 public:
  explicit PhaseScope(Phase phase);
  ~PhaseScope();
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  Mark before_;
};

// From now on what this thread is doing can be seen by others: the thread that trains, for samples.
void publish_phase();
Phase published_phase();

class KindScope {
 public:
  explicit KindScope(Kind kind);
  ~KindScope() { current_mark().kind = before_; }
  KindScope(const KindScope&) = delete;
  KindScope& operator=(const KindScope&) = delete;

 private:
  Kind before_;
};

class LayerScope {
 public:
  LayerScope(int layer, const std::string* piece, std::array<int64_t, 4> shape = {});
  ~LayerScope();
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;

 private:
  Mark before_;
};

}  // namespace yolodist::memory
