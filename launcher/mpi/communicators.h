// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <array>

#include "common/protocol/messages.h"
#include "launcher/mpi/session.h"

namespace yolodist::mpi {

// Duplicates of MPI_COMM_WORLD that return errors instead of ending the process.
struct Session::Communicators {
  MPI_Comm control = MPI_COMM_NULL;  // messages of the launchers
  MPI_Comm small = MPI_COMM_NULL;    // host collectives of the workers, and start-up
  MPI_Comm gradients = MPI_COMM_NULL;
  MPI_Comm small_arrival = MPI_COMM_NULL;  // barriers before the collectives of a channel
  MPI_Comm gradients_arrival = MPI_COMM_NULL;

  MPI_Comm of(protocol::Channel channel) const {
    return channel == protocol::Channel::gradients ? gradients : small;
  }
  MPI_Comm arrival_of(protocol::Channel channel) const {
    return channel == protocol::Channel::gradients ? gradients_arrival : small_arrival;
  }
  std::array<MPI_Comm*, 5> all() {
    return {&control, &small, &gradients, &small_arrival, &gradients_arrival};
  }
};

// Throws InternalError with MPI's own text.
void check_mpi(int result, const char* call);

}  // namespace yolodist::mpi
