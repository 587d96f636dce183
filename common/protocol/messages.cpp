// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/protocol/messages.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::protocol {
namespace {

using nlohmann::json;

constexpr std::array channel_names = {"small", "gradients"};
constexpr std::array kind_names = {"all_reduce", "all_gather", "broadcast"};
constexpr std::array dtype_names = {"f32", "f64", "i64", "bytes"};
constexpr std::array reduction_names = {"sum", "max", "min"};

[[noreturn]] void refuse(std::string_view line, const std::string& why, std::string hint = "") {
  constexpr size_t quoted_bytes = 120;
  std::string quoted(line.substr(0, quoted_bytes));
  for (char& c : quoted) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      c = '?';
    }
  }
  throw InternalError(
      cat("launcher-worker link: ", why, ": \"", quoted, line.size() > quoted_bytes ? "…" : "", "\""),
      std::move(hint));
}

template <typename Enum, size_t N>
Enum from_name(const json& document, const char* key, const std::array<const char*, N>& names) {
  const std::string& name = document.at(key).get_ref<const std::string&>();
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) {
      return static_cast<Enum>(i);
    }
  }
  throw std::invalid_argument(cat("unknown ", key, " '", name, "'"));
}

template <typename Enum, size_t N>
const char* name_in(Enum value, const std::array<const char*, N>& names) {
  return names.at(static_cast<size_t>(value));
}

json fields(const Collective& c) {
  return {{"type", "collective"},
          {"channel", name_of(c.channel)},
          {"sequence", c.sequence},
          {"kind", name_of(c.kind)},
          {"offset", c.offset_bytes},
          {"count", c.count},
          {"dtype", name_in(c.dtype, dtype_names)},
          {"reduction", name_in(c.reduction, reduction_names)},
          {"root", c.root}};
}

Collective read_collective(const json& d) {
  Collective c;
  c.channel = from_name<Channel>(d, "channel", channel_names);
  c.sequence = d.at("sequence").get<int64_t>();
  c.kind = from_name<CollectiveKind>(d, "kind", kind_names);
  c.offset_bytes = d.at("offset").get<int64_t>();
  c.count = d.at("count").get<int64_t>();
  c.dtype = from_name<Dtype>(d, "dtype", dtype_names);
  c.reduction = from_name<Reduction>(d, "reduction", reduction_names);
  c.root = d.at("root").get<int>();
  return c;
}

json fields(const Hello& m) {
  return {{"type", "hello"}, {"pid", m.pid}, {"device", m.device}};
}

json fields(const Resize& m) {
  return {{"type", "resize"}, {"bytes", m.bytes}};
}

json fields(const Progress& m) {
  return {{"type", "progress"},
          {"epoch", m.epoch},
          {"iteration", m.iteration},
          {"step", m.step},
          {"text", m.text}};
}

json fields(const Sample& m) {
  json d = {{"type", "sample"},
            {"iteration", m.iteration},
            {"current_bytes", m.current_bytes},
            {"peak_bytes", m.peak_bytes},
            {"reserved_bytes", m.reserved_bytes},
            {"host_bytes", m.host_bytes},
            {"phase", m.phase}};
  if (m.device_used_bytes) {
    d["device_used_bytes"] = *m.device_used_bytes;
  }
  if (m.other_processes_bytes) {
    d["other_processes_bytes"] = *m.other_processes_bytes;
  }
  return d;
}

Sample read_sample(const json& d) {
  const auto optional_bytes = [&d](const char* key) {
    return d.contains(key) ? std::optional(d.at(key).get<int64_t>()) : std::nullopt;
  };
  return {d.at("iteration").get<int64_t>(),    d.at("current_bytes").get<int64_t>(),
          d.at("peak_bytes").get<int64_t>(),   d.at("reserved_bytes").get<int64_t>(),
          d.at("host_bytes").get<int64_t>(),   d.at("phase").get<std::string>(),
          optional_bytes("device_used_bytes"), optional_bytes("other_processes_bytes")};
}

json fields(const Failure& m) {
  return {{"type", "failure"}, {"report", json(run::to_json(m.report))}};
}

json fields(const Done& m) {
  return {{"type", "done"}, {"exit_code", to_int(m.exit_code)}};
}

// The options of val and detect only with their command; those of train always.
json fields(const Start& m) {
  json document = {{"type", "start"},
                   {"rank", m.rank},
                   {"world_size", m.world_size},
                   {"local_rank", m.local_rank},
                   {"local_size", m.local_size},
                   {"threads", m.threads},
                   {"device", m.device},
                   {"device_pci", m.device_pci},
                   {"device_uuid", m.device_uuid},
                   {"run_directory", m.run_directory},
                   {"command", m.command},
                   {"options", json(config::to_json(m.options))},
                   {"share_folder", m.share_folder},
                   {"resume_checkpoint", m.resume_checkpoint},
                   {"run_token", m.run_token}};
  if (m.command == "val") {
    document["val"] = json(config::to_json(m.val));
  } else if (m.command == "detect") {
    document["detect"] = json(config::to_json(m.detect));
  }
  return document;
}

json fields(const Resized& m) {
  return {{"type", "resized"}, {"bytes", m.bytes}};
}

json fields(const CollectiveDone& m) {
  return {{"type", "collective_done"},
          {"channel", name_of(m.channel)},
          {"sequence", m.sequence},
          {"error", m.error}};
}

json fields(const Stop& m) {
  return {{"type", "stop"}, {"reason", m.reason}};
}

json fields(const PeerSample& m) {
  return {{"type", "peer_sample"}, {"rank", m.rank}, {"sample", fields(m.sample)}};
}

template <typename Message>
std::string encode_line(int attempt, const Message& message) {
  json document = std::visit([](const auto& body) { return fields(body); }, message);
  document["v"] = version;
  document["attempt"] = attempt;
  // Text that is not UTF-8 (a file name in a failure report) is shown with replacement characters.
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

ToLauncher read_to_launcher(const std::string& type, const json& d) {
  if (type == "hello") {
    return Hello{d.at("pid").get<int64_t>(), d.at("device").get<std::string>()};
  }
  if (type == "resize") {
    return Resize{d.at("bytes").get<int64_t>()};
  }
  if (type == "collective") {
    return read_collective(d);
  }
  if (type == "progress") {
    return Progress{d.at("epoch").get<int>(), d.at("iteration").get<int64_t>(), d.at("step").get<int64_t>(),
                    d.at("text").get<std::string>()};
  }
  if (type == "sample") {
    return read_sample(d);
  }
  if (type == "failure") {
    return Failure{run::failure_report_from_json(d.at("report"), "message")};
  }
  if (type == "done") {
    return Done{static_cast<ExitCode>(d.at("exit_code").get<int>())};
  }
  throw std::invalid_argument(cat("unknown message '", type, "'"));
}

ToWorker read_to_worker(const std::string& type, const json& d) {
  if (type == "start") {
    Start m;
    m.rank = d.at("rank").get<int>();
    m.world_size = d.at("world_size").get<int>();
    m.local_rank = d.at("local_rank").get<int>();
    m.local_size = d.at("local_size").get<int>();
    m.attempt = d.at("attempt").get<int>();
    m.threads = d.at("threads").get<int>();
    m.device = d.at("device").get<std::string>();
    m.device_pci = d.at("device_pci").get<std::string>();
    m.device_uuid = d.at("device_uuid").get<std::string>();
    m.run_directory = d.at("run_directory").get<std::string>();
    m.command = d.value("command", m.command);
    if (m.command == "val") {
      m.val = config::val_options_from_json(d.at("val"));
    } else if (m.command == "detect") {
      m.detect = config::detect_options_from_json(d.at("detect"));
    }
    m.options = config::train_options_from_json(d.at("options"));
    m.share_folder = d.at("share_folder").get<std::string>();
    m.resume_checkpoint = d.at("resume_checkpoint").get<std::string>();
    m.run_token = d.at("run_token").get<std::string>();
    return m;
  }
  if (type == "resized") {
    return Resized{d.at("bytes").get<int64_t>()};
  }
  if (type == "collective_done") {
    return CollectiveDone{from_name<Channel>(d, "channel", channel_names), d.at("sequence").get<int64_t>(),
                          d.at("error").get<std::string>()};
  }
  if (type == "stop") {
    return Stop{d.at("reason").get<std::string>()};
  }
  if (type == "peer_sample") {
    return PeerSample{d.at("rank").get<int>(), read_sample(d.at("sample"))};
  }
  throw std::invalid_argument(cat("unknown message '", type, "'"));
}

template <typename Message, typename Reader>
Envelope<Message> decode_line(std::string_view line, const Reader& read) {
  const json document = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    refuse(line, "not a message");
  }
  try {
    if (const int theirs = document.at("v").get<int>(); theirs != version) {
      refuse(line, cat("protocol version ", theirs, ", here it is ", version),
             "yolodist and yolodist-worker are of different builds: install both from one build.");
    }
    return {document.at("attempt").get<int>(), read(document.at("type").get<std::string>(), document)};
  } catch (const json::exception& error) {
    refuse(line, error.what());
  } catch (const std::invalid_argument& error) {
    refuse(line, error.what());
  } catch (const UsageError& error) {
    refuse(line, error.what());
  } catch (const DataError& error) {
    refuse(line, error.what());
  }
}

}  // namespace

size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return 4;
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::bytes:
      return 1;
  }
  return 1;
}

const char* name_of(Channel channel) {
  return name_in(channel, channel_names);
}

const char* name_of(CollectiveKind kind) {
  return name_in(kind, kind_names);
}

std::string encode(int attempt, const ToLauncher& message) {
  return encode_line(attempt, message);
}

std::string encode(int attempt, const ToWorker& message) {
  return encode_line(attempt, message);
}

Envelope<ToLauncher> decode_to_launcher(std::string_view line) {
  return decode_line<ToLauncher>(line, read_to_launcher);
}

Envelope<ToWorker> decode_to_worker(std::string_view line) {
  return decode_line<ToWorker>(line, read_to_worker);
}

std::string encode_collective(const Collective& collective) {
  return fields(collective).dump();
}

Collective decode_collective(std::string_view text) {
  try {
    return read_collective(json::parse(text));
  } catch (const json::exception& error) {
    refuse(text, error.what());
  } catch (const std::invalid_argument& error) {
    refuse(text, error.what());
  }
}

std::string encode_sample(const Sample& sample) {
  return fields(sample).dump(-1, ' ', false, json::error_handler_t::replace);
}

Sample decode_sample(std::string_view text) {
  try {
    return read_sample(json::parse(text));
  } catch (const json::exception& error) {
    refuse(text, error.what());
  }
}

void LineReader::append(std::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    searched_ -= begin_;
    begin_ = 0;
  }
  buffer_.append(bytes);
}

bool LineReader::next(std::string& line) {
  const size_t end = buffer_.find('\n', searched_);
  const size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
  if (length > max_line_bytes) {
    refuse(std::string_view(buffer_).substr(begin_), cat("a line of more than ", max_line_bytes, " bytes"));
  }
  if (end == std::string::npos) {
    searched_ = buffer_.size();
    return false;
  }
  line.assign(buffer_, begin_, length);
  begin_ = end + 1;
  searched_ = begin_;
  return true;
}

}  // namespace yolodist::protocol
