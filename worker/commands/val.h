// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/link/link.h"

namespace yolodist::commands {

// `yolodist val` on one rank: validates start.val's checkpoint over all ranks; rank 0 prints the table and
// writes the results into the run directory. Collective. Throws DataError, StorageError, PeerLost.
ExitCode run_val(link::Link& link, const protocol::Start& start);

}  // namespace yolodist::commands
