// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A worker that trains on the CPU and reduces its gradients by NcclCommunicator, which is linked with the
// stand-in for NCCL: started as --worker-prefix nccl_double_worker, it gets the real worker's command line.
// Faults of YOLODIST_NCCL_FAULTS happen in attempt 0.
#include <ATen/Parallel.h>

#include <chrono>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "tests/support/nccl_double.h"
#include "worker/comm/host_communicator.h"
#include "worker/comm/nccl_communicator.h"
#include "worker/comm/post_mortem.h"
#include "worker/link/link.h"
#include "worker/memory/budget.h"
#include "worker/train/assemble.h"
#include "worker/train/train_loop.h"

namespace yolodist {
namespace {

using namespace std::chrono_literals;

std::string shared_unique_id(comm::Communicator& host) {
  return comm::all_gather_strings(host, host.rank() == 0 ? comm::NcclCommunicator::make_unique_id() : "",
                                  Deadline::after(30s))[0];
}

// As worker/train/place.cpp does it for a GPU.
train::Placement place(link::Link& link, const protocol::Start& start) {
  train::Placement placement;
  link.send_hello("cpu");
  placement.communicator = std::make_unique<comm::HostCommunicator>(link, start.rank, start.world_size);
  comm::NcclSetup setup;
  setup.rank = start.rank;
  setup.world_size = start.world_size;
  setup.unique_id = shared_unique_id(*placement.communicator);
  setup.post_mortem = std::make_shared<comm::PostMortem>(*placement.communicator);
  setup.post_mortem_timeout = 2s;  // who has not noticed anything does not answer
  auto nccl = std::make_unique<comm::NcclCommunicator>(setup, Deadline::after(30s));
  placement.reconnect_devices = [nccl = nccl.get(), host = placement.communicator.get()] {
    nccl->abort();
    nccl->reconnect(shared_unique_id(*host), Deadline::after(30s));
  };
  placement.device_communicator = std::move(nccl);
  return placement;
}

ExitCode train_here(link::Link& link, const protocol::Start& start) {
  const auto training = train::assemble(start, place(link, start));
  const train::LaunchLink launch_link{
      .stop_reason = [&link] { return link.stop_reason(); },
      .send_progress = [&link](const protocol::Progress& progress) { link.send_progress(progress); }};
  const ExitCode code = train::train(*training, launch_link);
  log::info(cat("by the stand-in for NCCL: ", test::nccl_double::calls("ncclAllReduce"), " all-reduces of ",
                training->reducer->buckets().size(), " buckets"));
  return code;
}

int run_worker(int argc, char** argv) {
  memory::install_counting_allocator();
  link::Link link(link::parse_link_arguments(argc - 1, argv + 1));
  const protocol::Start start = link.wait_for_start(Deadline::after(60s));
  log::open_file(run::RunDirectory{start.run_directory}.rank_log(start.rank).string());
  at::set_num_threads(start.threads);
  if (start.attempt > 0) {
    test::nccl_double::reset();
  }
  run::FailureReport report;
  report.attempt = start.attempt;
  report.rank = start.rank;
  try {
    const ExitCode code = train_here(link, start);
    check(test::nccl_double::misuse().empty(), "NCCL is used as it has to be");
    link.send_done(code);
    return to_int(code);
  } catch (const comm::CollectiveFailure& error) {
    report.what = error.what();
    report.exit_code = to_int(error.exit_code());
    report.collectives = error.collectives();
  } catch (const Error& error) {
    report.what = error.what();
    report.exit_code = to_int(error.exit_code());
  }
  report.time_ns = std::chrono::system_clock::now().time_since_epoch() / 1ns;
  link.send_failure(report);
  return report.exit_code;
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  return yolodist::run_worker(argc, argv);
}
