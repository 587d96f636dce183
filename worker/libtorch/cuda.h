// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/libtorch/version.h"

// Statistics, fraction, trace tracker and out-of-memory observer of the caching allocator. Whoever includes
// this links LibTorch::cuda, too.
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
// The device and the streams that LibTorch's kernels take.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
