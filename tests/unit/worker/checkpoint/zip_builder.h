// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace yolodist::checkpoint {

// A zip file of stored records, built byte by byte so that tests can lie in it.
class ZipBuilder {
 public:
  // `declared_bytes` is what the directory says; the real size unless a test lies.
  void add(std::string_view name, std::string_view data) { add(name, data, data.size()); }
  void add(std::string_view name, std::string_view data, uint32_t declared_bytes, uint32_t crc = 0,
           uint16_t method = 0) {
    const auto offset = static_cast<uint32_t>(file_.size());
    file_ += "PK\x03\x04";
    put<uint16_t>(file_, {20, 0, method, 0, 0});
    put<uint32_t>(file_, {crc, declared_bytes, declared_bytes});
    put<uint16_t>(file_, {static_cast<uint16_t>(name.size()), 0});
    file_.append(name).append(data);
    directory_ += "PK\x01\x02";
    put<uint16_t>(directory_, {20, 20, 0, method, 0, 0});
    put<uint32_t>(directory_, {crc, declared_bytes, declared_bytes});
    put<uint16_t>(directory_, {static_cast<uint16_t>(name.size()), 0, 0, 0, 0});
    put<uint32_t>(directory_, {0, offset});
    directory_.append(name);
    ++count_;
  }
  std::string finished() const {
    std::string whole = file_ + directory_ + "PK\x05\x06";
    put<uint16_t>(whole, {0, 0, count_, count_});
    put<uint32_t>(whole, {static_cast<uint32_t>(directory_.size()), static_cast<uint32_t>(file_.size())});
    put<uint16_t>(whole, {0});
    return whole;
  }

 private:
  template <typename T>
  static void put(std::string& to, std::initializer_list<T> values) {
    for (const T value : values) {
      to.append(reinterpret_cast<const char*>(&value), sizeof(T));
    }
  }
  std::string file_;
  std::string directory_;
  uint16_t count_ = 0;
};

}  // namespace yolodist::checkpoint
