// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace yolodist::telemetry {

// A row of results.csv: one epoch.
struct EpochResult {
  int epoch = 0;                                       // from 0
  double train_box = 0, train_obj = 0, train_cls = 0;  // means over the epoch, over the global batch
  double precision = 0, recall = 0, map50 = 0, map = 0;
  double val_box = 0, val_obj = 0, val_cls = 0;
  std::array<double, 3> lr{};  // biases, decayed weights, BN weights
};

// YOLOv5's layout: 14 columns, each right-aligned in 20 characters, commas between; without the line end.
// Source: ultralytics/yolov5 v7.0 utils/loggers/__init__.py, on_fit_epoch_end.
std::string results_header();
std::string results_row(const EpochResult& result);

// Adds a row, before it the header if the file is not there or empty. One write and an fsync, so that a kill
// leaves the rows of before and at most a piece of this one, which cut_results removes. Throws StorageError
// naming the file.
void append_result(const std::filesystem::path& file, const EpochResult& result);

// The rows of a run that goes on: one that cannot be written stays for the next time. Thread-safe.
class ResultsLog {
 public:
  explicit ResultsLog(std::filesystem::path file) : file_(std::move(file)) {}
  void add(const EpochResult& result);
  // Appends what has been added. Throws StorageError; the rows then stay.
  void flush();

 private:
  const std::filesystem::path file_;
  std::mutex mutex_;
  std::vector<EpochResult> pending_;
};

// Keeps the header and the rows of epochs before `first_epoch_dropped`, for a run that goes on from a
// checkpoint; incomplete lines go too. The file is replaced atomically; if it is not there nothing happens.
void cut_results(const std::filesystem::path& file, int first_epoch_dropped);

}  // namespace yolodist::telemetry
