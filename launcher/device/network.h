// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace yolodist::device {

// An address of this host.
struct NetworkAddress {
  std::string interface;        // "eth0"
  std::string address;          // "10.0.0.1", "fd00::1"
  int prefix_bits = 0;          // of the network that is reached without a router
  bool is_default_way = false;  // the default route leads through this interface
  bool operator==(const NetworkAddress&) const = default;
};

// Those of interfaces that are up, IPv4 first, without loopback and link-local ones.
std::vector<NetworkAddress> network_addresses();

// The interface of the default route in the text of /proc/net/route; "" where there is none.
std::string default_interface(std::string_view routes);

// The one of `own` through which a host with the addresses `other` is reached: on a network that both are on,
// else the default way; nullptr where there is neither. An address that both have (a container bridge) does
// not count.
const NetworkAddress* way_to(const std::vector<NetworkAddress>& own,
                             const std::vector<NetworkAddress>& other);

}  // namespace yolodist::device
