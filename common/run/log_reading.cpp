// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/log_reading.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/log_patterns.h"

namespace yolodist::run {
namespace {

constexpr int64_t head_bytes = 8 << 20, tail_bytes = 24 << 20;
constexpr size_t most_line_bytes = 400;
// A progress bar is one line of the file, and a file without line ends is not worth more.
constexpr size_t longest_line_bytes = 1 << 20;

// Removes what colours a terminal: ESC [ … letter.
std::string without_colours(std::string_view line) {
  std::string plain;
  plain.reserve(line.size());
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b' && i + 1 < line.size() && line[i + 1] == '[') {
      i += 2;
      while (i < line.size() && (line[i] < '@' || line[i] > '~')) {
        ++i;
      }
    } else if (line[i] != '\0' && line[i] != '\b') {
      plain += line[i];
    }
  }
  return plain;
}

class Reader {
 public:
  void read(std::string_view text, bool knows_numbers) {
    int64_t number = 0;
    while (!text.empty()) {
      const size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      ++number;
      read_line(line.substr(0, longest_line_bytes), knows_numbers ? number : 0);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
  }
  LogReading finish() && {
    for (Finding& finding : reading_.findings) {
      finding.numbers.device = finding.numbers.empty() ? -1 : finding.numbers.device;
    }
    return std::move(reading_);
  }

 private:
  // A progress bar writes its states over each other, with carriage returns between.
  void read_line(std::string_view line, int64_t number) {
    while (!line.empty()) {
      const size_t end = line.find('\r');
      const std::string_view part = line.substr(0, end);
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
      if (!part.empty()) {
        read_part(without_colours(part), number);
      }
    }
  }

  void read_part(const std::string& line, int64_t number) {
    read_setup(line, reading_.setup);
    if (is_exception(line)) {
      reading_.last_error = line.substr(0, most_line_bytes);
    }
    const std::optional<Trouble> trouble = trouble_in(line);
    if (!trouble) {
      return;
    }
    auto& findings = reading_.findings;
    const auto known = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& finding) { return finding.trouble == *trouble; });
    const bool is_new = known == findings.end();
    Finding& finding = is_new ? findings.emplace_back() : *known;
    if (is_new) {
      finding.trouble = *trouble;
      finding.count = 0;
      finding.line = trimmed(line).substr(0, most_line_bytes);
      finding.line_number = number;
    }
    ++finding.count;
    if (finding.numbers.empty() && (*trouble == Trouble::device_memory || *trouble == Trouble::host_memory)) {
      finding.numbers = numbers_in(line);
      if (!finding.numbers.empty() && finding.count > 1) {
        finding.line = trimmed(line).substr(0, most_line_bytes);
        finding.line_number = number;
      }
    }
  }

  LogReading reading_;
};

// Windows' PowerShell writes what it redirects as UTF-16; what is not ASCII in there does not matter here.
std::string from_utf16(std::string_view text) {
  std::string plain;
  for (size_t i = 2; i + 1 < text.size(); i += 2) {
    plain += text[i + 1] == 0 ? text[i] : '?';
  }
  return plain;
}

bool is_utf16(std::string_view text) {
  return text.starts_with("\xff\xfe");
}

// Whether at most a tenth of the first bytes are none that a log has: control characters, or not UTF-8.
bool is_text(std::string_view text) {
  constexpr size_t looked_at_bytes = 64 << 10;
  text = text.substr(0, looked_at_bytes);
  size_t odd = 0;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    size_t length = byte < 0x80                   ? 1
                    : byte >= 0xc2 && byte < 0xe0 ? 2
                    : byte >= 0xe0 && byte < 0xf0 ? 3
                    : byte >= 0xf0 && byte < 0xf5 ? 4
                                                  : 0;
    bool is_odd = length == 0 || (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r' &&
                                  byte != '\b' && byte != 0x1b);
    for (size_t k = 1; k < length; ++k) {
      is_odd = is_odd || (i + k < text.size() && (static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80);
    }
    length = is_odd ? 1 : length;
    odd += is_odd ? 1 : 0;
    i += length;
  }
  return odd * 10 <= text.size();
}

std::string read_part(std::ifstream& stream, int64_t from, int64_t bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  stream.clear();
  stream.seekg(from);
  stream.read(text.data(), bytes);
  text.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  return text;
}

bool follows_from_others(Trouble trouble) {
  return trouble >= Trouble::wrapped_replica;
}

}  // namespace

const Finding* LogReading::cause() const {
  // A killed process may be the answer to something that was said before, and what says its exit code repeats
  // it.
  const auto weight = [](const Finding& finding) {
    return follows_from_others(finding.trouble)         ? 3
           : finding.trouble == Trouble::yolodist_error ? 2
           : finding.trouble == Trouble::host_memory    ? 1
                                                        : 0;
  };
  const auto first = std::min_element(findings.begin(), findings.end(),
                                      [&](const auto& a, const auto& b) { return weight(a) < weight(b); });
  return first == findings.end() ? nullptr : &*first;
}

LogReading read_log_text(std::string_view head, std::string_view tail) {
  Reader reader;
  reader.read(head, true);
  reader.read(tail, false);
  LogReading reading = std::move(reader).finish();
  reading.bytes = static_cast<int64_t>(head.size() + tail.size());
  reading.is_cut = !tail.empty();
  return reading;
}

LogReading read_log(const std::filesystem::path& file) {
  std::error_code failure;
  const auto size = std::filesystem::file_size(file, failure);
  std::ifstream stream(file, std::ios::binary);
  if (failure || !stream) {
    throw DataError(
        cat(file.string(), ": cannot be read: ", failure ? failure.message() : errno_text(errno)));
  }
  const auto bytes = static_cast<int64_t>(size);
  const bool is_cut = bytes > head_bytes + tail_bytes;
  std::string head = read_part(stream, 0, is_cut ? head_bytes : bytes);
  std::string tail = is_cut ? read_part(stream, bytes - tail_bytes, tail_bytes) : "";
  if (is_utf16(head)) {
    // The tail begins at an even place when the gap is even.
    tail = is_cut ? from_utf16(cat("  ", bytes % 2 == 0 ? tail : tail.substr(1))) : "";
    head = from_utf16(head);
  }
  if (!is_text(head)) {
    throw DataError(cat(file.string(), ": not a log: it is not text"),
                    "Give a run directory of yolodist, or what a training wrote to the console.");
  }
  LogReading reading = read_log_text(head, tail);
  reading.bytes = bytes;
  return reading;
}

}  // namespace yolodist::run
