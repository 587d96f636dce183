// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/collective_trace.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/text.h"

namespace yolodist::comm {
namespace {

constexpr std::array<std::string_view, 5> kind_names = {"all_reduce", "reduce_scatter", "all_gather",
                                                        "broadcast", "exchange"};
constexpr std::array<std::string_view, 4> state_names = {"starting", "running", "done", "failed"};

template <typename Enum, size_t N>
std::string name_of(Enum value, const std::array<std::string_view, N>& names) {
  return std::string(names.at(static_cast<size_t>(value)));
}

template <typename Enum, size_t N>
Enum named(const std::string& name, const std::array<std::string_view, N>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  check(found != names.end(), "a trace has names of our own");
  return static_cast<Enum>(found - names.begin());
}

// The collective with this number, or nullptr.
const CollectiveRecord* find(const CollectiveTrace& trace, int64_t sequence) {
  for (const CollectiveRecord& record : trace.records()) {
    if (record.sequence == sequence && record.kind != CollectiveKind::exchange) {
      return &record;
    }
  }
  return nullptr;
}

// nullptr = none yet.
const CollectiveRecord* last_of(const CollectiveTrace& trace) {
  const auto& records = trace.records();
  const auto last = std::find_if(records.rbegin(), records.rend(), [](const CollectiveRecord& record) {
    return record.kind != CollectiveKind::exchange;
  });
  return last == records.rend() ? nullptr : &*last;
}

// "rank 1" or "ranks 0, 2 and 3".
std::string ranks_text(const std::vector<size_t>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i) {
    text += cat(i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  }
  return text;
}

// "rank 1 is at #17 all_reduce …, ranks 0 and 2 at #18 broadcast …", grouped by what they are at.
std::string places_text(const std::map<std::string, std::vector<size_t>>& ranks_at) {
  std::vector<std::string> parts;
  for (const auto& [place, ranks] : ranks_at) {
    parts.push_back(
        cat(ranks_text(ranks), parts.empty() ? ranks.size() == 1 ? " is" : " are" : "", " at ", place));
  }
  return join(parts, ", ");
}

}  // namespace

std::string to_string(const CollectiveRecord& record) {
  std::string text = cat("#", record.sequence, " ", name_of(record.kind, kind_names), " of ",
                         yolodist::to_string(Bytes{record.bytes}));
  const bool has_both = !record.detail.empty() && !record.tag.empty();
  if (!record.detail.empty() || !record.tag.empty()) {
    text += cat(" (", record.detail, has_both ? ", " : "", record.tag, ")");
  }
  return text;
}

int64_t CollectiveTrace::add(CollectiveRecord record) {
  record.sequence = next_sequence_;
  if (record.kind != CollectiveKind::exchange) {
    ++next_sequence_;
  }
  records_.push_back(std::move(record));
  if (records_.size() > kept) {
    records_.pop_front();
  }
  return next_key_++;
}

void CollectiveTrace::settle(int64_t key, CollectiveRecord::State state) {
  const int64_t from_the_end = next_key_ - key;
  if (from_the_end >= 1 && from_the_end <= static_cast<int64_t>(records_.size())) {
    records_[records_.size() - static_cast<size_t>(from_the_end)].state = state;
  }
}

nlohmann::json to_json(const CollectiveTrace& trace) {
  nlohmann::json list = nlohmann::json::array();
  for (const CollectiveRecord& record : trace.records()) {
    list.push_back({{"sequence", record.sequence},
                    {"kind", name_of(record.kind, kind_names)},
                    {"bytes", record.bytes},
                    {"detail", record.detail},
                    {"tag", record.tag},
                    {"state", name_of(record.state, state_names)}});
  }
  return list;
}

CollectiveTrace trace_from_json(const nlohmann::json& document) {
  CollectiveTrace trace;
  for (const nlohmann::json& entry : document) {
    CollectiveRecord record;
    entry.at("sequence").get_to(record.sequence);
    record.kind = named<CollectiveKind>(entry.at("kind").get<std::string>(), kind_names);
    entry.at("bytes").get_to(record.bytes);
    entry.at("detail").get_to(record.detail);
    entry.at("tag").get_to(record.tag);
    record.state = named<CollectiveRecord::State>(entry.at("state").get<std::string>(), state_names);
    trace.records_.push_back(std::move(record));
  }
  return trace;
}

std::string compare(const std::vector<CollectiveTrace>& traces) {
  int64_t first = -1, last = -1;  // the numbers that any rank still knows
  for (const CollectiveTrace& trace : traces) {
    for (const CollectiveRecord& record : trace.records()) {
      if (record.kind != CollectiveKind::exchange) {
        first = first < 0 ? record.sequence : std::min(first, record.sequence);
        last = std::max(last, record.sequence);
      }
    }
  }
  for (int64_t sequence = std::max<int64_t>(first, 0); sequence <= last; ++sequence) {
    const CollectiveRecord* reference = nullptr;
    bool differ = false;
    std::map<std::string, std::vector<size_t>> calls;
    for (size_t rank = 0; rank < traces.size(); ++rank) {
      if (const CollectiveRecord* record = find(traces[rank], sequence)) {
        differ = differ || (reference != nullptr && !record->matches(*reference));
        reference = reference == nullptr ? record : reference;
        calls[to_string(*record)].push_back(rank);
      }
    }
    if (differ) {
      return cat("the ranks are out of step: ", places_text(calls));
    }
  }
  bool in_step = true;
  std::map<std::string, std::vector<size_t>> places;
  for (size_t rank = 0; rank < traces.size(); ++rank) {
    const CollectiveRecord* record = last_of(traces[rank]);
    in_step = in_step && (record == nullptr ? last < 0 : record->sequence == last);
    places[record == nullptr ? "its first collective, which it has not called" : to_string(*record)]
        .push_back(rank);
  }
  return cat(in_step ? "the ranks are in step: " : "some ranks are behind: ", places_text(places));
}

}  // namespace yolodist::comm
