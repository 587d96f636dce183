// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Kills a process that writes checkpoints, again and again, and looks at what each kill leaves:
//   checkpoint_writer kill FOLDER COUNT SEED
// Also, for the scripts: `checkpoint_writer digest FILE` reads a whole checkpoint and prints its iteration
// and a checksum of its tensors.
#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"
#include "worker/checkpoint/background_writer.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/kept_checkpoints.h"
#include "worker/checkpoint/zip_reader.h"

namespace {

namespace fs = std::filesystem;
using namespace yolodist;

constexpr int64_t tensor_count = 40, tensor_length = 10000;  // 1.6 MB, as a small model

checkpoint::Checkpoint checkpoint_of(int64_t number) {
  checkpoint::Checkpoint made;
  for (int64_t i = 0; i < tensor_count; ++i) {
    made.model.emplace_back(cat("model.", i, ".weight"), at::full({tensor_length}, number, at::kFloat));
  }
  made.meta = {{"iteration", number}};
  return made;
}

// Reads it whole and returns its number; ends the program when it is not what was written.
int64_t number_of(const fs::path& file) {
  const checkpoint::Checkpoint read = checkpoint::read_checkpoint(file);
  const int64_t number = read.meta.at("iteration").get<int64_t>();
  check(read.model.size() == tensor_count, "all tensors are there");
  for (const auto& [name, tensor] : read.model) {
    check(tensor.numel() == tensor_length && tensor.eq(static_cast<float>(number)).all().item<bool>(),
          cat(name, " is of checkpoint ", number));
  }
  return number;
}

// The child: checkpoints one after the other, each acknowledged on `pipe` when it is there.
[[noreturn]] void write_for_ever(const fs::path& last, int64_t first, int pipe) {
  remove_temporaries(last.parent_path());
  checkpoint::BackgroundWriter writer(last, [] {});
  for (int64_t number = first;; ++number) {
    writer.start({{last, std::make_shared<checkpoint::Checkpoint>(checkpoint_of(number))}});
    const auto outcome = writer.wait_for_outcome();
    if (!outcome || outcome->error || ::write(pipe, &number, sizeof number) != sizeof number) {
      ::_exit(1);
    }
  }
}

struct Leftovers {
  int64_t newest = -1;
  bool has_temporary = false;
};

// What a kill left: all that is there can be read, and is in order.
Leftovers look(const fs::path& last, int64_t acknowledged) {
  Leftovers left;
  int64_t newer = -1;
  for (const fs::path& file : run::kept_checkpoints(last)) {
    if (!fs::exists(file)) {
      continue;
    }
    const int64_t number = number_of(file);
    check(newer < 0 || number <= newer, cat(file.string(), " is not newer than the one before it"));
    newer = number;
    left.newest = std::max(left.newest, number);
  }
  check(acknowledged < 0 || (fs::exists(last) && number_of(last) >= acknowledged),
        "last.pt is not older than the last checkpoint that was acknowledged");
  for (const auto& entry : fs::directory_iterator(last.parent_path())) {
    left.has_temporary |= entry.path().string().find(".tmp-") != std::string::npos;
  }
  return left;
}

int kill_again_and_again(const fs::path& folder, int count, unsigned seed) {
  const fs::path last = folder / "last.pt";
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> moment_us(0, 60000);
  int64_t acknowledged = -1, newest = -1;
  int in_a_write = 0, loaded = 0;
  for (int i = 0; i < count; ++i) {
    int pipe[2];
    check(::pipe2(pipe, O_CLOEXEC) == 0, "a pipe");
    const pid_t child = ::fork();
    check(child >= 0, "a child");
    if (child == 0) {
      ::close(pipe[0]);
      write_for_ever(last, newest + 1, pipe[1]);
    }
    ::close(pipe[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(moment_us(random)));
    ::kill(child, SIGKILL);
    int status = 0;
    check(::waitpid(child, &status, 0) == child && WIFSIGNALED(status), "it wrote until it was killed");
    for (int64_t number; ::read(pipe[0], &number, sizeof number) == sizeof number;) {
      acknowledged = number;
    }
    ::close(pipe[0]);
    const Leftovers left = look(last, acknowledged);
    newest = std::max(newest, left.newest);
    in_a_write += left.has_temporary ? 1 : 0;
    loaded += left.newest >= 0 ? 1 : 0;
  }
  std::cout << count << " kills, " << in_a_write << " of them in a write, " << loaded
            << " times a loadable last.pt, newest checkpoint " << newest << std::endl;
  // Else the moments were badly chosen, and nothing is shown.
  return in_a_write >= count / 4 && newest >= count / 4 ? 0 : 1;
}

int digest(const fs::path& file) {
  const checkpoint::Checkpoint read = checkpoint::read_checkpoint(file);
  uint32_t sum = 0;
  const auto add = [&sum](const checkpoint::NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) {
      sum = checkpoint::crc32(name.data(), name.size(), sum);
      sum = checkpoint::crc32(tensor.const_data_ptr(), tensor.nbytes(), sum);
    }
  };
  add(read.model);
  add(read.ema);
  for (const auto& [state, tensors] : read.optimizer) {
    add(tensors);
  }
  std::cout << read.meta.at("iteration") << ' ' << sum << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);  // a fork takes no threads along
  const std::string action = argc > 1 ? argv[1] : "";
  try {
    if (action == "kill" && argc == 5) {
      return kill_again_and_again(argv[2], std::atoi(argv[3]), static_cast<unsigned>(std::atoi(argv[4])));
    }
    if (action == "digest" && argc == 3) {
      return digest(argv[2]);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
  std::cerr << "usage: checkpoint_writer kill FOLDER COUNT SEED | digest FILE" << std::endl;
  return 64;
}
