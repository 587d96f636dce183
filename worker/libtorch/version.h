// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// What of LibTorch is not its public interface, and may move with any release, is included by the headers of
// this room only (tools/check_layers.py), each naming what is used of it. Where versions differ, they differ
// here. tools/check_libtorch.sh builds and starts the programs with another version.
#include <torch/csrc/api/include/torch/version.h>

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 7
#error "yolodist is built with LibTorch from 2.7.1 on (cmake/libtorch-requirements*.txt)"
#endif
