// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "worker/data/index.h"
#include "worker/data/sample.h"
#include "worker/eval/average_precision.h"
#include "worker/eval/confusion_matrix.h"
#include "worker/eval/detection.h"

// The pictures of a run directory. The ending of `file` (.jpg, .png) chooses the format; a file appears whole
// or not at all. A picture that cannot be drawn (no memory, unreadable results.csv) is a warning in the log:
// training does not end for it. StorageError, which names the file, is thrown on.
//
// Text is drawn by OpenCV, which knows ASCII only: any other character of a class or file name becomes '?', a
// class name without one ASCII letter or digit "class 7". Names that are too long end in "..". `names`: class
// index -> name; a class past its end is "class 7" too.
namespace yolodist::pictures {

// labels.jpg: boxes per class, all boxes laid over each other, where they lie, how large they are.
void draw_labels(const std::filesystem::path& file, const data::Index& index,
                 const std::vector<std::string>& names);

// At most so many pictures in a grid of at most so many pixels on each side.
inline constexpr int kBatchPictures = 16;
inline constexpr int kBatchSide_px = 1920;
// Detections are drawn above this score.
inline constexpr float kDrawnConfidence = 0.25f;

// train_batchN.jpg, val_batchN_labels.jpg: the first pictures of a batch with their file names (from `index`,
// by picture_index) and targets.
void draw_targets(const std::filesystem::path& file, std::span<const data::Sample> samples,
                  const data::Index& index, const std::vector<std::string>& names);
// val_batchN_pred.jpg: the same with what was found, in input pixels, a list a sample.
void draw_detections(const std::filesystem::path& file, std::span<const data::Sample> samples,
                     std::span<const std::vector<eval::Detection>> detections, const data::Index& index,
                     const std::vector<std::string>& names);

// PR_curve.png, F1_curve.png, P_curve.png, R_curve.png in `folder`. Classes have a colour and a line in the
// legend up to 20 of them; more are thin grey lines. The mean of the classes is thick.
void draw_curves(const std::filesystem::path& folder, const eval::AveragePrecision& precision,
                 const std::vector<std::string>& names);

// confusion_matrix.png: each column as shares of its sum; shares below 0.005 are blank.
void draw_confusion_matrix(const std::filesystem::path& file, const eval::ConfusionMatrix& matrix,
                           const std::vector<std::string>& names);

// results.png: ten columns of results.csv over the epochs. Lines that are not whole are left out.
void draw_results(const std::filesystem::path& file, const std::filesystem::path& results_csv);

}  // namespace yolodist::pictures
