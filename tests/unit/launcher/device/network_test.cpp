// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace yolodist::device {
namespace {

std::string way(const std::vector<NetworkAddress>& own, const std::vector<NetworkAddress>& other) {
  const NetworkAddress* found = way_to(own, other);
  return found == nullptr ? "none" : found->interface;
}

const NetworkAddress bridge{"docker0", "172.17.0.1", 16, false};

TEST(Network, TheWayToAHostIsANetworkThatBothAreOn) {
  const std::vector<NetworkAddress> own = {
      bridge, {"eth0", "192.168.4.2", 24, true}, {"ib0", "10.7.128.5", 18, false}};
  EXPECT_EQ(way(own, {bridge, {"ib0", "10.7.191.9", 18, false}}), "ib0");
  EXPECT_EQ(way(own, {{"eth1", "192.168.4.200", 24, true}}), "eth0");
  EXPECT_EQ(way(own, {{"ib0", "10.7.192.1", 18, false}}), "eth0") << "by the default route";
  EXPECT_EQ(way(own, {bridge}), "eth0") << "each host has its own bridge of that address";
  EXPECT_EQ(way({bridge}, {bridge}), "none");
  EXPECT_EQ(way({{"veth", "10.77.0.1", 24, false}}, {{"veth", "10.77.0.2", 24, false}}), "veth")
      << "without a default route";
  EXPECT_EQ(way({{"a", "fd00::1", 64, false}}, {{"b", "fd00::2", 64, false}}), "a");
  EXPECT_EQ(way({{"a", "fd00::1", 64, false}}, {{"b", "fd01::2", 64, false}}), "none");
  EXPECT_EQ(way({}, {bridge}), "none");
}

TEST(Network, TheDefaultRouteIsThatOfTheKernelsTable) {
  const char* head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  EXPECT_EQ(
      default_interface(std::string(head) + "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
                                            "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"),
      "eth0");
  EXPECT_EQ(default_interface(head), "");
  EXPECT_EQ(default_interface(""), "");
}

TEST(Network, ThisHostsAddressesAreReadWithoutLoopback) {
  for (const NetworkAddress& address : network_addresses()) {
    EXPECT_NE(address.interface, "lo");
    EXPECT_FALSE(address.address.empty());
    EXPECT_GT(address.prefix_bits, 0) << address.address;
  }
}

}  // namespace
}  // namespace yolodist::device
