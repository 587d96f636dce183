// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/budget.h"

#include <c10/util/Exception.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/text.h"
#include "worker/libtorch/cpu_allocator.h"

namespace yolodist::memory {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr size_t alignment = 64;  // of LibTorch's own CPU allocator

thread_local bool can_do_without = false;

// What lies in front of every block, so that a release knows what it releases.
struct Header {
  int64_t bytes = 0;  // rounded
  Mark mark;
};
static_assert(sizeof(Header) <= alignment, "a header takes what keeps the block aligned");

// A sum of live bytes and the highest that it has been.
struct Level {
  std::atomic<int64_t> current{0}, peak{0};

  void raise_peak(int64_t to) {
    int64_t seen = peak.load(relaxed);
    while (seen < to && !peak.compare_exchange_weak(seen, to, relaxed)) {
    }
  }
  // Takes `bytes` if that stays within `limit` (0 = none). Else leaves all as it was and returns false, with
  // what is held in `held`.
  bool take(int64_t bytes, int64_t limit, int64_t& held) {
    held = current.load(relaxed);
    do {
      if (limit > 0 && held + bytes > limit) {
        return false;
      }
    } while (!current.compare_exchange_weak(held, held + bytes, relaxed));
    raise_peak(held + bytes);
    return true;
  }
  void give_back(int64_t bytes) { current.fetch_sub(bytes, relaxed); }
};

struct Books {
  Level budgeted, host;
  std::atomic<int64_t> charged{0}, budget{0};
  HolderSums sums, charged_sums;

  std::mutex shortage_mutex;
  std::optional<Shortage> shortage;

  std::atomic<bool> is_observed{false};
  std::mutex observer_mutex;
  Observer observer = nullptr;
  void* observer_context = nullptr;
};

// Never destroyed: tensors may be released after the end of main.
Books& books() {
  static Books& instance = *new Books;
  return instance;
}

Level& level_of(Kind kind) {
  return kind == Kind::host ? books().host : books().budgeted;
}

void tell_observer(int64_t bytes, const Mark& mark) {
  if (!books().is_observed.load(std::memory_order_acquire)) {
    return;
  }
  const std::lock_guard lock(books().observer_mutex);
  if (books().observer != nullptr) {
    books().observer(bytes, mark, books().observer_context);
  }
}

std::string place_of(const Shortage& shortage) {
  std::string place = cat("in ", name_of(shortage.mark.phase), " for ", name_of(shortage.mark.kind));
  if (shortage.mark.layer >= 0) {
    place += cat(", layer ", shortage.mark.layer);
    if (!shortage.piece.empty()) {
      place += cat(" (", shortage.piece, ")");
    }
  }
  return place;
}

[[noreturn]] void run_out(const Mark& mark, int64_t requested, int64_t held, int64_t budget) {
  Shortage shortage{.requested_bytes = requested,
                    .held_bytes = held,
                    .budget_bytes = budget,
                    .mark = mark,
                    .piece = mark.piece == nullptr ? "" : *mark.piece,
                    .holders = holders()};
  shortage.mark.piece = nullptr;
  const std::string limit = budget > 0 ? cat("of a budget of ", to_string(Bytes{budget}), " (", budget, ")")
                                       : "and the host has no more";
  const std::string text =
      cat("out of memory ", place_of(shortage), ": asked for ", to_string(Bytes{requested}), " (", requested,
          " bytes) while ", to_string(Bytes{held}), " (", held, ") are held, ", limit);
  leave_shortage(std::move(shortage));
  throw c10::OutOfMemoryError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, text);
}

// Enters `bytes` into the books, or throws.
void enter(int64_t bytes, const Mark& mark) {
  const int64_t limit = mark.kind == Kind::host ? 0 : books().budget.load(relaxed);
  int64_t held = 0;
  if (!level_of(mark.kind).take(bytes, limit, held)) {
    run_out(mark, bytes, held, limit);
  }
  books().sums.add(mark.kind, mark.layer, bytes);
}

void strike_out(int64_t bytes, const Mark& mark) {
  books().sums.add(mark.kind, mark.layer, -bytes);
  level_of(mark.kind).give_back(bytes);
}

void release(void* data) {
  if (data == nullptr) {
    return;
  }
  auto* block = static_cast<std::byte*>(data) - alignment;
  const Header header = *reinterpret_cast<const Header*>(block);
  tell_observer(-header.bytes, header.mark);
  strike_out(header.bytes, header.mark);
  std::free(block);
}

class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    // As LibTorch's own: nothing has no address, but a device.
    void* data = bytes == 0 ? nullptr : take(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  static void* take(size_t bytes) {
    const Mark mark = current_mark();
    // What cannot be rounded cannot be had either.
    constexpr size_t largest = size_t{1} << 62;
    const int64_t counted = rounded(static_cast<int64_t>(std::min(bytes, largest)));
    enter(counted, mark);
    void* block = nullptr;
    if (bytes > largest || ::posix_memalign(&block, alignment, bytes + alignment) != 0) {
      strike_out(counted, mark);
      run_out(mark, counted, level_of(mark.kind).current.load(relaxed), 0);
    }
    new (block) Header{counted, mark};
    tell_observer(counted, mark);
    return static_cast<std::byte*>(block) + alignment;
  }
};

}  // namespace

void install_counting_allocator() {
  // Each step takes and gives back the same large blocks. Left to itself, malloc maps them anew each time,
  // and the kernel zeroes every page again: yolov5n's step takes 137 to 143 ms then instead of 115
  // (recompute_bench 3).
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that malloc allows
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  static const bool is_installed = [] {
    // LibTorch's own has priority 0. Never destroyed, as LibTorch asks.
    c10::SetCPUAllocator(new CountingAllocator, /*priority=*/100);
    return true;
  }();
  static_cast<void>(is_installed);
}

void set_budget(int64_t bytes) {
  books().budget.store(std::max<int64_t>(bytes, 0), relaxed);
}

int64_t budget_bytes() {
  return books().budget.load(relaxed);
}

void charge(int64_t bytes, Kind kind) {
  Mark mark = current_mark();
  mark.kind = kind;
  mark.layer = -1;
  mark.piece = nullptr;
  enter(rounded(bytes), mark);
  if (kind != Kind::host) {
    books().charged.fetch_add(rounded(bytes), relaxed);
    books().charged_sums.add(kind, mark.layer, rounded(bytes));
  }
  tell_observer(rounded(bytes), mark);
}

void discharge(int64_t bytes, Kind kind) {
  const Mark mark{.phase = current_mark().phase, .kind = kind};
  tell_observer(-rounded(bytes), mark);
  strike_out(rounded(bytes), mark);
  if (kind != Kind::host) {
    books().charged.fetch_sub(rounded(bytes), relaxed);
    books().charged_sums.add(kind, mark.layer, -rounded(bytes));
  }
}

Counters counters() {
  const Books& b = books();
  return {.current_bytes = b.budgeted.current.load(relaxed),
          .peak_bytes = b.budgeted.peak.load(relaxed),
          .host_bytes = b.host.current.load(relaxed),
          .host_peak_bytes = b.host.peak.load(relaxed),
          .charged_bytes = b.charged.load(relaxed)};
}

void reset_peak() {
  for (Level* level : {&books().budgeted, &books().host}) {
    level->peak.store(level->current.load(relaxed), relaxed);
    // Another thread may have taken some between the two.
    level->raise_peak(level->current.load(relaxed));
  }
}

std::vector<Holder> holders() {
  return books().sums.holders();
}

std::vector<Holder> charged_holders() {
  return books().charged_sums.holders();
}

SpareScope::SpareScope() : before_(std::exchange(can_do_without, true)) {}

SpareScope::~SpareScope() {
  can_do_without = before_;
}

void leave_shortage(Shortage shortage) {
  if (can_do_without) {
    return;
  }
  const std::lock_guard lock(books().shortage_mutex);
  books().shortage = std::move(shortage);
}

std::optional<Shortage> take_shortage() {
  const std::lock_guard lock(books().shortage_mutex);
  return std::exchange(books().shortage, std::nullopt);
}

void set_observer(Observer observer, void* context) {
  const std::lock_guard lock(books().observer_mutex);
  books().observer = observer;
  books().observer_context = context;
  books().is_observed.store(observer != nullptr, std::memory_order_release);
}

}  // namespace yolodist::memory
