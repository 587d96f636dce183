// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/index_bytes.h"

#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

constexpr char part_is_index = 'i', part_is_error = 'e';

class Writer {
 public:
  template <typename T>
  void value(const T& plain) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&plain), sizeof(T));
  }
  void text(std::string_view text) {
    value(static_cast<uint64_t>(text.size()));
    bytes_.append(text);
  }
  template <typename T>
  void values(const std::vector<T>& plain) {
    static_assert(std::is_trivially_copyable_v<T>);
    text({reinterpret_cast<const char*>(plain.data()), plain.size() * sizeof(T)});
  }
  std::string taken() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T value() {
    T plain;
    std::memcpy(&plain, take(sizeof(T)).data(), sizeof(T));
    return plain;
  }
  std::string_view text() { return take(value<uint64_t>()); }
  template <typename T>
  std::vector<T> values() {
    const std::string_view bytes = text();
    check(bytes.size() % sizeof(T) == 0, "index bytes: whole values");
    std::vector<T> plain(bytes.size() / sizeof(T));
    if (!plain.empty()) {
      std::memcpy(plain.data(), bytes.data(), bytes.size());
    }
    return plain;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view take(uint64_t count) {
    check(count <= rest_.size(), "index bytes: not cut short");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  std::string_view rest_;
};

void write_remarks(Writer& writer, const std::vector<Scan::Remark>& remarks) {
  writer.value(static_cast<uint64_t>(remarks.size()));
  for (const Scan::Remark& remark : remarks) {
    writer.text(remark.path.native());
    writer.text(remark.text);
  }
}

std::vector<Scan::Remark> read_remarks(Reader& reader) {
  std::vector<Scan::Remark> remarks;
  for (auto left = reader.value<uint64_t>(); left > 0; --left) {
    const std::string_view path = reader.text();
    remarks.push_back({path, std::string(reader.text())});
  }
  return remarks;
}

}  // namespace

std::string to_bytes(const Index& index) {
  Writer writer;
  writer.value(static_cast<uint64_t>(index.pictures.size()));
  for (const Picture& picture : index.pictures) {
    writer.text(picture.path.native());
    writer.text(picture.label_path.native());
    writer.value(picture.width_px);
    writer.value(picture.height_px);
    writer.value(picture.file_bytes);
    writer.value(picture.modified_ns);
    writer.values(picture.targets);
    writer.value(static_cast<uint64_t>(picture.segments.size()));
    for (const Polygon& segment : picture.segments) {
      writer.values(segment);
    }
  }
  writer.value(index.scan.found);
  writer.value(index.scan.missing);
  writer.value(index.scan.empty);
  write_remarks(writer, index.scan.left_out);
  write_remarks(writer, index.scan.notes);
  return writer.taken();
}

Index from_bytes(std::string_view bytes) {
  Reader reader(bytes);
  Index index;
  for (auto left = reader.value<uint64_t>(); left > 0; --left) {
    Picture picture;
    picture.path = reader.text();
    picture.label_path = reader.text();
    picture.width_px = reader.value<int>();
    picture.height_px = reader.value<int>();
    picture.file_bytes = reader.value<uint64_t>();
    picture.modified_ns = reader.value<int64_t>();
    picture.targets = reader.values<Target>();
    for (auto segments = reader.value<uint64_t>(); segments > 0; --segments) {
      picture.segments.push_back(reader.values<Point>());
    }
    index.pictures.push_back(std::move(picture));
  }
  index.scan.found = reader.value<int64_t>();
  index.scan.missing = reader.value<int64_t>();
  index.scan.empty = reader.value<int64_t>();
  index.scan.left_out = read_remarks(reader);
  index.scan.notes = read_remarks(reader);
  check(reader.is_at_end(), "index bytes: nothing left over");
  return index;
}

std::string scan_part(const std::vector<std::filesystem::path>& paths, int rank, int world_size,
                      const ScanOptions& options) {
  check(world_size > 0 && rank >= 0 && rank < world_size, "scan_part: a rank of the world");
  const auto r = static_cast<size_t>(rank), ranks = static_cast<size_t>(world_size);
  const size_t first = paths.size() * r / ranks, end = paths.size() * (r + 1) / ranks;
  Writer writer;
  try {
    const Index index = scan_range(paths, first, end - first, options);
    writer.value(part_is_index);
    writer.text(to_bytes(index));
  } catch (const DataError& error) {
    writer.value(part_is_error);
    writer.text(error.what());
    writer.text(error.hint());
  }
  return writer.taken();
}

Index join_scan_parts(std::span<const std::string> parts) {
  std::vector<Index> indices;
  for (const std::string& part : parts) {
    Reader reader(part);
    if (reader.value<char>() == part_is_error) {
      const std::string_view what = reader.text();
      throw DataError(std::string(what), std::string(reader.text()));
    }
    indices.push_back(from_bytes(reader.text()));
  }
  return join_parts(std::move(indices));
}

}  // namespace yolodist::data
