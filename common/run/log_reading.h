// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the log of a training, also of another program, says went wrong.
namespace yolodist::run {

enum class Trouble {
  device_memory,              // CUDA out of memory, said so
  device_memory_in_disguise,  // cuDNN or cuBLAS cannot start or finds no algorithm
  shared_memory,              // /dev/shm
  host_memory,  // the kernel or the scheduler killed a process, or an allocation on the host failed
  disk_full,
  no_driver,
  no_kernel_image,    // the library has no code for this GPU
  label_class,        // an index out of range on the device: a class number above the model's
  unused_parameters,  // DistributedDataParallel waits for gradients that never come
  yolodist_error,     // an end line of our own: "error: … [exit code 71, …]"
  // What follows from something else as a rule.
  wrapped_replica,     // DataParallel repeats what a thread threw
  collective_timeout,  // NCCL's watchdog: another rank is gone or elsewhere
  nccl_error,
};

// What an out-of-memory message says; 0 = it does not say.
struct MemoryNumbers {
  int device = -1;
  int64_t asked_bytes = 0, total_bytes = 0, allocated_bytes = 0, reserved_bytes = 0, in_use_bytes = 0;
  std::optional<int64_t> free_bytes;
  bool empty() const { return asked_bytes == 0 && total_bytes == 0; }
};

struct Finding {
  Trouble trouble = Trouble::device_memory;
  std::string line;         // as it stands in the log, at most 400 characters
  int64_t line_number = 0;  // from 1; 0 = in the tail of a log whose middle was not read
  int64_t count = 1;        // lines of the log that say so
  MemoryNumbers numbers;    // of the first line that has any
};

// How the training was started, as far as the log says. 0 and "" = not said.
struct TrainingSetup {
  std::string model;    // "yolov5x6": from cfg, else from weights
  std::string weights;  // as given
  std::string data;     // the data yaml as given
  int imgsz_px = 0;
  int batch = 0;  // of all devices; -1 = AutoBatch
  int device_count = 0;
  int class_count = 0;
  std::string card;  // "Tesla V100-SXM2-16GB"
  int64_t card_bytes = 0;
  bool is_data_parallel = false;  // one process for several devices
};

struct LogReading {
  int64_t bytes = 0;
  bool is_cut = false;            // only the head and the tail were read
  std::vector<Finding> findings;  // one a trouble, in the order of the log
  TrainingSetup setup;
  std::string last_error;  // the last line that ends a Python traceback: "ValueError: …"

  // The finding that explains the others: the first that does not follow from something else as a rule, and
  // of those a killed process last. nullptr if nothing was recognised.
  const Finding* cause() const;
};

// Reads the first 8 and the last 24 MiB. Throws DataError for what cannot be read and for what is not text.
LogReading read_log(const std::filesystem::path& file);
// `tail` follows after a gap; "" if there is none.
LogReading read_log_text(std::string_view head, std::string_view tail = "");

// "cuda_out_of_memory", … for JSON.
const char* name_of(Trouble trouble);
struct Explanation {
  const char* what;      // what happened, one sentence
  const char* what_now;  // what helps, one sentence or two
};
Explanation explanation_of(Trouble trouble);

}  // namespace yolodist::run
