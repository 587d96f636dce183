// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/interfaces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace yolodist::mpi {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

const Library open_mpi{"Open MPI v4.1.4", {}};
const Library mpich{"MPICH 4.3.2", {}};

TEST(MpiInterfaces, NoneChangeNothing) {
  for (const Library& library : {open_mpi, mpich}) {
    EXPECT_THAT(rank_interface_variables({}, library).set, IsEmpty());
    EXPECT_THAT(rank_interface_variables({}, library).removed, IsEmpty());
    EXPECT_THAT(starter_interface_variables({}, library).set, IsEmpty());
    EXPECT_THAT(starter_interface_variables({}, library).removed, IsEmpty());
  }
}

TEST(MpiInterfaces, RanksOfOpenMpiConnectByThem) {
  const InterfaceVariables variables = rank_interface_variables({"ib0", "ib1"}, open_mpi);
  EXPECT_THAT(variables.set, ElementsAre(Pair("OMPI_MCA_btl_tcp_if_include", "ib0,ib1")));
  EXPECT_THAT(variables.removed, ElementsAre("OMPI_MCA_btl_tcp_if_exclude")) << "Open MPI allows one of both";
}

TEST(MpiInterfaces, MpirunOfOpenMpi4And5ReachesItsDaemonsByThem) {
  EXPECT_THAT(starter_interface_variables({"ib0", "ib1"}, open_mpi).set,
              UnorderedElementsAre(Pair("OMPI_MCA_oob_tcp_if_include", "ib0,ib1"),
                                   Pair("PRTE_MCA_prte_if_include", "ib0,ib1")));
  EXPECT_THAT(starter_interface_variables({"lo"}, open_mpi).set,
              ElementsAre(Pair("OMPI_MCA_oob_tcp_if_include", "lo")))
      << "Open MPI 5 would not start";
}

TEST(MpiInterfaces, MpichTakesOne) {
  EXPECT_THAT(rank_interface_variables({"ib0", "ib1"}, mpich).set, Contains(Pair("FI_TCP_IFACE", "ib0")));
  EXPECT_THAT(starter_interface_variables({"ib0", "ib1"}, mpich).set,
              ElementsAre(Pair("HYDRA_IFACE", "ib0")));
}

TEST(MpiInterfaces, WhatTheyReplaceIsTold) {
  setenv("YDT_SAME", "a", 1);
  setenv("YDT_OTHER", "a", 1);
  setenv("YDT_CONTRARY", "c", 1);
  unsetenv("YDT_NEW");
  const InterfaceVariables variables{{{"YDT_SAME", "a"}, {"YDT_OTHER", "b"}, {"YDT_NEW", "n"}},
                                     {"YDT_CONTRARY", "YDT_NOT_THERE"}};
  EXPECT_THAT(apply(variables), ElementsAre("YDT_OTHER=a", "YDT_CONTRARY=c"));
  EXPECT_STREQ(std::getenv("YDT_OTHER"), "b");
  EXPECT_STREQ(std::getenv("YDT_NEW"), "n");
  EXPECT_EQ(std::getenv("YDT_CONTRARY"), nullptr);
  EXPECT_THAT(apply(variables), IsEmpty());
}

}  // namespace
}  // namespace yolodist::mpi
