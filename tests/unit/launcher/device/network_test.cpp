// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/thrown.h"

namespace yolodist::device {
namespace {

using test::thrown;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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
  const NetworkAddress loopback{"lo", "127.0.0.1", 8, false};
  EXPECT_THAT(network_addresses(/*with_loopback=*/true), Contains(loopback));
}

const std::vector<NetworkAddress> two_networks = {{"eth0", "192.168.4.2", 24, true},
                                                  {"ib0", "10.7.128.5", 18, false},
                                                  {"ib1", "10.7.64.5", 18, false},
                                                  {"eth0", "fd00::5", 64, false},
                                                  {"lo", "127.0.0.1", 8, false}};

std::vector<std::string> chosen(const std::string& text) {
  return interfaces_of(parse_interfaces(text), "node1", two_networks);
}

std::string unavailable(const std::string& text) {
  return thrown<DeviceUnavailable>([&] { chosen(text); });
}

TEST(NetIf, NothingIsAskedWithoutIt) {
  EXPECT_THAT(chosen(""), IsEmpty());
  EXPECT_THAT(interfaces_of(parse_interfaces(""), "node1", {}), IsEmpty());
}

TEST(NetIf, ANameIsTheWholeName) {
  EXPECT_THAT(chosen("ib0"), ElementsAre("ib0"));
  EXPECT_THAT(chosen("eth0"), ElementsAre("eth0")) << "once, though it has two addresses";
  EXPECT_THAT(chosen("lo"), ElementsAre("lo"));
  EXPECT_THAT(unavailable("ib"), HasSubstr("--net-if ib: host node1 has no such network interface"));
}

TEST(NetIf, ANetworkIsTheInterfacesWithAnAddressInIt) {
  EXPECT_THAT(chosen("10.7.128.0/18"), ElementsAre("ib0"));
  EXPECT_THAT(chosen("10.7.191.9/18"), ElementsAre("ib0")) << "the bits of the host do not count";
  EXPECT_THAT(chosen("10.7.0.0/16"), ElementsAre("ib0", "ib1"));
  EXPECT_THAT(chosen("192.168.4.2/32"), ElementsAre("eth0"));
  EXPECT_THAT(chosen("fd00::/64"), ElementsAre("eth0"));
  EXPECT_THAT(chosen("0.0.0.0/0"), ElementsAre("eth0", "ib0", "ib1", "lo"));
  EXPECT_THAT(addresses_of(parse_interfaces("10.7.64.0/18"), two_networks), ElementsAre(two_networks[2]));
}

TEST(NetIf, OfSeveralThoseCountThatTheHostHas) {
  EXPECT_THAT(chosen("ib7,ib0"), ElementsAre("ib0"));
  EXPECT_THAT(chosen("ib1, 192.168.0.0/16"), ElementsAre("eth0", "ib1"));
}

TEST(NetIf, AHostWithoutItIsNamedWithWhatItHas) {
  EXPECT_THAT(unavailable("10.8.0.0/16,ib7"),
              AllOf(HasSubstr("--net-if 10.8.0.0/16,ib7: host node1 has no such"),
                    HasSubstr("it has eth0 192.168.4.2/24, ib0 10.7.128.5/18"), HasSubstr("every host")));
  EXPECT_THAT(thrown<DeviceUnavailable>([] { interfaces_of(parse_interfaces("ib0"), "node2", {}); }),
              HasSubstr("it has none"));
}

TEST(NetIf, RefusesWhatIsNeitherNameNorNetwork) {
  for (const char* text :
       {",", "ib0,", "^docker0", "=ib0", "ib0/24", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0/24",
        "10.0.0.0/-1", "fd00::/129", "a name", "a_name_of_16_let"}) {
    EXPECT_THAT(thrown<UsageError>([&] { parse_interfaces(text); }), HasSubstr("--net-if 10.0.0.0/24"))
        << text;
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_interfaces("10.0.0.7"); }),
              AllOf(HasSubstr("'10.0.0.7' is the address of one host"), Not(HasSubstr("neither"))));
  EXPECT_THAT(thrown<UsageError>([] { parse_interfaces("fd00::7"); }), HasSubstr("address of one host"));
}

}  // namespace
}  // namespace yolodist::device
