// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/row_exchange.h"

#include <algorithm>
#include <chrono>

#include "common/base/error.h"
#include "worker/train/training.h"

namespace yolodist::train {
namespace {

// Bytes are exact in a double up to 2^53.
constexpr size_t report_length = 6;

void write_report(const RankReport& report, double* to) {
  to[0] = report.ran_out ? 1 : 0;
  to[1] = static_cast<double>(report.current_bytes);
  to[2] = static_cast<double>(report.peak_bytes);
  to[3] = static_cast<double>(report.reserved_bytes);
  to[4] = report.ready_ms;
  to[5] = report.lost_link ? 1 : 0;
}

RankReport read_report(const double* from) {
  return {.ran_out = from[0] > 0,
          .lost_link = from[5] > 0,
          .current_bytes = static_cast<int64_t>(from[1]),
          .peak_bytes = static_cast<int64_t>(from[2]),
          .reserved_bytes = static_cast<int64_t>(from[3]),
          .ready_ms = from[4]};
}

}  // namespace

RowExchange::RowExchange(const std::vector<std::vector<int>>& groups_of_rank, size_t row_length)
    : groups_of_rank_(groups_of_rank), row_length_(row_length) {
  size_t rows_a_rank = 0, rows = 0;
  for (const auto& groups : groups_of_rank) {
    rows_a_rank = std::max(rows_a_rank, groups.size());
    rows += groups.size();
  }
  rank_length_ = report_length + rows_a_rank * row_length;
  mine_.assign(rank_length_, 0);
  all_.resize(rank_length_ * groups_of_rank.size());
  rows_.resize(rows);
}

void RowExchange::start(comm::Communicator& communicator, const RankReport& mine,
                        const std::vector<std::vector<double>>& rows) {
  write_report(mine, mine_.data());
  for (size_t i = 0; i < rows.size(); ++i) {
    check(rows[i].size() == row_length_, "rows of the exchange have one length");
    std::copy(rows[i].begin(), rows[i].end(),
              mine_.begin() + static_cast<long>(report_length + i * row_length_));
  }
  work_ = communicator.all_gather(mine_.data(), mine_.size() * sizeof(double), all_.data());
}

void RowExchange::finish() {
  work_->wait(Deadline::after(peer_patience));
  work_.reset();
  for (size_t rank = 0; rank < groups_of_rank_.size(); ++rank) {
    const double* from = all_.data() + rank * rank_length_;
    reports_.push_back(read_report(from));
    from += report_length;
    for (const int group : groups_of_rank_[rank]) {
      rows_[static_cast<size_t>(group)] = {from, from + row_length_};
      from += row_length_;
    }
  }
}

bool RowExchange::anyone_ran_out() const {
  return std::any_of(reports_.begin(), reports_.end(),
                     [](const RankReport& report) { return report.ran_out; });
}

bool RowExchange::anyone_lost_link() const {
  return std::any_of(reports_.begin(), reports_.end(),
                     [](const RankReport& report) { return report.lost_link; });
}

}  // namespace yolodist::train
