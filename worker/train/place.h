// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/protocol/messages.h"
#include "worker/link/link.h"
#include "worker/train/assemble.h"

namespace yolodist::train {

// Binds this rank to the device that the launcher chose and connects it to the other ranks: through the
// launcher for host memory, and, where it trains, by NCCL for the gradients of a CUDA device. Says hello to
// the launcher. Collective. `link` must outlive the result. Throws DeviceUnavailable, StorageError, PeerLost.
Placement place(link::Link& link, const protocol::Start& start);

}  // namespace yolodist::train
