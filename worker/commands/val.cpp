// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/val.h"

#include <algorithm>
#include <numeric>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/data_set.h"
#include "common/run/run_directory.h"
#include "worker/commands/coco_json.h"
#include "worker/commands/inference.h"
#include "worker/commands/val_results.h"
#include "worker/data/index_bytes.h"
#include "worker/data/picture_list.h"
#include "worker/train/place.h"
#include "worker/train/run_pictures.h"
#include "worker/train/validation.h"

namespace yolodist::commands {
namespace {

constexpr std::chrono::minutes peer_patience{30};  // a scan of a large set on slow storage

// One validation, put together.
struct Validation {
  const config::ValOptions& options;
  run::RunDirectory run;
  train::Placement placement;
  config::DataSet data_set;
  LoadedModel loaded;
  data::Index pictures;
  std::vector<std::string> stems;  // of the pictures
  data::RectBatches groups;
  int imgsz_px = 0;
  bool is_leader() const { return placement.communicator->rank() == 0; }
};

const std::vector<std::filesystem::path>& split_of(const Validation& v) {
  return v.options.task == "train"  ? v.data_set.train
         : v.options.task == "test" ? v.data_set.test
                                    : v.data_set.val;
}

void check_classes(const Validation& v) {
  const int of_model = v.loaded.model.spec.class_count, of_data = v.data_set.class_count();
  if (!v.options.single_cls && of_model != of_data) {
    throw DataError(
        cat(v.options.weights, " knows ", of_model, " classes, ", v.options.data, " has ", of_data),
        "Give weights and data that belong together, or --single-cls.");
  }
}

// Each rank opens a share of the pictures and labels and tells the others what it found.
void scan_pictures(Validation& v, int threads) {
  comm::Communicator& communicator = *v.placement.communicator;
  data::ScanOptions options;
  options.labels.class_count = v.data_set.class_count();
  options.labels.data_file = v.data_set.file;
  options.labels.single_cls = v.options.single_cls;
  options.threads = std::max(1, threads);
  const std::string part = data::scan_part(data::list_pictures(split_of(v)), communicator.rank(),
                                           communicator.world_size(), options);
  v.pictures =
      data::join_scan_parts(comm::all_gather_strings(communicator, part, Deadline::after(peer_patience)));
  data::require_pictures(v.pictures, split_of(v));
  std::vector<std::filesystem::path> paths;
  for (const data::Picture& picture : v.pictures.pictures) {
    paths.push_back(picture.path);
  }
  v.stems = file_stems(paths);
  if (v.is_leader()) {
    const data::Scan& scan = v.pictures.scan;
    write_file_atomically(v.run.data_log(), data::scan_report(scan, v.options.task));
    log::info(cat(v.options.task, ": ", v.pictures.pictures.size(), " pictures, ", v.pictures.box_count(),
                  " boxes, ", scan.missing + scan.empty, " backgrounds"));
    if (const std::string line = data::left_out_line(scan); !line.empty()) {
      log::warning(line);
    }
  }
}

// Source: ultralytics/yolov5 v7.0 val.py: rectangles padded by half a stride; squares for the task speed.
void cut_into_groups(Validation& v) {
  if (v.options.task == "speed") {
    v.groups.batch_size = v.options.batch;
    v.groups.order.resize(v.pictures.pictures.size());
    std::iota(v.groups.order.begin(), v.groups.order.end(), 0);
    const size_t size = static_cast<size_t>(v.options.batch);
    v.groups.shapes.assign((v.groups.order.size() + size - 1) / size, {v.imgsz_px, v.imgsz_px});
    return;
  }
  std::vector<data::Shape> native;
  for (const data::Picture& picture : v.pictures.pictures) {
    native.push_back({picture.height_px, picture.width_px});
  }
  v.groups =
      data::rect_batches(native, v.options.batch, v.imgsz_px, grid_stride(v.loaded.model.spec), /*pad=*/0.5);
}

Validation assemble_validation(const protocol::Start& start, train::Placement placement) {
  const config::ValOptions& options = start.val;
  const at::Device device = placement.device;
  Validation v{options,
               {start.run_directory},
               std::move(placement),
               config::read_data_set(options.data, options.single_cls),
               load_model(options.weights, device),
               {},
               {},
               {},
               0};
  check_classes(v);
  v.imgsz_px = fitting_side(options.imgsz_px, v.loaded.model.spec);
  if (v.imgsz_px != options.imgsz_px && v.is_leader()) {
    log::warning(cat("--img ", options.imgsz_px, " is not a multiple of the model's largest stride ",
                     grid_stride(v.loaded.model.spec), ": validating at ", v.imgsz_px));
  }
  scan_pictures(v, start.threads);
  cut_into_groups(v);
  return v;
}

void save_labels(const Validation& v, const train::ValidatedPiece& piece) {
  for (size_t i = 0; i < piece.samples.size(); ++i) {
    const data::Sample& sample = piece.samples[i];
    const std::string rows =
        label_rows(eval::native_detections(piece.detections[i], sample.fitting),
                   sample.fitting.native_height_px, sample.fitting.native_width_px, v.options.save_conf);
    if (!rows.empty()) {
      const std::string& stem = v.stems[static_cast<size_t>(sample.picture_index)];
      write_file_atomically(v.run.root / "labels" / (stem + ".txt"), rows);
    }
  }
}

train::ValidationJob job_of(Validation& v, const protocol::Start& start, data::DecodeFailures& failures) {
  train::ValidationJob job;
  job.communicator = v.placement.communicator.get();
  job.device = v.placement.device;
  job.loader_threads = std::max(1, std::min(v.options.workers, start.threads));
  job.pictures = &v.pictures;
  job.groups = &v.groups;
  job.imgsz_px = v.imgsz_px;
  job.class_count = v.data_set.class_count();
  job.failures = &failures;
  job.nms.confidence = static_cast<float>(v.options.confidence);
  job.nms.iou = v.options.iou;
  job.nms.max_detections = v.options.max_detections;
  job.nms.agnostic = v.options.single_cls;
  job.single_cls = v.options.single_cls;
  job.adds_labels = v.options.save_hybrid;
  job.counts_confusion = true;
  return job;
}

// The console's part of the result.
void print(const Validation& v, const train::ValidationReport& report) {
  const config::ValOptions& o = v.options;
  constexpr int many_classes = 50;
  const bool per_class = o.verbose || v.data_set.class_count() < many_classes;
  for (const std::string& line : eval::table(report.metrics, v.data_set.names, per_class)) {
    log::info(line);
  }
  log::info(printf_string(
      "Speed: %.1fms pre-process, %.1fms inference, %.1fms NMS per image at shape (%d, 3, %d, %d)",
      report.speed.load_ms, report.speed.inference_ms, report.speed.nms_ms, o.batch, v.imgsz_px, v.imgsz_px));
}

}  // namespace

ExitCode run_val(link::Link& link, const protocol::Start& start) {
  Validation v = assemble_validation(start, train::place(link, start));
  data::DecodeFailures failures([](const data::Picture& picture, const std::string& reason) {
    log::warning(cat("data: ", picture.path.string(), " can no longer be read (", reason,
                     "); a grey picture stands in for it"));
  });
  train::ValidationJob job = job_of(v, start, failures);
  if (v.options.confidence > 0.001 && v.options.task != "speed" && v.is_leader()) {
    log::warning(cat("--conf ", exact_decimal(v.options.confidence),
                     " is above 0.001: P, R and mAP are those of the detections above it"));
  }
  if (v.options.save_txt) {
    make_folder(v.run.root / "labels");
  }
  const std::string stem = std::filesystem::path(v.options.weights).stem().string();
  CocoWriter coco(v.options.save_json ? v.run.root / (stem + "_predictions.json") : "", v.pictures,
                  is_coco(v.data_set), *v.placement.communicator);
  job.on_piece = [&](const train::ValidatedPiece& piece) {
    stop_if_asked(link);
    if (v.options.save_txt) {
      save_labels(v, piece);
    }
    coco.add(piece);
  };
  const train::ValidationReport report = train::validate(job, v.loaded.model);
  coco.finish();
  if (v.is_leader()) {
    print(v, report);
    write_results(v.run, report, v.data_set.names, v.options.json);
    if (!v.options.no_plots) {
      train::draw_validation(job, v.loaded.model, report, v.run.root, v.data_set.names);
    }
    log::info(cat("Results saved to ", v.run.root.string()));
  }
  return ExitCode::ok;
}

}  // namespace yolodist::commands
