// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "common/run/log_reading.h"

// The messages that log_reading knows, line by line. A line has no colours and no line end.
namespace yolodist::run {

std::optional<Trouble> trouble_in(const std::string& line);

// Whether the line is the last of a Python traceback: "torch.cuda.OutOfMemoryError: …".
bool is_exception(const std::string& line);

// Of an out-of-memory message in any of PyTorch's forms; empty() if the line has none.
MemoryNumbers numbers_in(const std::string& line);

// Adds what the line says about how the training was started: YOLOv5's own argument line (both forms), its
// line of versions and devices, the command itself. What is known already stays.
void read_setup(const std::string& line, TrainingSetup& setup);

}  // namespace yolodist::run
