// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/config/data_set.h"
#include "common/config/hyperparameters.h"
#include "common/config/train_options.h"
#include "common/plan/planner.h"
#include "common/run/run_directory.h"
#include "worker/comm/communicator.h"
#include "worker/data/decode_failures.h"
#include "worker/data/index.h"
#include "worker/data/rect_shapes.h"
#include "worker/loss/detection_loss.h"
#include "worker/memory/meter.h"
#include "worker/model/model.h"
#include "worker/optim/ema.h"
#include "worker/optim/grad_scaler.h"
#include "worker/optim/optimizer.h"
#include "worker/optim/schedule.h"
#include "worker/parallel/bucketed_reducer.h"

namespace c10 {
class Event;
}  // namespace c10

namespace yolodist::data {
class PictureCache;  // its header brings OpenCV
}

namespace yolodist::train {

class InjectedShortage;

// How long a rank waits for the others in a collective of training before it takes them for lost.
inline constexpr std::chrono::minutes peer_patience{10};

// What the last validation found; stays as it is over epochs that are not validated.
struct ValidationResult {
  double precision = 0, recall = 0, map50 = 0, map = 0;
  loss::LossItems losses;
  std::vector<double> maps;  // mAP50-95 a class
  double fitness() const { return 0.1 * map50 + 0.9 * map; }
};

// Where a run is: everything but tensors that a resumed run needs to go on exactly. Equal on all ranks.
struct RunState {
  int epoch = 0, batch = 0;          // of the next iteration
  int64_t step = 0;                  // optimizer steps since the run's start
  int64_t last_step_iteration = -1;  // the iteration that made the last step
  // fp16: steps whose gradients were not finite, so that nothing was updated; they count as steps.
  int64_t skipped_steps = 0;
  int skipped_in_a_row = 0;
  loss::LossItems epoch_sum;  // over the epoch's iterations so far
  int epoch_iterations = 0;
  double best_fitness = 0;     // best.pt holds this
  double stopper_fitness = 0;  // the early stopper's own best, and its epoch
  int stopper_epoch = 0;
  ValidationResult last_validation;
  double seconds = 0;  // trained so far, over all attempts
};

// What the last optimizer step came to, as the device will have written it when it gets there.
struct StepOutcome {
  at::Tensor values;  // in host memory, fp64 [3]: gradient's norm, 1 = not finite, loss scale from now on
  std::shared_ptr<const c10::Event> arrived;  // once the values are there; null where they are at once
  int64_t iteration = 0;
  int epoch = 0;
};

// All that a training run consists of, put together once by assemble() and then used by the loop. No option
// is read below assemble: what a room needs, it gets as a value.
struct Training {
  Training();
  ~Training();
  Training(Training&&) noexcept;
  Training& operator=(Training&&) noexcept;
  // Who and where.
  int rank = 0, world_size = 1;
  int attempt = 1;
  int threads = 1;
  run::RunDirectory run;
  std::string run_token;  // rank 0: fences this run off against a later one
  at::Device device = at::kCPU;
  std::unique_ptr<comm::Communicator> communicator;  // host memory: counts, votes, statistics
  // CUDA: gradients travel from device to device. Null on CPU, where `communicator` takes them as well.
  std::unique_ptr<comm::Communicator> device_communicator;
  // Ends what is under way there and connects the devices anew, with the buckets where they are. Collective.
  // Throws PeerLost, DeviceUnavailable, OutOfMemory. Null where there is no device_communicator.
  std::function<void()> reconnect_devices;
  int reconnects = 0;  // in this attempt

  // How it is executed: the plan in force, the same on all ranks, and what it says for this one.
  std::string device_name, device_uuid;  // "" on the CPU
  int64_t device_bytes = 0;              // that the device has; 0 = not known (CPU)
  std::vector<std::string> hosts;        // by rank
  plan::Request plan_request;
  plan::Plan plan;
  std::vector<int> shard;                    // pictures of the global batch for each rank; empty = even
  plan::RecomputePlan recompute;             // of this rank
  int validation_pictures = 0;               // a forward of this rank takes at most so many; 0 = its slice
  memory::PhasePeaks phase_peaks{at::kCPU};  // of the last iteration
  std::unique_ptr<InjectedShortage> injected;

  // The recipe.
  config::TrainOptions options;
  config::Hyperparameters hyp;         // as in the file, with the command line's label smoothing
  config::Hyperparameters scaled_hyp;  // gains scaled to levels, classes and side
  config::DataSet data_set;
  at::ScalarType dtype{};          // of parameters
  at::ScalarType compute_dtype{};  // of activations
  int imgsz_px = 640;

  // The data.
  data::Index train_pictures, val_pictures;
  data::RectBatches val_batches;
  std::optional<data::RectBatches> train_batches;  // --rect: order and shapes of every epoch
  std::vector<double> class_weights;               // --image-weights
  std::unique_ptr<data::DecodeFailures> decode_failures;
  std::unique_ptr<data::PictureCache> train_cache, val_cache;  // --cache; null without

  // The model and what moves it.
  std::unique_ptr<model::Model> model;
  loss::GridAnchors anchors;
  std::unique_ptr<optim::ModelEma> ema;
  std::unique_ptr<parallel::BucketedReducer> reducer;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<optim::GradScaler> scaler;  // fp16; null without
  std::optional<StepOutcome> step_outcome;    // of a step that nobody has looked at yet
  std::unique_ptr<optim::Schedule> schedule;

  RunState state;

  comm::Communicator& gradient_communicator() {
    return device_communicator ? *device_communicator : *communicator;
  }
  int global_batch() const { return options.global_batch; }
  int picture_count() const { return static_cast<int>(train_pictures.pictures.size()); }
  int batches_an_epoch() const { return (picture_count() + global_batch() - 1) / global_batch(); }
  bool is_leader() const { return rank == 0; }
  int64_t iteration() const { return static_cast<int64_t>(state.epoch) * batches_an_epoch() + state.batch; }
};

}  // namespace yolodist::train
