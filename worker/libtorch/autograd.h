// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/libtorch/version.h"

// Nodes of our own: Node, edge_list, collect_next_edges, compute_requires_grad, set_history, deleteNode,
// impl::gradient_edge.
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
// A backward inside a backward, from given edges: Engine::execute.
#include <torch/csrc/autograd/engine.h>
// Told once a gradient is there: PostAccumulateGradHook, impl::set_post_acc_grad_hooks.
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
