// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/libtorch/version.h"

// The zip of torch.save: PyTorchStreamWriter.
#include <caffe2/serialize/inline_container.h>
// What torch.load(weights_only=True) takes: Pickler without tags of aggregates.
#include <torch/csrc/jit/serialization/pickler.h>
