// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <fstream>
#include <iterator>
#include <memory>

#include "common/base/text.h"

namespace yolodist::device {
namespace {

// In network order: 4 bytes, 16, or none for what is no address.
std::vector<unsigned char> bytes_of(const std::string& address) {
  const bool is_v6 = address.find(':') != std::string::npos;
  std::vector<unsigned char> bytes(is_v6 ? 16 : 4);
  return inet_pton(is_v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) == 1
             ? bytes
             : std::vector<unsigned char>();
}

bool are_neighbours(const NetworkAddress& own, const NetworkAddress& other) {
  const std::vector<unsigned char> a = bytes_of(own.address), b = bytes_of(other.address);
  if (a.empty() || a.size() != b.size() || a == b) {
    return false;
  }
  const auto whole = static_cast<size_t>(own.prefix_bits / 8);
  const int rest = own.prefix_bits % 8;
  return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin()) &&
         (rest == 0 || a[whole] >> (8 - rest) == b[whole] >> (8 - rest));
}

const void* address_bytes(const sockaddr* address) {
  return address->sa_family == AF_INET
             ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
             : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

int prefix_bits(const sockaddr* mask) {
  if (mask == nullptr) {
    return 0;
  }
  const auto* bytes = static_cast<const unsigned char*>(address_bytes(mask));
  const int count = mask->sa_family == AF_INET ? 4 : 16;
  int bits = 0;
  for (int i = 0; i < count; ++i) {
    bits += std::popcount(bytes[i]);
  }
  return bits;
}

bool is_of_use(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0 || (entry.ifa_flags & IFF_LOOPBACK) != 0) {
    return false;
  }
  if (entry.ifa_addr->sa_family == AF_INET6) {
    const auto* address = reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr);
    return !IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr);
  }
  return entry.ifa_addr->sa_family == AF_INET;
}

}  // namespace

std::string default_interface(std::string_view routes) {
  // Columns: interface, destination, gateway, flags, …; numbers in hexadecimal, the best route first.
  for (const std::string& line : split(routes, '\n')) {
    const std::vector<std::string> columns = split(line, '\t');
    if (columns.size() > 7 && columns[1] == "00000000" && columns[7] == "00000000") {
      return trimmed(columns[0]);
    }
  }
  return "";
}

std::vector<NetworkAddress> network_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return {};
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  std::ifstream stream("/proc/net/route");
  const std::string routes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  const std::string first_choice = default_interface(routes);
  std::vector<NetworkAddress> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (is_of_use(*entry) && inet_ntop(entry->ifa_addr->sa_family, address_bytes(entry->ifa_addr),
                                       text.data(), text.size()) != nullptr) {
      addresses.push_back(
          {entry->ifa_name, text.data(), prefix_bits(entry->ifa_netmask), entry->ifa_name == first_choice});
    }
  }
  std::stable_partition(addresses.begin(), addresses.end(), [](const NetworkAddress& address) {
    return address.address.find(':') == std::string::npos;
  });
  return addresses;
}

const NetworkAddress* way_to(const std::vector<NetworkAddress>& own,
                             const std::vector<NetworkAddress>& other) {
  for (const NetworkAddress& mine : own) {
    if (std::any_of(other.begin(), other.end(),
                    [&](const NetworkAddress& theirs) { return are_neighbours(mine, theirs); })) {
      return &mine;
    }
  }
  const auto routed = std::find_if(own.begin(), own.end(),
                                   [](const NetworkAddress& address) { return address.is_default_way; });
  return routed == own.end() ? nullptr : &*routed;
}

}  // namespace yolodist::device
