// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/job.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/duration.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/base/signal_names.h"
#include "common/base/text.h"
#include "common/run/lineage.h"
#include "common/run/ownership.h"
#include "common/run/run_directory.h"
#include "launcher/cli/version.h"
#include "launcher/commands/error_text.h"
#include "launcher/commands/placement.h"
#include "launcher/commands/restart.h"
#include "launcher/commands/start_mpirun.h"
#include "launcher/mpi/interfaces.h"
#include "launcher/supervise/supervisor.h"

namespace yolodist::commands {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds mpi_start_limit = 120s;
constexpr std::chrono::seconds mpi_end_limit = 30s;
constexpr std::chrono::seconds agreement_limit = 120s;

const char* variable(const char* name) {
  return std::getenv(name);
}

// CUDA_VISIBLE_DEVICES as the user has it. A CUDA-aware MPI must not open the card that the worker is to
// fill, so the launcher hides all from itself before MPI starts.
class HiddenDevices {
 public:
  HiddenDevices() {
    if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr) {
      saved_ = visible;
    }
  }
  void hide() const { setenv("CUDA_VISIBLE_DEVICES", "", /*overwrite=*/1); }
  const std::optional<std::string>& saved() const { return saved_; }

 private:
  std::optional<std::string> saved_;
};

// What --net-if gives on this host.
struct Network {
  device::InterfaceRequest request;
  std::vector<std::string> interfaces;  // none = MPI and NCCL choose
};

// For this process, before MPI is started in it.
void use_network(const Network& network, bool is_leader) {
  if (network.interfaces.empty()) {
    return;
  }
  std::vector<std::string> replaced = mpi::apply(mpi::rank_interface_variables(network.interfaces));
  const char* nccl = variable("NCCL_SOCKET_IFNAME");
  if (nccl != nullptr && nccl != workers::nccl_interfaces(network.interfaces)) {
    replaced.push_back(cat("NCCL_SOCKET_IFNAME=", nccl));
  }
  if (is_leader && !replaced.empty()) {
    log::info(cat("--net-if ", network.request.text, " takes the place of ", join(replaced, " "),
                  " in the environment"));
  }
}

// Ranks to start by mpirun; 1 = go on alone.
int ranks_to_start(const Job& job, const DeviceSituation& situation) {
  const std::vector<device::CudaDevice> devices =
      device::devices_to_use(situation.request, situation.inventory);
  const int device_count = static_cast<int>(devices.size());
  const int ranks = job.ranks > 0 ? job.ranks : std::max(1, device_count);
  if (device_count > 0 && ranks > device_count) {
    throw UsageError(cat("--ranks ", ranks, ", but there are ", device_count, " devices for them"),
                     "One rank a device; or use --device cpu.");
  }
  device::check_runnable(cuda_build(), {devices.begin(), devices.begin() + std::min(ranks, device_count)},
                         situation.inventory);
  if (device_count > 1 && job.device.empty() && job.ranks == 0) {
    log::info(cat("using all ", device_count, " visible GPUs (choose with --device)"));
  }
  return ranks;
}

// 0 = none beside the usual ones.
int stop_signal_of(const Job& job) {
  return job.stop_signal.empty() ? 0 : stop_signal_number(job.stop_signal);
}

std::optional<supervise::TimeLimit> time_limit_of(const Job& job,
                                                  supervise::TimeLimit::Clock::time_point start) {
  const std::chrono::seconds limit =
      job.time_limit.empty() ? 0s : parse_duration(job.time_limit, "--time-limit");
  return supervise::time_limit_of(limit, start, variable);
}

// How to end the job without losing anything, where that is not plain.
void print_stopping(const mpi::LaunchEnvironment& environment,
                    const std::optional<supervise::TimeLimit>& limit, const protocol::Start& run) {
  if (limit) {
    const auto left =
        std::chrono::duration_cast<std::chrono::seconds>(limit->end() - supervise::TimeLimit::Clock::now());
    log::info(cat("saves and stops in time before ", limit->name(), " (", to_string(left), " from now)"));
  }
  // Measured with Open MPI 4.1: Ctrl-C at mpirun gives the ranks one second, whatever they do with it.
  if (environment.by == mpi::StartedBy::mpirun && std::getenv("YOLODIST_OWN_MPIRUN") == nullptr) {
    log::info(cat("to save and stop: yolodist stop ", run.run_directory,
                  ", or SIGUSR1 to mpirun; Ctrl-C there kills the ranks after a second"));
  }
}

void print_start(std::vector<Place> places, const device::InterfaceRequest& asked) {
  for (Place& place : places) {  // the way to the others is what was asked for
    if (std::vector<device::NetworkAddress> chosen = device::addresses_of(asked, place.addresses);
        !chosen.empty()) {
      chosen.front().is_default_way = true;
      place.addresses = std::move(chosen);
    }
  }
  const cli::BuildVersions& build = cli::build_versions();
  log::info(cat("yolodist ", build.yolodist, " (git ", build.git, "), ", places.size(),
                places.size() == 1 ? " rank" : " ranks"));
  log::info(places_table(places));
  for (const PlaceNote& note : place_notes(places)) {
    const std::string text = cat(note.text, note.what_now.empty() ? "" : ". ", note.what_now);
    note.is_warning ? log::warning(text) : log::info(text);
  }
}

// What rank 0 tells every worker, or its error, on every rank.
protocol::Start agree_on_run(mpi::Session& session, const Job& job) {
  std::string text;
  if (session.rank() == 0) {
    try {
      text = protocol::encode(0, protocol::ToWorker(job.prepare(session.size())));
    } catch (const Error& error) {
      text = nlohmann::json({{"error", error_to_json(error)}})
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
  }
  text = mpi::broadcast_text(session, text, 0, Deadline::after(agreement_limit),
                             "waiting for rank 0 to prepare the run");
  const nlohmann::json document = nlohmann::json::parse(text);
  if (document.contains("error")) {
    throw error_from_json(document.at("error"));
  }
  return std::get<protocol::Start>(protocol::decode_to_worker(text).body);
}

supervise::Attempt describe_attempt(mpi::Session& session, const Job& job, const protocol::Start& run,
                                    const std::vector<Place>& places,
                                    const std::optional<std::string>& cuda_visible_devices,
                                    const Network& network) {
  const Place& place = places[static_cast<size_t>(session.rank())];
  supervise::Attempt attempt;
  for (const Place& other : places) {
    attempt.hosts.push_back(other.host);
  }
  attempt.start = run;
  protocol::Start& start = attempt.start;
  start.rank = session.rank();
  start.world_size = session.size();
  start.local_rank = session.local_rank();
  start.local_size = session.local_size();
  start.threads = place.threads;
  if (place.device) {
    start.device = "cuda";
    start.device_pci = place.device->pci;
    start.device_uuid = place.device->uuid;
  }

  attempt.worker.attempt = start.attempt;
  attempt.worker.blocked_signal = stop_signal_of(job);
  attempt.worker.prefix = workers::split_command(job.worker_prefix);
  attempt.worker.program = workers::find_worker_program(attempt.worker.prefix);
  attempt.worker.environment = workers::worker_environment(
      workers::current_environment(),
      {mpi::is_launch_variable, place.threads, place.device.has_value(),
       place.device ? place.visible_to_worker : cuda_visible_devices, network.interfaces});
  return attempt;
}

void print_end(const supervise::Outcome& outcome, const protocol::Start& run) {
  if (outcome.report) {
    const run::FailureReport& report = *outcome.report;
    const Error error(static_cast<ExitCode>(report.exit_code),
                      cat("rank ", report.rank, " on ", report.host, ": ", report.what), report.hint);
    log::error(cat(error.one_line(), " [exit code ", outcome.exit_code, ", ",
                   run::RunDirectory{run.run_directory}.failure_report(report.attempt, report.rank).string(),
                   "]"));
  } else if (outcome.exit_code == to_int(ExitCode::state_saved)) {
    log::info(cat("state saved; go on with: yolodist train --resume ", run.run_directory));
  }
}

// All ranks are here, with the same code.
int end_in_order(mpi::Session& session, int exit_code) {
  mpi::barrier(session, Deadline::after(mpi_end_limit), "ending together");
  session.finalize(mpi_end_limit);
  return exit_code;
}

// All ranks run the same program: another build may count or place things otherwise.
void agree_on_build(mpi::Session& session) {
  const cli::BuildVersions& build = cli::build_versions();
  const std::string mine = cat("yolodist ", build.yolodist, " (git ", build.git, "), protocol ",
                               protocol::version, ", on ", host_name());
  const std::vector<std::string> all = mpi::all_gather_texts(session, mine, Deadline::after(agreement_limit),
                                                             "comparing the versions of the ranks");
  const auto version_of = [](const std::string& text) { return text.substr(0, text.rfind(", on ")); };
  std::vector<std::string> others;
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (version_of(all[rank]) != version_of(all[0])) {
      others.push_back(cat("rank ", rank, ": ", all[rank]));
    }
  }
  if (!others.empty()) {
    throw UsageError(cat("the ranks run different builds; rank 0: ", all[0], "; ", join(others, "; ")),
                     "Start the same installation on every host, for example one on a shared file system.");
  }
}

// What the ranks settle before anything is started.
struct Agreement {
  std::vector<Place> places;
  protocol::Start run;
};

// Throws the same error on every rank, or PeerLost.
Agreement agree(mpi::Session& session, const Job& job, const mpi::LaunchEnvironment& environment,
                const DeviceSituation& situation) {
  mpi::check_world_size(environment, session.size());
  if (job.ranks > 0 && job.ranks != session.size()) {
    throw UsageError(cat("--ranks ", job.ranks, ", but mpirun or srun started ", session.size()),
                     "Leave --ranks out under mpirun and srun.");
  }
  agree_on_build(session);
  Agreement agreement;
  agreement.places = agree_on_places(session, situation, variable, job.threads);
  agreement.run = agree_on_run(session, job);
  return agreement;
}

int run_as_rank(mpi::Session& session, supervise::SignalQueue& signals, const Job& job,
                const mpi::LaunchEnvironment& environment, const DeviceSituation& situation,
                const HiddenDevices& devices, const Network& network,
                supervise::TimeLimit::Clock::time_point started_at) {
  Agreement agreement;
  try {
    agreement = agree(session, job, environment, situation);
  } catch (const PeerLost&) {
    throw;
  } catch (const Error& error) {
    if (session.rank() == 0 && environment.is_leader()) {  // of ranks that are each alone, too
      log::error(error.one_line());
    }
    return end_in_order(session, to_int(error.exit_code()));
  }
  const std::optional<supervise::TimeLimit> limit =
      job.command == "train" ? time_limit_of(job, started_at) : std::nullopt;
  std::optional<supervise::RunWatch> run_watch;
  if (session.rank() == 0) {
    print_start(agreement.places, network.request);
    if (job.command == "train") {
      print_stopping(environment, limit, agreement.run);
      run_watch.emplace(run::RunDirectory{agreement.run.run_directory}, agreement.run.run_token,
                        run::this_process(run::scheduler_job(variable)));
    }
  }
  Restarts restarts(job.max_restarts, agreement.run);
  supervise::Outcome outcome;
  supervise::StopRequest stop;
  for (std::optional<protocol::Start> run = agreement.run; run; run = restarts.next(session, outcome)) {
    supervise::Attempt attempt =
        describe_attempt(session, job, *run, agreement.places, devices.saved(), network);
    attempt.stop = &stop;
    attempt.run_watch = run_watch ? &*run_watch : nullptr;
    attempt.time_limit = run_watch && limit ? &*limit : nullptr;
    outcome = supervise::supervise(session, signals, attempt);
  }
  outcome.exit_code = restarts.exit_code(outcome);
  if (session.rank() == 0) {
    print_end(outcome, agreement.run);
  }
  return end_in_order(session, outcome.exit_code);
}

}  // namespace

int run_job(const Job& job) {
  log::configure({.console_level = log::Level::info, .prefix = "", .console_to_stderr = job.json});
  const auto started_at = supervise::TimeLimit::Clock::now();
  const HiddenDevices devices;
  DeviceSituation situation{device::parse_device(job.device), {}, {}};
  Network network{device::parse_interfaces(job.net_if), {}};
  const int stop_signal = stop_signal_of(job);
  situation.worker_prefix = workers::split_command(job.worker_prefix);
  const bool names_several = job.ranks > 1 || situation.request.numbers.size() > 1;
  const mpi::LaunchEnvironment environment = mpi::read_launch_environment(variable, names_several);
  try {
    network.interfaces = device::interfaces_of(network.request, host_name(),
                                               device::network_addresses(/*with_loopback=*/true));
  } catch (const DeviceUnavailable& error) {
    if (environment.local_rank == 0) {  // known to this host alone, and MPI is not there yet to tell others
      log::error(error.one_line());
    }
    return to_int(error.exit_code());
  }
  if (situation.request.kind != device::DeviceRequest::Kind::cpu) {
    situation.inventory = device::read_cuda_inventory(devices.saved());
  }
  if (environment.by == mpi::StartedBy::nobody) {
    if (const int ranks = ranks_to_start(job, situation); ranks > 1) {
      std::vector<std::string> all_words = {job.command};
      all_words.insert(all_words.end(), job.words.begin(), job.words.end());
      return run_under_mpirun(ranks, all_words, stop_signal, network.interfaces);
    }
  }
  supervise::SignalQueue signals(stop_signal);
  devices.hide();
  use_network(network, environment.is_leader());
  mpi::Session session(mpi_start_limit);
  const std::string prefix = cat("rank ", session.rank(), ": ");
  log::configure({.console_level = job.verbose ? log::Level::debug : log::Level::info,
                  .prefix = session.rank() == 0 ? std::string_view() : std::string_view(prefix),
                  .console_to_stderr = job.json});
  // What comes here is known to this rank alone: the others can only be told by ending the job.
  try {
    return run_as_rank(session, signals, job, environment, situation, devices, network, started_at);
  } catch (const Error& error) {
    log::error(error.one_line());
    session.abort(to_int(error.exit_code()));
  } catch (const std::exception& error) {
    log::error(cat(error.what(), " (a bug in yolodist; please report it)"));
    session.abort(to_int(ExitCode::internal));
  }
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return 0;
}

int print_version() {
  return print(cli::version_text(mpi::library_version()));
}

}  // namespace yolodist::commands
