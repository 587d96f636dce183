// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/link/link.h"

namespace yolodist::commands {

// `yolodist detect` on one rank: every world_size-th picture of start.detect's source. Rank 0 prints a line
// for each of its own pictures and the totals of all. Collective. Throws DataError, StorageError, PeerLost.
ExitCode run_detect(link::Link& link, const protocol::Start& start);

}  // namespace yolodist::commands
