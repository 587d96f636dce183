// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/libtorch/version.h"

// An allocator of our own for the CPU: Allocator, SetCPUAllocator.
#include <c10/core/CPUAllocator.h>
