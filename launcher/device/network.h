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

// Those of interfaces that are up, IPv4 first, without link-local ones; loopback only where it is asked for.
std::vector<NetworkAddress> network_addresses(bool with_loopback = false);

// The interface of the default route in the text of /proc/net/route; "" where there is none.
std::string default_interface(std::string_view routes);

// The one of `own` through which a host with the addresses `other` is reached: on a network that both are on,
// else the default way; nullptr where there is neither. An address that both have (a container bridge) does
// not count.
const NetworkAddress* way_to(const std::vector<NetworkAddress>& own,
                             const std::vector<NetworkAddress>& other);

// What --net-if names. A host's own names for a network may differ, so that CIDR suits all.
struct InterfaceRequest {
  std::string text;                // as it was given; "" = nothing is asked
  std::vector<std::string> items;  // names of interfaces ("ib0") and networks ("10.0.0.0/24", "fd00::/64")
};
// From items with commas between. Throws UsageError for what is neither a name nor a network.
InterfaceRequest parse_interfaces(const std::string& text);

// Those of `addresses` whose interface the request names, or which lie in one of its networks.
std::vector<NetworkAddress> addresses_of(const InterfaceRequest& request,
                                         const std::vector<NetworkAddress>& addresses);

// The interfaces that `host`, which has `addresses`, is to use; none when nothing is asked. Several items are
// a choice: one that this host has is enough. Throws DeviceUnavailable where it has none of them.
std::vector<std::string> interfaces_of(const InterfaceRequest& request, const std::string& host,
                                       const std::vector<NetworkAddress>& addresses);

}  // namespace yolodist::device
