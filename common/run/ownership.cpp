// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/ownership.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/text.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::chrono::milliseconds look_interval{500};

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// Field 22 of /proc/PID/stat, counted after the name, which may hold anything. 0 = there is no such process.
int64_t start_ticks_of(int64_t pid) {
  const std::string line = first_line(cat("/proc/", pid, "/stat"));
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) {
    return 0;
  }
  std::istringstream rest(line.substr(name_end + 1));
  std::string word;
  rest >> word;
  if (word == "Z") {
    return 0;
  }
  constexpr int words_between = 19;
  for (int i = 0; i < words_between; ++i) {
    rest >> word;
  }
  return std::atoll(word.c_str());
}

struct Times {
  timespec changed{};
  std::chrono::seconds age{};  // by the clock of the file system, which need not be ours
};

std::optional<Times> times_of(const RunDirectory& run) {
  struct stat owner {};
  struct stat now {};
  if (::stat(run.owner_file().c_str(), &owner) != 0) {
    return std::nullopt;
  }
  const fs::path probe = run.root / cat(".now-", ::getpid());
  const int descriptor = ::open(probe.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
  const bool is_probed = descriptor >= 0 && ::fstat(descriptor, &now) == 0;
  if (descriptor >= 0) {
    ::close(descriptor);
    ::unlink(probe.c_str());
  }
  const time_t now_s = is_probed ? now.st_mtim.tv_sec : ::time(nullptr);
  return Times{owner.st_mtim, std::chrono::seconds(now_s - owner.st_mtim.tv_sec)};
}

bool is_equal(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

std::string claim_run(const RunDirectory& run) {
  std::array<uint64_t, 2> random{};
  if (::getrandom(random.data(), sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
    throw StorageError(cat("cannot draw a run token: ", errno_text(errno)));
  }
  const std::string token = printf_string("%016llx%016llx", static_cast<unsigned long long>(random[0]),
                                          static_cast<unsigned long long>(random[1]));
  write_file_atomically(run.token_file(), token + "\n");
  return token;
}

bool still_ours(const RunDirectory& run, const std::string& token) {
  try {
    return trimmed(read_file(run.token_file())) == token;
  } catch (const DataError&) {
    return false;
  }
}

bool is_anothers(const RunDirectory& run, const std::string& token) {
  try {
    const std::string found = trimmed(read_file(run.token_file()));
    return found.size() == token.size() && found != token;
  } catch (const DataError&) {
    return false;
  }
}

Owner this_process(const std::string& job) {
  std::error_code ignored;
  return {host_name(),
          cat(first_line("/proc/sys/kernel/random/boot_id"), " ",
              fs::read_symlink("/proc/self/ns/pid", ignored).string()),
          ::getpid(), start_ticks_of(::getpid()), job};
}

void write_owner(const RunDirectory& run, const Owner& owner) {
  const json document = {{"schema", 1},
                         {"host", owner.host},
                         {"processes", owner.processes},
                         {"pid", owner.pid},
                         {"start_ticks", owner.start_ticks},
                         {"job", owner.job}};
  write_file_atomically(run.owner_file(), document.dump() + "\n");
}

std::optional<Owner> read_owner(const RunDirectory& run) {
  try {
    const json document = json::parse(read_file(run.owner_file()));
    return Owner{document.at("host"), document.at("processes"), document.at("pid"),
                 document.at("start_ticks"), document.at("job")};
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void renew_owner(const RunDirectory& run) {
  ::utimensat(AT_FDCWD, run.owner_file().c_str(), nullptr, 0);
}

void remove_owner(const RunDirectory& run) {
  std::error_code ignored;
  fs::remove(run.owner_file(), ignored);
}

std::optional<Owner> living_owner(const RunDirectory& run, const Owner& self,
                                  void (*on_wait)(const Owner& owner)) {
  const std::optional<Owner> owner = read_owner(run);
  if (!owner || *owner == self) {
    return std::nullopt;
  }
  if (owner->processes == self.processes) {
    const bool lives = start_ticks_of(owner->pid) == owner->start_ticks;
    return lives ? owner : std::nullopt;
  }
  if (!owner->job.empty() && owner->job == self.job) {
    return std::nullopt;
  }
  const std::optional<Times> before = times_of(run);
  if (!before || before->age > owner_silence) {
    return std::nullopt;
  }
  on_wait(*owner);
  const auto end = std::chrono::steady_clock::now() + owner_silence - before->age;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(look_interval);
    const std::optional<Times> now = times_of(run);
    if (!now) {
      return std::nullopt;  // it has ended meanwhile
    }
    if (!is_equal(now->changed, before->changed)) {
      return owner;
    }
  }
  return std::nullopt;
}

std::string to_text(const Owner& owner) {
  return cat("process ", owner.pid, " on ", owner.host, owner.job.empty() ? "" : cat(", job ", owner.job));
}

}  // namespace yolodist::run
