// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/index.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/data/decode.h"
#include "worker/data/file_source.h"
#include "worker/data/picture_header.h"
#include "worker/data/picture_list.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

// Source: ultralytics/yolov5 v7.0 utils/dataloaders.py, verify_image_label.
constexpr int smallest_side_px = 10;

// What one picture came to.
struct Scanned {
  Picture picture;
  bool has_label_file = false;
  std::string left_out;  // why; "" = in
  std::string note;
  std::exception_ptr error;  // ends the run
};

void add_note(Scanned& scanned, std::string text) {
  scanned.note += scanned.note.empty() ? std::move(text) : "; " + text;
}

// Fills in the size. Decodes only where the header does not tell.
void scan_size(Scanned& scanned) {
  Picture& picture = scanned.picture;
  PictureHeader header;
  {
    FileSource file(picture.path);
    if (!file.problem().empty()) {
      scanned.left_out = file.problem();
      return;
    }
    header = read_picture_header(file);
    picture.file_bytes = file.size();
    picture.modified_ns = file.modified_ns();
  }
  if (header.state == PictureHeader::State::refused) {
    scanned.left_out = header.reason;
    return;
  }
  picture.width_px = header.width_px;
  picture.height_px = header.height_px;
  if (header.state == PictureHeader::State::must_decode) {
    const DecodeResult decoded = decode_picture(picture.path);
    if (!decoded.picture) {
      scanned.left_out = decoded.reason;
      return;
    }
    picture.width_px = decoded.picture->cols;
    picture.height_px = decoded.picture->rows;
    if (!header.reason.empty()) {
      add_note(scanned, header.reason + "; used as it decodes");
    }
  }
  if (std::min(picture.width_px, picture.height_px) < smallest_side_px) {
    scanned.left_out =
        cat(picture.width_px, " x ", picture.height_px, " pixels, sides are ", smallest_side_px, " at least");
  }
}

void scan_labels(Scanned& scanned, const LabelRules& rules) {
  Picture& picture = scanned.picture;
  std::error_code no_file;
  scanned.has_label_file = fs::is_regular_file(picture.label_path, no_file);
  if (!scanned.has_label_file) {
    return;
  }
  Labels labels;
  std::string text;
  try {
    text = read_file(picture.label_path);
  } catch (const DataError& error) {
    scanned.left_out = error.what();
    return;
  }
  labels = parse_labels(text, rules, picture.label_path);
  if (!labels.problem.empty()) {
    scanned.left_out = cat(picture.label_path.string(), ": ", labels.problem);
    return;
  }
  if (labels.duplicate_count > 0) {
    add_note(scanned, cat(labels.duplicate_count, " repeated label rows removed"));
  }
  picture.targets = std::move(labels.targets);
  picture.segments = std::move(labels.segments);
}

Scanned scan_picture(const fs::path& path, const LabelRules& rules) {
  Scanned scanned;
  try {
    scanned.picture.path = path;
    scanned.picture.label_path = label_path(path);
    scan_size(scanned);
    if (scanned.left_out.empty()) {
      scan_labels(scanned, rules);
    }
  } catch (...) {  // the head of this picture's work in a thread: handed to the caller
    scanned.error = std::current_exception();
  }
  return scanned;
}

std::string names_of(const std::vector<fs::path>& entries) {
  std::vector<std::string> names;
  for (const fs::path& entry : entries) {
    names.push_back(entry.string());
  }
  return join(names, ", ");
}

}  // namespace

int64_t Index::box_count() const {
  int64_t count = 0;
  for (const Picture& picture : pictures) {
    count += static_cast<int64_t>(picture.targets.size());
  }
  return count;
}

Index scan_range(const std::vector<fs::path>& paths, size_t first, size_t count, const ScanOptions& options) {
  check(first <= paths.size() && count <= paths.size() - first, "scan_range: within the paths");
  prepare_opencv();
  std::vector<Scanned> results(count);
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      results[i] = scan_picture(paths[first + i], options.labels);
    }
  };
  {
    std::vector<std::jthread> threads;
    const size_t thread_count = std::min(count, static_cast<size_t>(std::max(1, options.threads)));
    for (size_t i = 1; i < thread_count; ++i) {
      threads.emplace_back(work);
    }
    work();
  }
  Index index;
  for (Scanned& scanned : results) {
    if (scanned.error) {
      std::rethrow_exception(scanned.error);
    }
    if (!scanned.left_out.empty()) {
      index.scan.left_out.push_back({scanned.picture.path, std::move(scanned.left_out)});
      continue;
    }
    if (!scanned.note.empty()) {
      index.scan.notes.push_back({scanned.picture.path, std::move(scanned.note)});
    }
    int64_t& counter = !scanned.has_label_file           ? index.scan.missing
                       : scanned.picture.targets.empty() ? index.scan.empty
                                                         : index.scan.found;
    ++counter;
    index.pictures.push_back(std::move(scanned.picture));
  }
  return index;
}

Index join_parts(std::vector<Index> parts) {
  Index all;
  for (Index& part : parts) {
    std::move(part.pictures.begin(), part.pictures.end(), std::back_inserter(all.pictures));
    std::move(part.scan.left_out.begin(), part.scan.left_out.end(), std::back_inserter(all.scan.left_out));
    std::move(part.scan.notes.begin(), part.scan.notes.end(), std::back_inserter(all.scan.notes));
    all.scan.found += part.scan.found;
    all.scan.missing += part.scan.missing;
    all.scan.empty += part.scan.empty;
  }
  return all;
}

Index build_index(const std::vector<fs::path>& entries, const ScanOptions& options) {
  const std::vector<fs::path> paths = list_pictures(entries);
  Index index = scan_range(paths, 0, paths.size(), options);
  require_pictures(index, entries);
  return index;
}

void require_pictures(const Index& index, const std::vector<fs::path>& entries) {
  if (!index.pictures.empty()) {
    return;
  }
  const Scan::Remark& example = index.scan.left_out.front();
  throw DataError(cat("none of the ", index.scan.total(), " pictures of ", names_of(entries), " can be used; ",
                      example.path.string(), ": ", example.text));
}

void require_boxes(const Index& index, const std::vector<fs::path>& entries) {
  if (index.box_count() > 0) {
    return;
  }
  const std::string example =
      index.pictures.empty()
          ? ""
          : cat(" (looked for ", index.pictures.front().label_path.string(), " and its kind)");
  throw DataError(cat("no labels for the pictures of ", names_of(entries), example),
                  "Labels lie under /labels/ where the pictures lie under /images/");
}

std::string left_out_line(const Scan& scan) {
  if (scan.left_out.empty()) {
    return "";
  }
  return cat("data: ", scan.left_out.size(), " of ", scan.total(), " pictures left out, see logs/data.txt");
}

std::string scan_report(const Scan& scan, const std::string& split) {
  std::string text =
      cat(split, ": ", scan.total(), " pictures, ", scan.found, " with boxes, ", scan.missing,
          " without a label file, ", scan.empty, " with an empty one, ", scan.left_out.size(), " left out\n");
  for (const Scan::Remark& remark : scan.left_out) {
    text += cat("left out: ", remark.path.string(), ": ", remark.text, "\n");
  }
  for (const Scan::Remark& remark : scan.notes) {
    text += cat("note: ", remark.path.string(), ": ", remark.text, "\n");
  }
  return text;
}

}  // namespace yolodist::data
