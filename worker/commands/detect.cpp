// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/detect.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <span>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/data_set.h"
#include "common/run/run_directory.h"
#include "worker/commands/inference.h"
#include "worker/commands/picture_source.h"
#include "worker/data/loader.h"
#include "worker/data/pipeline.h"
#include "worker/eval/matching.h"
#include "worker/eval/nms.h"
#include "worker/pictures/found_picture.h"
#include "worker/train/place.h"
#include "worker/train/shard_loader.h"

namespace yolodist::commands {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes peer_patience{60};  // a rank may have slower pictures than another

// One detection run, put together.
struct Detector {
  const config::DetectOptions& options;
  run::RunDirectory run;
  train::Placement placement;
  LoadedModel loaded;
  PictureSource source;
  std::vector<std::string> stems;  // of the pictures
  eval::NmsOptions nms;
  int imgsz_px = 0;
  int rank() const { return placement.communicator->rank(); }
  int world_size() const { return placement.communicator->world_size(); }
};

// Of one rank, then of all.
struct Totals {
  double load_ms = 0, inference_ms = 0, nms_ms = 0;
  int64_t pictures = 0, unreadable = 0, label_files = 0;
};

double ms_since(Clock::time_point& last) {
  const Clock::time_point now = Clock::now();
  const double ms = std::chrono::duration<double, std::milli>(now - last).count();
  last = now;
  return ms;
}

void take_names(Detector& d) {
  if (d.options.data.empty()) {
    return;
  }
  std::vector<std::string> names = config::read_class_names(d.options.data);
  if (names.size() != d.loaded.names.size()) {
    throw DataError(cat(d.options.weights, " knows ", d.loaded.names.size(), " classes, ", d.options.data,
                        " has ", names.size()),
                    "Leave --data out to use the names of the weights.");
  }
  d.loaded.names = std::move(names);
}

Detector assemble_detector(const protocol::Start& start, train::Placement placement) {
  const config::DetectOptions& o = start.detect;
  const at::Device device = placement.device;
  Detector d{o,
             {start.run_directory},
             std::move(placement),
             load_model(o.weights, device),
             list_source(o.source),
             {},
             {},
             0};
  take_names(d);
  const int classes = d.loaded.model.spec.class_count;
  for (const int class_index : o.classes) {
    if (class_index >= classes) {
      throw UsageError(
          cat("--classes ", class_index, ", but ", o.weights, " has the classes 0 to ", classes - 1));
    }
  }
  d.stems = file_stems(d.source.pictures);
  d.nms.confidence = static_cast<float>(o.confidence);
  d.nms.iou = o.iou;
  d.nms.multi_label = false;
  d.nms.agnostic = o.agnostic_nms;
  d.nms.max_detections = o.max_detections;
  d.nms.classes = o.classes;
  d.imgsz_px = fitting_side(o.imgsz_px, d.loaded.model.spec);
  if (d.rank() == 0 && d.imgsz_px != o.imgsz_px) {
    log::warning(cat("--img ", o.imgsz_px, " is not a multiple of the model's largest stride ",
                     grid_stride(d.loaded.model.spec), ": detecting at ", d.imgsz_px));
  }
  if (d.rank() == 0 && d.source.others > 0) {
    log::warning(
        cat(d.source.others, " files of ", o.source, " are left out: no pictures (videos are not read)"));
  }
  return d;
}

// Pictures decoded ahead by threads: number i, i + world_size, …
data::Loader make_loader(const Detector& d, int threads) {
  std::vector<int64_t> own;
  for (auto i = static_cast<int64_t>(d.rank()); i < static_cast<int64_t>(d.source.pictures.size());
       i += d.world_size()) {
    own.push_back(i);
  }
  data::LoaderOptions options;
  options.threads = std::max(1, std::min(d.options.workers, threads));
  options.prefetch_samples = 2 * options.threads;
  const int stride = grid_stride(d.loaded.model.spec);
  return {[&d, stride](int64_t i) {
            return data::detection_sample(d.source.pictures[static_cast<size_t>(i)], d.imgsz_px, stride);
          },
          std::move(own), options};
}

// Native boxes in whole pixels, as YOLOv5 has them from here on.
std::vector<eval::Detection> in_whole_pixels(std::vector<eval::Detection> detections) {
  for (eval::Detection& detection : detections) {
    eval::Box& box = detection.box;
    box = {std::nearbyint(box.x1), std::nearbyint(box.y1), std::nearbyint(box.x2), std::nearbyint(box.y2)};
  }
  return detections;
}

// "3 RBCs, 1 WBC, " by class.
std::string counts_text(const std::vector<eval::Detection>& detections,
                        const std::vector<std::string>& names) {
  std::map<int, int> counts;
  for (const eval::Detection& detection : detections) {
    ++counts[detection.class_index];
  }
  std::string text;
  for (const auto& [class_index, count] : counts) {
    text += cat(count, " ", names[static_cast<size_t>(class_index)], count > 1 ? "s" : "", ", ");
  }
  return text.empty() ? "(no detections), " : text;
}

void save(const Detector& d, size_t index, const std::vector<eval::Detection>& detections,
          const data::Fitting& fitting, Totals& totals) {
  const config::DetectOptions& o = d.options;
  const std::filesystem::path& picture = d.source.pictures[index];
  if (o.save_txt && !detections.empty()) {
    // YOLOv5 writes the least confident first.
    const std::vector<eval::Detection> reversed(detections.rbegin(), detections.rend());
    write_file_atomically(
        d.run.root / "labels" / (d.stems[index] + ".txt"),
        label_rows(reversed, fitting.native_height_px, fitting.native_width_px, o.save_conf));
    ++totals.label_files;
  }
  if (o.save_crop) {
    pictures::cut_out(d.run.root / "crops", d.stems[index], picture, detections, d.loaded.names);
  }
  if (!o.no_save) {
    const std::string name = pictures::writable_name(d.stems[index] + picture.extension().string());
    pictures::draw_found(d.run.root / name, picture, detections, d.loaded.names,
                         {o.line_thickness_px, !o.hide_labels, !o.hide_conf});
  }
}

void look_at(const Detector& d, size_t index, const data::Sample& sample, Clock::time_point began,
             Totals& totals) {
  const at::Tensor images =
      train::to_group(std::span(&sample, 1), 0).images.to(d.placement.device).to(at::kFloat).div_(255);
  totals.load_ms += ms_since(began);
  const std::vector<at::Tensor> raw = model::forward(d.loaded.model, images, nullptr);
  const at::Tensor rows = model::decode(d.loaded.model, raw).to(at::kCPU, at::kFloat).contiguous();
  const double inference_ms = ms_since(began);
  totals.inference_ms += inference_ms;
  const auto found = eval::suppress({rows.const_data_ptr<float>(), static_cast<size_t>(rows.numel())},
                                    d.loaded.model.spec.class_count, d.nms);
  totals.nms_ms += ms_since(began);
  const auto detections = in_whole_pixels(eval::native_detections(found, sample.fitting));
  save(d, index, detections, sample.fitting, totals);
  log::info(cat("image ", index + 1, "/", d.source.pictures.size(), " ", d.source.pictures[index].string(),
                ": ", sample.height_px, "x", sample.width_px, " ", counts_text(detections, d.loaded.names),
                printf_string("%.1fms", inference_ms)));
}

// One picture; one that cannot be read is named and passed over.
void take_next(const Detector& d, size_t index, data::Loader& loader, Totals& totals) {
  const Clock::time_point began = Clock::now();
  data::Sample sample;
  try {
    sample = loader.next().value();
  } catch (const DataError& error) {
    log::error(cat("left out: ", error.what()));
    ++totals.unreadable;
    return;
  }
  look_at(d, index, sample, began, totals);
  ++totals.pictures;
}

Totals of_all_ranks(comm::Communicator& communicator, Totals totals) {
  const Deadline deadline = Deadline::after(peer_patience);
  std::vector<double> ms = {totals.load_ms, totals.inference_ms, totals.nms_ms};
  std::vector<int64_t> counts = {totals.pictures, totals.unreadable, totals.label_files};
  comm::all_reduce_sum(communicator, std::span<double>(ms), deadline);
  comm::all_reduce_sum(communicator, std::span<int64_t>(counts), deadline);
  return {ms[0], ms[1], ms[2], counts[0], counts[1], counts[2]};
}

void print(const Detector& d, const Totals& all) {
  const double pictures = static_cast<double>(all.pictures);
  log::info(printf_string(
      "Speed: %.1fms pre-process, %.1fms inference, %.1fms NMS per image at shape (1, 3, %d, %d)",
      all.load_ms / pictures, all.inference_ms / pictures, all.nms_ms / pictures, d.imgsz_px, d.imgsz_px));
  log::info(
      cat(all.pictures, " pictures",
          d.world_size() > 1 ? cat(" on ", d.world_size(), " ranks (the lines are those of rank 0)") : "",
          all.unreadable > 0 ? cat(", ", all.unreadable, " could not be read") : ""));
  if (d.options.save_txt) {
    log::info(cat(all.label_files, " labels saved to ", (d.run.root / "labels").string()));
  }
  log::info(cat("Results saved to ", d.run.root.string()));
}

}  // namespace

ExitCode run_detect(link::Link& link, const protocol::Start& start) {
  const c10::NoGradGuard no_grad;
  const Detector d = assemble_detector(start, train::place(link, start));
  if (d.options.save_txt) {
    make_folder(d.run.root / "labels");
  }
  data::Loader loader = make_loader(d, start.threads);
  Totals own;
  for (size_t i = static_cast<size_t>(d.rank()); i < d.source.pictures.size();
       i += static_cast<size_t>(d.world_size())) {
    stop_if_asked(link);
    take_next(d, i, loader, own);
  }
  const Totals all = of_all_ranks(*d.placement.communicator, own);
  if (all.pictures == 0) {
    throw DataError(
        cat("none of the ", d.source.pictures.size(), " pictures of ", d.options.source, " can be read"),
        "The lines above say why.");
  }
  if (d.rank() == 0) {
    print(d, all);
  }
  return ExitCode::ok;
}

}  // namespace yolodist::commands
