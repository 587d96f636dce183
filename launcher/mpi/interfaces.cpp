// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/interfaces.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "common/base/text.h"

namespace yolodist::mpi {

InterfaceVariables rank_interface_variables(const std::vector<std::string>& interfaces,
                                            const Library& library) {
  if (interfaces.empty()) {
    return {};
  }
  if (library.is_open_mpi()) {
    return {{{"OMPI_MCA_btl_tcp_if_include", join(interfaces, ",")}}, {"OMPI_MCA_btl_tcp_if_exclude"}};
  }
  // MPICH over libfabric's providers for TCP, and its older channel over sockets. UCX is left alone: its
  // variable would take InfiniBand from it, whose devices have names of their own.
  const std::string& first = interfaces.front();
  return {
      {{"FI_TCP_IFACE", first}, {"FI_SOCKETS_IFACE", first}, {"MPIR_CVAR_NEMESIS_TCP_NETWORK_IFACE", first}},
      {}};
}

InterfaceVariables starter_interface_variables(const std::vector<std::string>& interfaces,
                                               const Library& library) {
  if (interfaces.empty()) {
    return {};
  }
  if (library.is_open_mpi()) {
    InterfaceVariables variables{{{"OMPI_MCA_oob_tcp_if_include", join(interfaces, ",")}},
                                 {"OMPI_MCA_oob_tcp_if_exclude"}};
    // Open MPI 5 does not start with nothing but loopback (measured with 5.0.11), of which it needs no
    // telling.
    std::vector<std::string> others;
    std::copy_if(interfaces.begin(), interfaces.end(), std::back_inserter(others),
                 [](const std::string& name) { return name != "lo"; });
    if (!others.empty()) {
      variables.set.emplace_back("PRTE_MCA_prte_if_include", join(others, ","));
      variables.removed.emplace_back("PRTE_MCA_prte_if_exclude");
    }
    return variables;
  }
  return {{{"HYDRA_IFACE", interfaces.front()}}, {}};
}

std::vector<std::string> apply(const InterfaceVariables& variables) {
  std::vector<std::string> replaced;
  for (const auto& [name, value] : variables.set) {
    const char* before = std::getenv(name.c_str());
    if (before != nullptr && before != value) {
      replaced.push_back(cat(name, "=", before));
    }
    setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  }
  for (const std::string& name : variables.removed) {
    if (const char* before = std::getenv(name.c_str()); before != nullptr) {
      replaced.push_back(cat(name, "=", before));
      unsetenv(name.c_str());
    }
  }
  return replaced;
}

}  // namespace yolodist::mpi
