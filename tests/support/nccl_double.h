// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// A stand-in for NCCL and for the few calls of the CUDA runtime that worker/comm makes, for a machine without
// a GPU. A program that is linked with yolodist_nccl_double has these functions in itself, before libnccl and
// libcudart. "Device memory" is host memory; a stream is a thread; ranks are processes, or threads of one,
// that meet in a shared memory named by the unique id.
//
// As NCCL's: communicators are non-blocking; a call answers "in progress" and is on its stream only once
// ncclCommGetAsyncError has said success; collectives go in stream order; calls that do not fit together hang
// until they are aborted; a peer that is gone or has aborted is not noticed, unless peers_notice is set.
namespace yolodist::test::nccl_double {

enum class Action {
  init_fails,     // ncclCommInitRankConfig ends with `result`
  init_stalls,    // it never ends
  call_fails,     // call number `call` answers `result`
  async_error,    // … begins, then the communicator reports `result`
  stall,          // … is never begun on this rank
  device_error,   // … leaves the stream with cudaErrorIllegalAddress
  abort_hangs,    // ncclCommAbort never returns
  destroy_hangs,  // nor does ncclCommDestroy
  exit_process,   // … kills the process by SIGKILL
};

// Happens once, to the first communicator that comes to it.
struct Fault {
  Action action = Action::stall;
  int rank = -1;       // -1 = any
  int64_t call = 0;    // operations of a communicator are numbered from 0, each send and receive by itself
  int result = 6;      // ncclResult_t; ncclRemoteError
  std::string text{};  // what ncclGetLastError says of it
};

// Also by environment, read at first use: YOLODIST_NCCL_FAULTS="ACTION:RANK:CALL[:RESULT],…".
void inject(const Fault& fault);
// Forgets faults that have not happened, counted calls and misuse.
void reset();
// A collective reports ncclRemoteError when a peer has aborted or its process is gone. Off at first.
void set_peers_notice(bool notice);

// How often a function of NCCL or CUDA was called, in all threads of this process.
int64_t calls(std::string_view function);
// What was done that NCCL forbids: a call while another is in progress, an abort while another thread is
// inside, a handle that is not valid any more. Empty is good.
std::vector<std::string> misuse();

}  // namespace yolodist::test::nccl_double
