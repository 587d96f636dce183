// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/image_statistics.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "common/base/error.h"

namespace yolodist::eval {
namespace {

constexpr uint64_t kMark = 0x31544154534c4f59;  // "YOLSTAT1"

template <typename T>
void put(std::string& bytes, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void put_list(std::string& bytes, const std::vector<T>& values) {
  put(bytes, static_cast<uint64_t>(values.size()));
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Takes values off the front.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool is_at_end() const { return rest_.empty(); }

  template <typename T>
  T take() {
    check(rest_.size() >= sizeof(T), "validation statistics: the byte string is too short");
    T value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }

  template <typename T>
  std::vector<T> take_list() {
    const auto count = take<uint64_t>();
    check(count <= rest_.size() / sizeof(T), "validation statistics: a list is longer than the byte string");
    std::vector<T> values(static_cast<size_t>(count));
    if (!values.empty()) {
      std::memcpy(values.data(), rest_.data(), values.size() * sizeof(T));
    }
    rest_.remove_prefix(values.size() * sizeof(T));
    return values;
  }

 private:
  std::string_view rest_;
};

}  // namespace

ImageStatistics statistics_of(int64_t position, std::span<const Detection> detections,
                              std::span<const LabelBox> labels) {
  ImageStatistics image;
  image.position = position;
  for (const Detection& detection : detections) {
    image.scores.push_back(detection.score);
    image.classes.push_back(detection.class_index);
  }
  for (const LabelBox& label : labels) {
    image.target_classes.push_back(label.class_index);
  }
  image.correct = match(detections, labels);
  return image;
}

std::string to_bytes(std::span<const ImageStatistics> images) {
  std::string bytes;
  put(bytes, kMark);
  put(bytes, static_cast<uint64_t>(images.size()));
  for (const ImageStatistics& image : images) {
    put(bytes, image.position);
    put_list(bytes, image.scores);
    put_list(bytes, image.classes);
    put_list(bytes, image.correct);
    put_list(bytes, image.target_classes);
  }
  return bytes;
}

std::vector<ImageStatistics> from_bytes(std::string_view bytes) {
  ByteReader reader(bytes);
  check(reader.take<uint64_t>() == kMark,
        "validation statistics: the byte string does not begin with its mark");
  const auto count = reader.take<uint64_t>();
  std::vector<ImageStatistics> images;
  for (uint64_t i = 0; i < count; ++i) {
    ImageStatistics image;
    image.position = reader.take<int64_t>();
    image.scores = reader.take_list<float>();
    image.classes = reader.take_list<int32_t>();
    image.correct = reader.take_list<uint16_t>();
    image.target_classes = reader.take_list<int32_t>();
    check(image.scores.size() == image.classes.size() && image.scores.size() == image.correct.size(),
          "validation statistics: the lists of a picture differ in length");
    images.push_back(std::move(image));
  }
  check(reader.is_at_end(), "validation statistics: bytes are left over");
  return images;
}

std::vector<ImageStatistics> merged(std::span<const std::string> ranks) {
  std::vector<ImageStatistics> images;
  for (const std::string& bytes : ranks) {
    std::vector<ImageStatistics> some = from_bytes(bytes);
    std::move(some.begin(), some.end(), std::back_inserter(images));
  }
  std::stable_sort(images.begin(), images.end(), [](const ImageStatistics& a, const ImageStatistics& b) {
    return a.position < b.position;
  });
  const auto end = std::unique(
      images.begin(), images.end(),
      [](const ImageStatistics& a, const ImageStatistics& b) { return a.position == b.position; });
  images.erase(end, images.end());
  return images;
}

}  // namespace yolodist::eval
