// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace yolodist::mpi {

// mpirun that cannot reach a host waits for it without end, though all ranks are gone; so does its daemon on
// a host that is cut off (measured with Open MPI 4.1.4: neither had ended after two minutes). This ends the
// one that started this process if it is still there after `grace`: a process of its own, which outlives
// this one, sends SIGKILL (on SIGTERM it was seen to crash). Nothing happens under srun, or when the starter
// is no mpirun. Call it just before the end.
void end_starter_after(std::chrono::seconds grace);

}  // namespace yolodist::mpi
