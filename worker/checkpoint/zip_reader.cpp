// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/zip_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::checkpoint {
namespace {

// Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kLocalHeaderBytes = 30;
constexpr size_t kCentralHeaderBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kEnd64LocatorBytes = 20;
constexpr size_t kLongestComment = 65535;
// A directory entry of the largest model with all its optimizer state is 100 bytes times a few thousand
// tensors.
constexpr uint64_t kLargestDirectoryBytes = uint64_t{64} << 20;

// Little-endian numbers at `at`; the caller has checked that they are there. (Only little-endian hosts are
// supported.)
template <typename T>
T number(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

constexpr std::array<std::array<uint32_t, 256>, 8> make_crc_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
    }
    tables[0][byte] = value;
  }
  for (size_t slice = 1; slice < 8; ++slice) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t previous = tables[slice - 1][byte];
      tables[slice][byte] = (previous >> 8) ^ tables[0][previous & 0xFF];
    }
  }
  return tables;
}
constexpr auto kCrcTables = make_crc_tables();

// What a file that does not begin as a zip file is, in words.
std::string describe(std::string_view head) {
  const std::string text = lower(trimmed(head.starts_with("\xEF\xBB\xBF") ? head.substr(3) : head));
  if (text.starts_with("version https://git-lfs")) {
    return "a Git LFS pointer, not the file itself. Fetch it with `git lfs pull`";
  }
  if (text.starts_with("<!doctype html") || text.starts_with("<html")) {
    return "an HTML page, not a checkpoint: probably a download that failed";
  }
  if (text.starts_with("<?xml")) {
    return "an XML document, not a checkpoint: probably a download that failed";
  }
  if (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
    return "a bare pickle (PyTorch's format before 1.6), which is not read. Save it again with a newer "
           "PyTorch";
  }
  const bool is_text = std::all_of(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || c == '\n' || c == '\r' || c == '\t';
  });
  return is_text ? "a text file, not a checkpoint" : "not a checkpoint (no zip file)";
}

}  // namespace

uint32_t crc32(const void* data, size_t bytes, uint32_t crc) {
  const auto* at = static_cast<const unsigned char*>(data);
  crc = ~crc;
  // Eight bytes a round, since checkpoints reach a gigabyte.
  for (; bytes >= 8; bytes -= 8, at += 8) {
    uint32_t low;
    uint32_t high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    crc = kCrcTables[7][low & 0xFF] ^ kCrcTables[6][(low >> 8) & 0xFF] ^ kCrcTables[5][(low >> 16) & 0xFF] ^
          kCrcTables[4][low >> 24] ^ kCrcTables[3][high & 0xFF] ^ kCrcTables[2][(high >> 8) & 0xFF] ^
          kCrcTables[1][(high >> 16) & 0xFF] ^ kCrcTables[0][high >> 24];
  }
  for (; bytes > 0; --bytes, ++at) {
    crc = (crc >> 8) ^ kCrcTables[0][(crc ^ *at) & 0xFF];
  }
  return ~crc;
}

ZipReader::ZipReader(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a named pipe must not block us
  if (descriptor_ < 0) {
    fail(cat("cannot be read: ", errno_text(errno)));
  }
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) {
      fail(cat("cannot be read: ", errno_text(errno)));
    }
    if (!S_ISREG(status.st_mode)) {
      fail(S_ISDIR(status.st_mode) ? "is a folder, not a checkpoint" : "is not a regular file");
    }
    file_bytes_ = static_cast<uint64_t>(status.st_size);
    read_directory();
  } catch (const DataError&) {
    ::close(descriptor_);
    throw;
  }
}

ZipReader::~ZipReader() {
  ::close(descriptor_);
}

const ZipRecord* ZipReader::find(std::string_view name) const {
  const auto found = records_.find(name);
  return found == records_.end() ? nullptr : &found->second;
}

void ZipReader::fail(std::string_view what) const {
  throw DataError(cat(path_.string(), " ", what));
}

void ZipReader::read_at(uint64_t offset_bytes, void* to, size_t bytes) const {
  if (offset_bytes > file_bytes_ || bytes > file_bytes_ - offset_bytes) {
    fail("is damaged: a part of it lies behind its end");
  }
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, at, bytes, static_cast<off_t>(offset_bytes));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      fail(got < 0 ? cat("cannot be read: ", errno_text(errno)) : "became shorter while it was read");
    }
    at += got;
    offset_bytes += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

void ZipReader::read_directory() {
  if (file_bytes_ == 0) {
    fail("is empty");
  }
  std::string head(std::min<uint64_t>(file_bytes_, 512), '\0');
  read_at(0, head.data(), head.size());
  if (!head.starts_with("PK\x03\x04") && !head.starts_with("PK\x05\x06")) {
    fail(cat("is ", describe(head)));
  }

  std::string tail(std::min<uint64_t>(file_bytes_, kEndBytes + kLongestComment), '\0');
  const uint64_t tail_offset = file_bytes_ - tail.size();
  read_at(tail_offset, tail.data(), tail.size());
  size_t end = std::string::npos;
  for (size_t at = tail.size() < kEndBytes ? 0 : tail.size() - kEndBytes + 1; at-- > 0;) {
    if (number<uint32_t>(tail, at) == kEnd &&
        at + kEndBytes + number<uint16_t>(tail, at + 20) == tail.size()) {
      end = at;
      break;
    }
  }
  if (end == std::string::npos) {
    fail(cat("is cut short: ", file_bytes_,
             " bytes without the zip directory that ends such a file. Copy or download it again"));
  }

  uint64_t count = number<uint16_t>(tail, end + 10);
  uint64_t size = number<uint32_t>(tail, end + 12);
  uint64_t offset = number<uint32_t>(tail, end + 16);
  const uint64_t end_offset = tail_offset + end;
  if (end_offset >= kEnd64LocatorBytes) {
    std::string locator(kEnd64LocatorBytes, '\0');
    read_at(end_offset - kEnd64LocatorBytes, locator.data(), locator.size());
    if (number<uint32_t>(locator, 0) == kEnd64Locator) {
      std::string end64(kEnd64Bytes, '\0');
      read_at(number<uint64_t>(locator, 8), end64.data(), end64.size());
      if (number<uint32_t>(end64, 0) != kEnd64) {
        fail("is damaged: its zip64 directory is not where it should be");
      }
      count = number<uint64_t>(end64, 32);
      size = number<uint64_t>(end64, 40);
      offset = number<uint64_t>(end64, 48);
    }
  }
  if (size > std::min(file_bytes_, kLargestDirectoryBytes) || count > size / kCentralHeaderBytes) {
    fail("is damaged: its zip directory says it is larger than the file");
  }
  std::string directory(size, '\0');
  read_at(offset, directory.data(), directory.size());
  read_entries(directory, count);
}

void ZipReader::read_entries(const std::string& directory, uint64_t count) {
  uint64_t total_bytes = 0;
  size_t at = 0;
  for (uint64_t entry = 0; entry < count; ++entry) {
    if (directory.size() - at < kCentralHeaderBytes || number<uint32_t>(directory, at) != kCentralHeader) {
      fail("is damaged: its zip directory cannot be read");
    }
    const auto flags = number<uint16_t>(directory, at + 8);
    const auto method = number<uint16_t>(directory, at + 10);
    uint64_t compressed = number<uint32_t>(directory, at + 20);
    ZipRecord record;
    record.crc = number<uint32_t>(directory, at + 16);
    record.size_bytes = number<uint32_t>(directory, at + 24);
    record.offset_bytes = number<uint32_t>(directory, at + 42);
    const size_t name_size = number<uint16_t>(directory, at + 28);
    const size_t extra_size = number<uint16_t>(directory, at + 30);
    const size_t comment_size = number<uint16_t>(directory, at + 32);
    at += kCentralHeaderBytes;
    if (directory.size() - at < name_size + extra_size + comment_size) {
      fail("is damaged: its zip directory cannot be read");
    }
    std::string name = directory.substr(at, name_size);
    std::string_view extra = std::string_view(directory).substr(at + name_size, extra_size);
    at += name_size + extra_size + comment_size;

    // The zip64 extra field holds, in this order, those of the three numbers that do not fit 32 bits.
    while (extra.size() >= 4) {
      const auto id = number<uint16_t>(extra, 0);
      const size_t length = number<uint16_t>(extra, 2);
      if (extra.size() - 4 < length) {
        break;
      }
      if (id == 1) {
        std::string_view field = extra.substr(4, length);
        for (uint64_t* value : {&record.size_bytes, &compressed, &record.offset_bytes}) {
          if (*value == 0xFFFFFFFF && field.size() >= 8) {
            *value = number<uint64_t>(field, 0);
            field.remove_prefix(8);
          }
        }
      }
      extra.remove_prefix(4 + length);
    }

    if (record.size_bytes > file_bytes_ || compressed > file_bytes_) {
      fail(cat("is damaged: its record ", name, " says it is larger than the file"));
    }
    if (method != 0 || (flags & 1) != 0 || compressed != record.size_bytes) {
      // Compressed debug records occur in TorchScript files, which the reader tells apart by other records'
      // names.
      ++left_out_count_;
      continue;
    }
    total_bytes += record.size_bytes;
    if (total_bytes > file_bytes_) {
      fail("is damaged: its records together are larger than the file");
    }
    records_.insert_or_assign(std::move(name), record);
  }
}

void ZipReader::read(const ZipRecord& record, void* to) const {
  std::string header(kLocalHeaderBytes, '\0');
  read_at(record.offset_bytes, header.data(), header.size());
  if (number<uint32_t>(header, 0) != kLocalHeader) {
    fail("is damaged: a record is not where its zip directory says");
  }
  const uint64_t data =
      record.offset_bytes + kLocalHeaderBytes + number<uint16_t>(header, 26) + number<uint16_t>(header, 28);
  read_at(data, to, record.size_bytes);
  if (record.crc != 0 && crc32(to, record.size_bytes) != record.crc) {
    fail("is damaged: the checksum of a record does not match. Copy or download it again");
  }
}

std::string ZipReader::read_text(const ZipRecord& record) const {
  std::string text(record.size_bytes, '\0');
  read(record, text.data());
  return text;
}

}  // namespace yolodist::checkpoint
