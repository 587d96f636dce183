// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/mpi/session.h"

namespace yolodist::test {

// The MPI session of a test program that links tests/support/mpi_main.cpp.
mpi::Session& session();

}  // namespace yolodist::test
