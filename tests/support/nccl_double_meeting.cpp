// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nccl_double_meeting.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

namespace yolodist::test::nccl_double {
namespace {

constexpr size_t piece_bytes = size_t{256} << 10;  // of a collective
constexpr size_t mail_bytes = size_t{16} << 10;    // of a send

// Polls: a few looks at once, then asleep, since more ranks than cores wait here.
bool wait_until(const std::function<bool()>& claim, const Meeting::GiveUp& give_up) {
  for (int round = 0; !claim(); ++round) {
    if (give_up()) {
      return false;
    }
    if (round < 10) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  return true;
}

template <typename T>
void add(std::byte* total_bytes, const std::byte* bytes, size_t count, ncclRedOp_t reduction) {
  T* total = reinterpret_cast<T*>(total_bytes);
  const T* values = reinterpret_cast<const T*>(bytes);
  for (size_t i = 0; i < count; ++i) {
    if (reduction == ncclSum) {
      total[i] += values[i];
    } else {
      total[i] = reduction == ncclMax ? std::max(total[i], values[i]) : std::min(total[i], values[i]);
    }
  }
}

void add(std::byte* total, const std::byte* values, size_t count, ncclDataType_t type,
         ncclRedOp_t reduction) {
  switch (type) {
    case ncclFloat32:
      return add<float>(total, values, count, reduction);
    case ncclFloat64:
      return add<double>(total, values, count, reduction);
    case ncclInt64:
      return add<int64_t>(total, values, count, reduction);
    default:
      std::fprintf(stderr, "the NCCL double does not reduce type %d\n", static_cast<int>(type));
      std::abort();
  }
}

}  // namespace

size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    default:
      return 8;
  }
}

// All zero at first, which is the state before anybody has come.
struct Meeting::Shared {
  struct alignas(64) Rank {
    std::atomic<int> pid, is_aborted;
    std::atomic<int64_t> calls;     // collectives come to
    std::atomic<int64_t> barriers;  // of pieces
    std::array<int64_t, 5> signature;
  };
  struct alignas(64) Mailbox {
    std::atomic<int64_t> written, read;  // letters
    std::array<std::byte, mail_bytes> letter;
  };
  std::atomic<int> arrived;
  std::array<Rank, most_ranks> ranks;
  std::array<std::array<Mailbox, most_ranks>, most_ranks> mail;  // [from][to]
  std::array<std::array<std::byte, piece_bytes>, most_ranks> pieces;
};

std::string Meeting::create() {
  static std::atomic<int> number{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  const std::string name = "/yolodist-nccl-double-" + std::to_string(::getpid()) + "-" +
                           std::to_string(number++) + "-" + std::to_string(now);
  const int file = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Shared)) != 0) {
    std::perror("the NCCL double cannot make its shared memory");
    std::abort();
  }
  ::close(file);
  return name;
}

void Meeting::remove(const std::string& name) {
  ::shm_unlink(name.c_str());
}

std::shared_ptr<Meeting> Meeting::join(const std::string& name, int rank, int world_size,
                                       const GiveUp& give_up) {
  int file = -1;
  const auto is_open = [&] { return (file = ::shm_open(name.c_str(), O_RDWR, 0)) >= 0; };
  if (!wait_until(is_open, give_up)) {
    return nullptr;
  }
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) {
    std::perror("the NCCL double cannot map its shared memory");
    std::abort();
  }
  auto* shared = static_cast<Shared*>(memory);
  std::shared_ptr<Meeting> meeting(new Meeting(shared, rank, world_size));
  shared->ranks[static_cast<size_t>(rank)].pid = ::getpid();
  ++shared->arrived;
  if (!wait_until([&] { return shared->arrived == world_size; }, give_up)) {
    return nullptr;
  }
  remove(name);
  return meeting;
}

Meeting::~Meeting() {
  ::munmap(shared_, sizeof(Shared));
}

bool Meeting::barrier(const GiveUp& give_up) {
  const int64_t mine = ++shared_->ranks[static_cast<size_t>(rank_)].barriers;
  const auto all_there = [&] {
    return std::all_of(shared_->ranks.begin(), shared_->ranks.begin() + world_size_,
                       [mine](const Shared::Rank& rank) { return rank.barriers >= mine; });
  };
  return wait_until(all_there, give_up);
}

// Moves `count` elements from `begin` of what every rank gives; for a reduce-scatter, of all pieces in a row.
bool Meeting::move_piece(const Operation& operation, size_t begin, size_t count, const GiveUp& give_up) {
  const size_t element = size_of(operation.type), bytes = count * element;
  const auto own = static_cast<size_t>(rank_), world = static_cast<size_t>(world_size_);
  const bool gives = operation.kind != Kind::broadcast || rank_ == operation.peer;
  if (gives) {
    std::memcpy(shared_->pieces[own].data(),
                static_cast<const std::byte*>(operation.source) + begin * element, bytes);
  }
  if (!barrier(give_up)) {
    return false;
  }
  auto* result = static_cast<std::byte*>(operation.destination);
  switch (operation.kind) {
    case Kind::all_gather:
      for (size_t rank = 0; rank < world; ++rank) {
        std::memcpy(result + (rank * operation.count + begin) * element, shared_->pieces[rank].data(), bytes);
      }
      break;
    case Kind::broadcast:
      std::memcpy(result + begin * element, shared_->pieces[static_cast<size_t>(operation.peer)].data(),
                  bytes);
      break;
    default: {
      const bool scatters = operation.kind == Kind::reduce_scatter;
      if (scatters && begin / operation.count != own) {
        break;
      }
      std::vector<std::byte> total(shared_->pieces[0].data(), shared_->pieces[0].data() + bytes);
      for (size_t rank = 1; rank < world; ++rank) {
        add(total.data(), shared_->pieces[rank].data(), count, operation.type, operation.reduction);
      }
      std::memcpy(result + (scatters ? begin % operation.count : begin) * element, total.data(), bytes);
    }
  }
  return barrier(give_up);
}

bool Meeting::collective(const Operation& operation, const GiveUp& give_up) {
  Shared::Rank& mine = shared_->ranks[static_cast<size_t>(rank_)];
  mine.signature = {static_cast<int64_t>(operation.kind), static_cast<int64_t>(operation.count),
                    static_cast<int64_t>(operation.type), static_cast<int64_t>(operation.reduction),
                    operation.peer};
  const int64_t call = ++mine.calls;
  // Nobody goes on to its next call before all have left this one, so what is read here is of this call.
  const auto all_fit = [&] {
    return std::all_of(
        shared_->ranks.begin(), shared_->ranks.begin() + world_size_,
        [&](const Shared::Rank& rank) { return rank.calls >= call && rank.signature == mine.signature; });
  };
  if (!wait_until(all_fit, give_up) || !barrier(give_up)) {
    return false;
  }
  const size_t elements_a_piece = piece_bytes / size_of(operation.type);
  const size_t blocks = operation.kind == Kind::reduce_scatter ? static_cast<size_t>(world_size_) : 1;
  for (size_t block = 0; block < blocks; ++block) {
    for (size_t begin = 0; begin < operation.count; begin += elements_a_piece) {
      const size_t count = std::min(elements_a_piece, operation.count - begin);
      if (!move_piece(operation, block * operation.count + begin, count, give_up)) {
        return false;
      }
    }
  }
  return true;
}

bool Meeting::exchange(const std::vector<Operation>& operations, const GiveUp& give_up) {
  struct Progress {
    const Operation* operation;
    Shared::Mailbox* box;
    size_t moved = 0;
    int64_t awaits_read = 0;  // a send is over when its last letter has been read
  };
  std::vector<Progress> under_way;
  for (const Operation& operation : operations) {
    const auto own = static_cast<size_t>(rank_), peer = static_cast<size_t>(operation.peer);
    const bool sends = operation.kind == Kind::send;
    under_way.push_back(
        {.operation = &operation, .box = sends ? &shared_->mail[own][peer] : &shared_->mail[peer][own]});
  }
  // One letter of one transfer, if it can be moved now. True = the transfer is over.
  const auto is_over = [](Progress& progress) {
    const Operation& operation = *progress.operation;
    const size_t bytes = operation.count * size_of(operation.type);
    const size_t piece = std::min(mail_bytes, bytes - progress.moved);
    Shared::Mailbox& box = *progress.box;
    if (operation.kind == Kind::send) {
      if (progress.moved < bytes && box.written == box.read) {
        std::memcpy(box.letter.data(), static_cast<const std::byte*>(operation.source) + progress.moved,
                    piece);
        progress.moved += piece;
        progress.awaits_read = ++box.written;
      }
      return progress.moved == bytes && box.read >= progress.awaits_read;
    }
    if (progress.moved < bytes && box.written > box.read) {
      std::memcpy(static_cast<std::byte*>(operation.destination) + progress.moved, box.letter.data(), piece);
      progress.moved += piece;
      ++box.read;
    }
    return progress.moved == bytes;
  };
  const auto all_over = [&] {
    // Two sends to one peer, or two receives, keep their order: the later waits for the earlier.
    std::vector<std::pair<Kind, int>> taken;
    std::vector<Progress> left;
    for (Progress& progress : under_way) {
      const std::pair<Kind, int> way = {progress.operation->kind, progress.operation->peer};
      const bool waits = std::find(taken.begin(), taken.end(), way) != taken.end();
      if (waits || !is_over(progress)) {
        taken.push_back(way);
        left.push_back(progress);
      }
    }
    under_way = left;
    return under_way.empty();
  };
  return wait_until(all_over, give_up);
}

void Meeting::mark_aborted() {
  shared_->ranks[static_cast<size_t>(rank_)].is_aborted = 1;
}

bool Meeting::has_lost_peer() const {
  return std::any_of(shared_->ranks.begin(), shared_->ranks.begin() + world_size_,
                     [](const auto& rank) { return rank.is_aborted != 0 || ::kill(rank.pid, 0) != 0; });
}

}  // namespace yolodist::test::nccl_double
