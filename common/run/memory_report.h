// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace yolodist::run {

// An out-of-memory as text, a line an entry: where it happened, how much was asked, who holds the memory, why
// the plan missed it, what the ranks have, and what can be done. `memory` is the object of a failure report
// or a memory-N.json:
// - where: rank, host, phase, layer, piece ("model.4.m.0.cv2"), shape, dtype, epoch, iteration, pictures
//   (paths)
// - how much: requested_bytes, held_bytes, budget_bytes, free_bytes
// - the card, of which others may have a part: device_used_bytes, device_bytes, other_processes_bytes,
//   reserved_bytes
// - who: holders: [{kind, layer, name, bytes}], largest first
// - plan: {term: bytes}, plan_bytes (the predicted peak), actual: {kind: bytes}
// - ranks: [{rank, host, current_bytes, peak_bytes, budget_bytes, ran_out}]
// - remedies: [{change, allocator_bytes, fits, slowdown, is_exact}]
// Whatever is missing or of another type is left out of the text; never throws for it.
std::vector<std::string> text_of(const nlohmann::json& memory);

// The first line alone: "out of memory on rank 3 (node2): backward of model.4.m.7.cv2, 8x160x160x160 fp16".
std::string headline_of(const nlohmann::json& memory);

}  // namespace yolodist::run
