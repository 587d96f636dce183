// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/launcher_messages.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

using nlohmann::json;

json fields(const PeerFailed& message) {
  return {{"type", "failed"}, {"report", json(run::to_json(message.report))}};
}

json fields(const PeerEnded& message) {
  json channels = json::array();
  for (const mpi::HostCollectives::Progress& progress : message.channels) {
    json recent = json::array();
    for (const protocol::Collective& collective : progress.recent) {
      recent.push_back(json::parse(protocol::encode_collective(collective)));
    }
    channels.push_back({{"started", progress.started}, {"recent", recent}});
  }
  return {{"type", "ended"},
          {"exit_code", message.exit_code},
          {"stop_was_asked", message.stop_was_asked},
          {"report", message.report ? json(run::to_json(*message.report)) : json()},
          {"channels", channels}};
}

json fields(const PeerSample& message) {
  return {{"type", "sample"}, {"sample", json::parse(protocol::encode_sample(message.sample))}};
}

json fields(const PeerBeat&) {
  return {{"type", "beat"}};
}

PeerEnded read_ended(const json& document) {
  PeerEnded message;
  message.exit_code = document.at("exit_code").get<int>();
  message.stop_was_asked = document.at("stop_was_asked").get<bool>();
  if (!document.at("report").is_null()) {
    message.report = run::failure_report_from_json(document.at("report"), "message of a launcher");
  }
  for (size_t i = 0; i < message.channels.size(); ++i) {
    const json& channel = document.at("channels").at(i);
    message.channels[i].started = channel.at("started").get<int64_t>();
    for (const json& collective : channel.at("recent")) {
      message.channels[i].recent.push_back(protocol::decode_collective(collective.dump()));
    }
  }
  return message;
}

}  // namespace

std::string encode(int attempt, const LauncherMessage& message) {
  json document = std::visit([](const auto& body) { return fields(body); }, message);
  document["v"] = protocol::version;
  document["attempt"] = attempt;
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

LauncherEnvelope decode_launcher_message(const std::string& text) {
  try {
    const json document = json::parse(text);
    check(document.at("v").get<int>() == protocol::version, "all launchers are of one build");
    const int attempt = document.at("attempt").get<int>();
    if (document.at("type") == "failed") {
      return {attempt,
              PeerFailed{run::failure_report_from_json(document.at("report"), "message of a launcher")}};
    }
    if (document.at("type") == "beat") {
      return {attempt, PeerBeat{}};
    }
    if (document.at("type") == "sample") {
      return {attempt, PeerSample{protocol::decode_sample(document.at("sample").dump())}};
    }
    return {attempt, read_ended(document)};
  } catch (const json::exception& error) {
    throw InternalError(cat("a message of another launcher cannot be read: ", error.what()),
                        "All ranks must run the same build.");
  } catch (const DataError& error) {
    throw InternalError(error.what(), "All ranks must run the same build.");
  }
}

}  // namespace yolodist::supervise
