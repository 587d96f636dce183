// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/workers/worker_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::workers {
namespace {

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

void set_unless_there(std::vector<std::string>& environment, const std::string& name,
                      const std::string& value) {
  const bool is_there = std::any_of(environment.begin(), environment.end(),
                                    [&](const std::string& variable) { return name_of(variable) == name; });
  if (!is_there) {
    environment.push_back(cat(name, "=", value));
  }
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  const auto is_program = [](const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    return is_program(name) ? std::optional(name) : std::nullopt;
  }
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    std::string candidate = cat(folder.empty() ? "." : folder, "/", name);
    if (is_program(candidate)) {
      return candidate;
    }
  }
  return std::nullopt;
}

std::filesystem::path find_worker_program(const std::vector<std::string>& prefix) {
  if (!prefix.empty() && !find_program(prefix.front())) {
    throw UsageError(cat("--worker-prefix: '", prefix.front(), "' is not a program"));
  }
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    throw InternalError(cat("cannot tell where this program is: ", error.message()));
  }
  std::filesystem::path program = self.parent_path() / "yolodist-worker";
  if (prefix.empty() && access(program.c_str(), X_OK) != 0) {
    throw DeviceUnavailable(cat("the worker program is not there: ", program.string()),
                            "Build or install yolodist-worker into the same folder as yolodist.");
  }
  return program;
}

std::vector<std::string> split_command(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) {
        words.push_back(std::exchange(word, ""));
      }
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') {
    throw UsageError(cat("--worker-prefix \"", text, "\": a quote is not closed"));
  }
  if (in_word) {
    words.push_back(word);
  }
  return words;
}

std::string nccl_interfaces(const std::vector<std::string>& interfaces) {
  return cat("=", join(interfaces, ","));  // without the sign these would be beginnings of names
}

std::vector<std::string> worker_environment(const std::vector<std::string>& current,
                                            const WorkerEnvironment& wanted) {
  std::vector<std::string> environment;
  for (const std::string& variable : current) {
    const std::string_view name = name_of(variable);
    const bool is_replaced =
        name == "CUDA_VISIBLE_DEVICES" || (name == "NCCL_SOCKET_IFNAME" && !wanted.interfaces.empty());
    if (!wanted.is_dropped(name) && !is_replaced) {
      environment.push_back(variable);
    }
  }
  if (wanted.cuda_visible_devices) {
    environment.push_back(cat("CUDA_VISIBLE_DEVICES=", *wanted.cuda_visible_devices));
  }
  if (!wanted.interfaces.empty()) {
    environment.push_back(cat("NCCL_SOCKET_IFNAME=", nccl_interfaces(wanted.interfaces)));
  }
  if (wanted.on_cuda) {
    // NVML and CUDA then number cards alike, so that numbers in CUDA_VISIBLE_DEVICES mean the same to both.
    set_unless_there(environment, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
  }
  set_unless_there(environment, "OMP_NUM_THREADS", std::to_string(wanted.threads));
  set_unless_there(environment, "OMP_WAIT_POLICY", "PASSIVE");
  set_unless_there(environment, "GOMP_SPINCOUNT", "0");
  return environment;
}

std::vector<std::string> current_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace yolodist::workers
