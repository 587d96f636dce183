// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/log_patterns.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "common/base/text.h"

namespace yolodist::run {
namespace {

struct Pattern {
  Trouble trouble;
  const char* part;        // that the line has
  const char* other = "";  // that it has too
};

// Source: the messages themselves, as PyTorch, cuDNN, cuBLAS, NCCL, the kernel, SLURM and bash print them.
// The first that fits counts.
constexpr std::array patterns = {
    Pattern{Trouble::yolodist_error, "error: ", "[exit code "},
    Pattern{Trouble::wrapped_replica, "Caught ", " in replica "},
    Pattern{Trouble::device_memory, "CUDA out of memory"},
    Pattern{Trouble::device_memory, "CUDA error: out of memory"},
    Pattern{Trouble::device_memory, "cuda runtime error (2)"},
    Pattern{Trouble::device_memory_in_disguise, "Unable to find a valid cuDNN algorithm"},
    Pattern{Trouble::device_memory_in_disguise, "unable to find an engine to execute this computation"},
    Pattern{Trouble::device_memory_in_disguise, "CUDNN_STATUS_NOT_INITIALIZED"},
    Pattern{Trouble::device_memory_in_disguise, "CUDNN_STATUS_ALLOC_FAILED"},
    Pattern{Trouble::device_memory_in_disguise, "CUDNN_STATUS_INTERNAL_ERROR"},
    Pattern{Trouble::device_memory_in_disguise, "CUBLAS_STATUS_ALLOC_FAILED"},
    Pattern{Trouble::device_memory_in_disguise, "CUBLAS_STATUS_NOT_INITIALIZED"},
    Pattern{Trouble::shared_memory, "out of shared memory"},
    Pattern{Trouble::shared_memory, "insufficient shared memory"},
    Pattern{Trouble::shared_memory, "unable to open shared memory object"},
    Pattern{Trouble::shared_memory, "unable to write to file </torch_"},
    Pattern{Trouble::shared_memory, "unable to mmap", "/torch_"},
    Pattern{Trouble::shared_memory, "No space left on device", "shm"},
    Pattern{Trouble::shared_memory, "No space left on device", "torch_"},
    Pattern{Trouble::disk_full, "No space left on device"},
    Pattern{Trouble::disk_full, "Disk quota exceeded"},
    Pattern{Trouble::host_memory, "Out of memory: Killed process"},
    Pattern{Trouble::host_memory, "Memory cgroup out of memory"},
    Pattern{Trouble::host_memory, "oom-kill"},
    Pattern{Trouble::host_memory, "oom_kill"},
    Pattern{Trouble::host_memory, "Exceeded job memory limit"},
    Pattern{Trouble::host_memory, "Signal 9 (SIGKILL)"},
    Pattern{Trouble::host_memory, "signal 9 (Killed)"},
    Pattern{Trouble::host_memory, "exitcode: -9"},
    Pattern{Trouble::host_memory, "is killed by signal: Killed"},
    Pattern{Trouble::host_memory, "DefaultCPUAllocator", "memory"},
    Pattern{Trouble::host_memory, "[Errno 12] Cannot allocate memory"},
    Pattern{Trouble::host_memory, "std::bad_alloc"},
    Pattern{Trouble::host_memory, "Unable to allocate ", " for an array"},
    Pattern{Trouble::no_kernel_image, "no kernel image is available"},
    Pattern{Trouble::no_kernel_image, "is not compatible with the current PyTorch installation"},
    Pattern{Trouble::no_driver, "Found no NVIDIA driver"},
    Pattern{Trouble::no_driver, "CUDA driver version is insufficient"},
    Pattern{Trouble::no_driver, "The NVIDIA driver on your system is too old"},
    Pattern{Trouble::no_driver, "No CUDA GPUs are available"},
    Pattern{Trouble::label_class, "device-side assert triggered"},
    Pattern{Trouble::unused_parameters, "Expected to have finished reduction in the prior iteration"},
    Pattern{Trouble::unused_parameters, "Expected to mark a variable ready only once"},
    Pattern{Trouble::collective_timeout, "Watchdog caught collective operation timeout"},
    Pattern{Trouble::collective_timeout, "NCCL operations have failed or timed out"},
    Pattern{Trouble::nccl_error, "NCCL error"},
    Pattern{Trouble::nccl_error, "ncclUnhandledCudaError"},
    Pattern{Trouble::nccl_error, "ncclSystemError"},
};

bool has(std::string_view line, std::string_view part) {
  return line.find(part) != std::string_view::npos;
}

// What bash says of a command that SIGKILL ended: "Killed", or "train.sh: line 3:  4711 Killed   python …".
bool says_killed(std::string_view line) {
  if (trimmed(line) == "Killed" || trimmed(line) == "Killed: 9") {
    return true;
  }
  const size_t at = line.find(" Killed ");
  return at != std::string_view::npos && at > 0 && line[at - 1] >= '0' && line[at - 1] <= '9' &&
         has(line, "line ");
}

// "20.00 MiB", "0 bytes"; nothing if no amount stands there.
std::optional<int64_t> amount_at(std::string_view text) {
  const std::string number(text.substr(0, std::min(text.find_first_not_of("0123456789."), text.size())));
  double value = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), value);
  if (number.empty() || result.ec != std::errc()) {
    return std::nullopt;
  }
  const std::string unit = trimmed(text.substr(number.size(), 6));
  constexpr std::array<std::pair<std::string_view, double>, 8> units = {{{"TiB", 1099511627776.0},
                                                                         {"GiB", 1073741824.0},
                                                                         {"MiB", 1048576.0},
                                                                         {"KiB", 1024.0},
                                                                         {"GB", 1073741824.0},
                                                                         {"MB", 1048576.0},
                                                                         {"KB", 1024.0},
                                                                         {"byte", 1.0}}};
  for (const auto& [name, factor] : units) {
    if (unit.starts_with(name)) {
      return static_cast<int64_t>(value * factor);
    }
  }
  return std::nullopt;
}

// The amount that begins right after `before`.
std::optional<int64_t> amount_after(std::string_view line, std::string_view before) {
  const size_t at = line.find(before);
  return at == std::string_view::npos ? std::nullopt : amount_at(line.substr(at + before.size()));
}

// The amount that ends right before `after`: the last two words.
std::optional<int64_t> amount_before(std::string_view line, std::string_view after) {
  const size_t end = line.find(after);
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const size_t unit = line.substr(0, end).find_last_of(' ');
  if (unit == std::string_view::npos || unit == 0) {
    return std::nullopt;
  }
  const size_t number = line.substr(0, unit).find_last_of(" (");
  return amount_at(line.substr(number == std::string_view::npos ? 0 : number + 1));
}

std::optional<int> whole(std::string_view text) {
  int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

// "yolov5x6" of "weights/yolov5x6.pt" or "models/hub/yolov5x6.yaml"; "" for anything else, last.pt included.
std::string model_of(std::string_view path) {
  std::string name(path.substr(path.find_last_of("/\\") + 1));
  name = name.substr(0, name.find_last_of('.'));
  return name.starts_with("yolov5") ? name : "";
}

int count_devices(std::string_view text) {
  return text.empty() || text == "cpu" || text == "None"
             ? 0
             : static_cast<int>(std::count(text.begin(), text.end(), ',')) + 1;
}

void keep(std::string& field, const std::string& value) {
  if (field.empty()) {
    field = value;
  }
}

void keep(int& field, int value) {
  if (field == 0) {
    field = value;
  }
}

// One "name", "value" of the argument line or the command.
void take_argument(const std::string& name, std::string value, TrainingSetup& setup) {
  std::erase_if(value, [](char c) { return c == '\'' || c == '"' || c == '[' || c == ']' || c == ')'; });
  if (value.empty()) {
    return;
  }
  if (name == "cfg" || name == "weights" || name == "model") {
    // cfg decides where both are given.
    if (const std::string model = model_of(value); !model.empty() && (setup.model.empty() || name == "cfg")) {
      setup.model = model;
    }
    if (name != "cfg") {
      keep(setup.weights, value);
    }
  } else if (name == "data") {
    keep(setup.data, value);
  } else if (name == "imgsz" || name == "img" || name == "img_size") {
    keep(setup.imgsz_px, whole(value).value_or(0));
  } else if (name == "batch_size" || name == "batch" || name == "total_batch_size") {
    // After DDP has divided it, the older form has the whole under another name.
    if (name == "total_batch_size" || setup.batch == 0) {
      setup.batch = whole(value).value_or(0);
    }
  } else if (name == "device") {
    keep(setup.device_count, count_devices(value));
  } else if (name == "world_size" || name == "nproc_per_node") {
    setup.device_count = std::max(setup.device_count, whole(value).value_or(0));
  }
}

// "train: weights=yolov5s.pt, cfg=, …, device=0,1, multi_scale=False, …" and "Namespace(weights='…', …)":
// pieces between commas; one without '=' belongs to the value before.
void read_argument_line(std::string_view line, TrainingSetup& setup) {
  std::string name, value;
  for (const std::string& piece : split(line, ',')) {
    const size_t equals = piece.find('=');
    if (equals == std::string::npos) {
      value += cat(",", trimmed(piece));
      continue;
    }
    take_argument(name, value, setup);
    name = trimmed(piece.substr(0, equals));
    name = name.substr(name.find_last_of(" (") + 1);
    value = trimmed(piece.substr(equals + 1));
  }
  take_argument(name, value, setup);
}

// "python train.py --img 1280 --batch-size=16 …", with torchrun or mpirun before it.
void read_command(std::string_view line, TrainingSetup& setup) {
  std::vector<std::string> words;
  for (const std::string& word : split(line, ' ')) {
    if (!word.empty()) {
      words.push_back(word);
    }
  }
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) {
      continue;
    }
    const size_t equals = words[i].find('=');
    std::string name = words[i].substr(2, equals == std::string::npos ? equals : equals - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    const std::string value = equals != std::string::npos ? words[i].substr(equals + 1)
                              : i + 1 < words.size()      ? words[i + 1]
                                                          : "";
    take_argument(name, value, setup);
  }
}

// "CUDA:0 (Tesla V100-SXM2-16GB, 16160MiB)", one a device; older: "CUDA:0 (Tesla T4, 15109.75MB)".
void read_device(std::string_view line, TrainingSetup& setup) {
  const size_t at = line.find("CUDA:");
  const std::optional<int> number = whole(line.substr(at + 5));
  const size_t open = line.find('(', at), comma = line.find(", ", at), close = line.find(')', at);
  if (!number || open == std::string_view::npos || comma == std::string_view::npos ||
      close == std::string_view::npos || !(open < comma && comma < close) || open - at > 9) {
    return;
  }
  const std::optional<int64_t> bytes = amount_at(line.substr(comma + 2, close - comma - 2));
  if (!bytes) {
    return;
  }
  setup.device_count = std::max(setup.device_count, *number + 1);
  if (setup.card.empty()) {
    setup.card = line.substr(open + 1, comma - open - 1);
    setup.card_bytes = *bytes;
  }
}

}  // namespace

std::optional<Trouble> trouble_in(const std::string& line) {
  for (const Pattern& pattern : patterns) {
    if (has(line, pattern.part) && has(line, pattern.other)) {
      return pattern.trouble;
    }
  }
  return says_killed(line) ? std::optional(Trouble::host_memory) : std::nullopt;
}

bool is_exception(const std::string& line) {
  const size_t end =
      line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
  if (end == std::string::npos || line[end] != ':') {
    return false;
  }
  const std::string_view name = std::string_view(line).substr(0, end);
  return name.ends_with("Error") || name.ends_with("Exception") || name == "KeyboardInterrupt";
}

MemoryNumbers numbers_in(const std::string& line) {
  MemoryNumbers numbers;
  const auto first = [](std::initializer_list<std::optional<int64_t>> amounts) {
    const auto known =
        std::find_if(amounts.begin(), amounts.end(), [](const auto& amount) { return amount.has_value(); });
    return known == amounts.end() ? std::nullopt : *known;
  };
  numbers.asked_bytes =
      first({amount_after(line, "Tried to allocate "), amount_after(line, "tried to allocate "),
             amount_after(line, "Unable to allocate ")})
          .value_or(0);
  // The misspelt form is that of some versions of PyTorch.
  numbers.total_bytes =
      first({amount_before(line, " total capacity"), amount_after(line, "total capacity of "),
             amount_after(line, "total capacty of ")})
          .value_or(0);
  numbers.allocated_bytes =
      first({amount_before(line, " already allocated"), amount_after(line, "Of the allocated memory "),
             amount_before(line, " is allocated by PyTorch")})
          .value_or(0);
  numbers.reserved_bytes = amount_before(line, " reserved in total by PyTorch").value_or(0);
  numbers.in_use_bytes =
      first({amount_before(line, " memory in use"), amount_after(line, "this process has ")}).value_or(0);
  numbers.free_bytes =
      first({amount_before(line, " is free"), amount_before(line, " free;"), amount_before(line, " free)")});
  if (const size_t at = line.find("GPU "); at != std::string::npos) {
    numbers.device = whole(std::string_view(line).substr(at + 4)).value_or(-1);
  }
  return numbers;
}

void read_setup(const std::string& line, TrainingSetup& setup) {
  const bool has_arguments = has(line, "weights=") || has(line, "model=");
  if (has_arguments && (has(line, "batch_size=") || has(line, "batch="))) {
    read_argument_line(line, setup);
  } else if (has(line, "train.py") && has(line, " --")) {
    read_command(line, setup);
  }
  if (has(line, "CUDA:")) {
    read_device(line, setup);
  }
  if (const size_t at = line.find("Overriding model.yaml nc="); at != std::string::npos) {
    if (const size_t with = line.find(" with nc=", at); with != std::string::npos) {
      keep(setup.class_count, whole(std::string_view(line).substr(with + 9)).value_or(0));
    }
  }
  setup.is_data_parallel = setup.is_data_parallel || has(line, " in replica ");
}

}  // namespace yolodist::run
