// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/slurm.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/cli/slurm_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/slurm_script.h"
#include "launcher/device/network.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void close() {
    if (number_ >= 0) {
      ::close(number_);
    }
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_ = -1;
};

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t size = read(descriptor, buffer.data(), buffer.size());
    if (size > 0) {
      text.append(buffer.data(), static_cast<size_t>(size));
    } else if (size == 0 || errno != EINTR) {
      return text;
    }
  }
}

// The script as a file without a name, to be read from its beginning.
int file_of(const std::string& script) {
  const int file = memfd_create("yolodist.sbatch", MFD_CLOEXEC);
  size_t written = 0;
  while (file >= 0 && written < script.size()) {
    const ssize_t size = write(file, script.data() + written, script.size() - written);
    check(size > 0, "a script of a few kilobytes fits into memory");
    written += static_cast<size_t>(size);
  }
  check(file >= 0 && lseek(file, 0, SEEK_SET) == 0, "memfd_create works");
  return file;
}

// What sbatch says on standard output; what it says on standard error, the user sees.
std::string submit(const std::string& sbatch, const std::string& script) {
  const Descriptor input(file_of(script));
  std::array<int, 2> ends{};
  check(pipe2(ends.data(), O_CLOEXEC) == 0, "pipe2 works");
  const Descriptor output(ends[0]);
  Descriptor its_output(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.number(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, its_output.number(), STDOUT_FILENO);
  std::string name = "sbatch", option = "--parsable";
  const std::array<char*, 3> words = {name.data(), option.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, sbatch.c_str(), &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw DeviceUnavailable(cat("cannot start ", sbatch, ": ", errno_text(error)));
  }
  its_output.close();
  const std::string said = read_all(output.number());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw DeviceUnavailable("sbatch did not take the job", "What it said stands above.");
  }
  return said;
}

}  // namespace

int slurm(const std::vector<std::string>& words) {
  cli::SlurmCommandLine line = cli::parse_slurm(words);
  if (line.wants_help) {
    return print(cli::slurm_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  if (line.job.program.empty()) {
    line.job.program = std::filesystem::read_symlink("/proc/self/exe").string();
  }
  line.job.net_if = join(device::parse_interfaces(line.job.net_if).items, ",");
  const std::string script = slurm_script(line.job);
  if (!line.is_submitted) {
    return print(script);
  }
  const std::optional<std::string> sbatch = workers::find_program("sbatch");
  if (!sbatch) {
    throw DeviceUnavailable(
        "there is no sbatch in PATH",
        "Submit on a login node of the cluster, or without --submit save the script there.");
  }
  const std::string said = trimmed(submit(*sbatch, script));
  const std::string job = said.substr(0, said.find(';'));  // with several clusters: "12;name"
  return print(cat(job, "\n"));
}

}  // namespace yolodist::commands
