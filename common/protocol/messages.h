// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/exit_code.h"
#include "common/config/detect_options.h"
#include "common/config/train_options.h"
#include "common/config/val_options.h"
#include "common/run/failure_report.h"

namespace yolodist::protocol {

// What launcher and worker say to each other: one JSON object a line over a socket pair. Every line carries
// the protocol version and the attempt (how often workers had been started before, from 0).
inline constexpr int version = 2;

// A longer line is garbage, not a message.
inline constexpr size_t max_line_bytes = size_t{1} << 20;

// Collectives of a channel run in the order of their sequence numbers (from 0), independent of other
// channels.
enum class Channel { small, gradients };
inline constexpr int channel_count = 2;
enum class CollectiveKind { all_reduce, all_gather, broadcast };
enum class Dtype { f32, f64, i64, bytes };
enum class Reduction { sum, max, min };
size_t size_of(Dtype dtype);

// Asks the launcher to run a collective over shared memory. `offset_bytes` is where the data are:
//   all_reduce  `count` elements of `dtype`, in place
//   all_gather  `count` bytes from every rank, in rank order; the own part is in its place already
//   broadcast   `count` bytes from `root`, in place
struct Collective {
  Channel channel = Channel::small;
  int64_t sequence = 0;
  CollectiveKind kind = CollectiveKind::all_reduce;
  int64_t offset_bytes = 0;
  int64_t count = 0;
  Dtype dtype = Dtype::bytes;
  Reduction reduction = Reduction::sum;
  int root = 0;
  bool operator==(const Collective&) const = default;
};

// Worker → launcher.
struct Hello {  // the worker has read Start and bound its device
  int64_t pid = 0;
  std::string device;  // "cpu", or the UUID of the device that was bound
};
struct Resize {  // the shared memory now has this many bytes
  int64_t bytes = 0;
};
struct Progress {
  int epoch = 0;
  int64_t iteration = 0, step = 0;
  std::string text;  // if not empty, a line for the console
};
struct Sample {                                                   // once a second: this rank's memory
  int64_t iteration = 0;                                          // that runs, or is the next to
  int64_t current_bytes = 0, peak_bytes = 0, reserved_bytes = 0;  // of the device; the peak since the start
  int64_t host_bytes = 0;                                         // staging, apart
  std::string phase;                                              // "forward", "validation", …
  // Of the whole card, by its driver; nothing where it does not say.
  std::optional<int64_t> device_used_bytes{}, other_processes_bytes{};
  bool operator==(const Sample&) const = default;
};
struct Failure {  // the worker is about to end with report.exit_code
  run::FailureReport report;
};
struct Done {  // the worker is about to end in order: ok or state_saved
  ExitCode exit_code = ExitCode::ok;
};
using ToLauncher = std::variant<Hello, Resize, Collective, Progress, Sample, Failure, Done>;

// Launcher → worker.
struct Start {
  int rank = 0, world_size = 1, local_rank = 0, local_size = 1;
  int attempt = 0;                // filled from the line
  int threads = 1;                // compute threads
  std::string device = "cpu";     // "cpu" or "cuda"
  std::string device_pci;         // "00000000:65:00.0", by which the worker binds
  std::string device_uuid;        // what Hello has to echo
  std::string run_directory;      // exists; absolute
  std::string command = "train";  // train, val or detect; only the options of that one are meant
  config::TrainOptions options;   // resolved: bn_group > 0, data, cfg and hyp filled in
  config::ValOptions val;         // paths absolute
  config::DetectOptions detect;   // paths absolute
  std::string share_folder;       // shipped models and hyps
  std::string resume_checkpoint;  // "" = a fresh start
  std::string run_token;          // of run::claim_run; who writes checks it with run::still_ours
};
struct Resized {
  int64_t bytes = 0;
};
struct CollectiveDone {
  Channel channel = Channel::small;
  int64_t sequence = 0;
  std::string error;  // "" = the result is in the shared memory
};
struct Stop {          // finish the iteration, save, end with state_saved
  std::string reason;  // "SIGUSR1"
};
struct PeerSample {  // to rank 0: a sample of another rank
  int rank = 0;
  Sample sample;
};
using ToWorker = std::variant<Start, Resized, CollectiveDone, Stop, PeerSample>;

template <typename Body>
struct Envelope {
  int attempt = 0;
  Body body;
};

// One line, with its line feed.
std::string encode(int attempt, const ToLauncher& message);
std::string encode(int attempt, const ToWorker& message);
// Reads a line. Throws InternalError that quotes its beginning: not JSON, unknown type, a field missing or of
// the wrong type, another protocol version (then the hint says that launcher and worker are of different
// builds).
Envelope<ToLauncher> decode_to_launcher(std::string_view line);
Envelope<ToWorker> decode_to_worker(std::string_view line);

// For launchers among themselves: what they pass on.
std::string encode_collective(const Collective& collective);
Collective decode_collective(std::string_view text);
std::string encode_sample(const Sample& sample);
Sample decode_sample(std::string_view text);

const char* name_of(Channel channel);
const char* name_of(CollectiveKind kind);

// Cuts a byte stream into lines. Throws InternalError when a line grows over max_line_bytes.
class LineReader {
 public:
  void append(std::string_view bytes);
  // The next whole line, without its line feed; false if there is none yet.
  bool next(std::string& line);

 private:
  std::string buffer_;
  size_t begin_ = 0;     // where the next line starts
  size_t searched_ = 0;  // no line feed in [begin_, searched_)
};

}  // namespace yolodist::protocol
