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
#include <charconv>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>

#include "common/base/error.h"
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

// Whether two addresses of one family begin with the same bits.
bool share_prefix(const std::vector<unsigned char>& a, const std::vector<unsigned char>& b, int bits) {
  const auto whole = static_cast<size_t>(bits / 8);
  const int rest = bits % 8;
  return !a.empty() && a.size() == b.size() &&
         std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin()) &&
         (rest == 0 || a[whole] >> (8 - rest) == b[whole] >> (8 - rest));
}

bool are_neighbours(const NetworkAddress& own, const NetworkAddress& other) {
  const std::vector<unsigned char> a = bytes_of(own.address), b = bytes_of(other.address);
  return a != b && share_prefix(a, b, own.prefix_bits);
}

struct Network {
  std::vector<unsigned char> address;
  int prefix_bits = 0;
};

// Nothing where `item` is no network in CIDR's form.
std::optional<Network> network_of(const std::string& item) {
  const size_t slash = item.find('/');
  if (slash == std::string::npos) {
    return std::nullopt;
  }
  Network network{bytes_of(item.substr(0, slash)), 0};
  const char* begin = item.data() + slash + 1;
  const char* end = item.data() + item.size();
  const auto [rest, error] = std::from_chars(begin, end, network.prefix_bits);
  const bool is_number = begin != end && error == std::errc() && rest == end;
  const int most_bits = static_cast<int>(network.address.size()) * 8;
  if (!is_number || network.address.empty() || network.prefix_bits < 0 || network.prefix_bits > most_bits) {
    return std::nullopt;
  }
  return network;
}

void require_item(const std::string& item) {
  constexpr const char* hint = "For example --net-if ib0, or --net-if 10.0.0.0/24.";
  if (network_of(item)) {
    return;
  }
  if (!bytes_of(item).empty()) {
    throw UsageError(cat("--net-if: '", item, "' is the address of one host"),
                     "Say in how many bits all hosts agree: 10.0.0.0/24.");
  }
  // What NCCL and MPI would take for a sign of their own is none of ours.
  if (item.empty() || item.size() >= IFNAMSIZ || item.find_first_of("/^= \t") != std::string::npos) {
    throw UsageError(cat("--net-if: '", item, "' is neither a network interface nor a network"), hint);
  }
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

bool is_of_use(const ifaddrs& entry, bool with_loopback) {
  if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0 ||
      ((entry.ifa_flags & IFF_LOOPBACK) != 0 && !with_loopback)) {
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

std::vector<NetworkAddress> network_addresses(bool with_loopback) {
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
    if (is_of_use(*entry, with_loopback) &&
        inet_ntop(entry->ifa_addr->sa_family, address_bytes(entry->ifa_addr), text.data(), text.size()) !=
            nullptr) {
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

InterfaceRequest parse_interfaces(const std::string& text) {
  InterfaceRequest request{text, {}};
  if (!text.empty()) {
    for (const std::string& item : split(text, ',')) {
      request.items.push_back(trimmed(item));
      require_item(request.items.back());
    }
  }
  return request;
}

std::vector<NetworkAddress> addresses_of(const InterfaceRequest& request,
                                         const std::vector<NetworkAddress>& addresses) {
  std::vector<NetworkAddress> chosen;
  for (const NetworkAddress& address : addresses) {
    const bool is_asked = std::any_of(request.items.begin(), request.items.end(), [&](const auto& item) {
      const std::optional<Network> network = network_of(item);
      return network ? share_prefix(network->address, bytes_of(address.address), network->prefix_bits)
                     : item == address.interface;
    });
    if (is_asked) {
      chosen.push_back(address);
    }
  }
  return chosen;
}

std::vector<std::string> interfaces_of(const InterfaceRequest& request, const std::string& host,
                                       const std::vector<NetworkAddress>& addresses) {
  std::vector<std::string> names;
  for (const NetworkAddress& address : addresses_of(request, addresses)) {
    if (std::find(names.begin(), names.end(), address.interface) == names.end()) {
      names.push_back(address.interface);
    }
  }
  if (!request.items.empty() && names.empty()) {
    std::vector<std::string> there;
    for (const NetworkAddress& address : addresses) {
      there.push_back(cat(address.interface, " ", address.address, "/", address.prefix_bits));
    }
    throw DeviceUnavailable(
        cat("--net-if ", request.text, ": host ", host, " has no such network interface that is up; it has ",
            there.empty() ? "none" : join(there, ", ")),
        "Name one that every host has, or the network in which all have an address.");
  }
  return names;
}

}  // namespace yolodist::device
