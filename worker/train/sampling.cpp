// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/sampling.h"

#include <chrono>

#include "worker/memory/meter.h"

namespace yolodist::train {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds interval = 1s;
constexpr std::chrono::milliseconds write_interval = 2s;

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) / 1000;
}

}  // namespace

Sampling::Sampling(const Training& training, const LaunchLink& link, telemetry::MetricsLog* metrics)
    : rank_(training.rank),
      attempt_(training.attempt),
      device_(training.device),
      card_(training.device_uuid),
      link_(link),
      metrics_(metrics),
      iteration_(training.iteration()),
      ticker_(interval, [this] { tick(); }) {
  memory::publish_phase();
  if (metrics_ != nullptr) {
    writer_.emplace(write_interval, [this] { metrics_->publish(); });
  }
  if (metrics_ != nullptr && link_.on_peer_sample) {
    link_.on_peer_sample([this](const protocol::PeerSample& peer) { add(peer.rank, peer.sample); });
  }
}

Sampling::~Sampling() {
  if (metrics_ != nullptr && link_.on_peer_sample) {
    link_.on_peer_sample(nullptr);
  }
}

void Sampling::add(int rank, const protocol::Sample& sample) {
  metrics_->add(telemetry::SampleRow{.attempt = attempt_,
                                     .time_s = seconds_since_1970(),
                                     .rank = rank,
                                     .iteration = sample.iteration,
                                     .allocated_bytes = sample.current_bytes,
                                     .peak_bytes = sample.peak_bytes,
                                     .reserved_bytes = sample.reserved_bytes,
                                     .host_bytes = sample.host_bytes,
                                     .phase = sample.phase,
                                     .device_used_bytes = sample.device_used_bytes,
                                     .other_processes_bytes = sample.other_processes_bytes});
}

void Sampling::tick() {
  const memory::Reading reading = memory::read(device_);
  protocol::Sample sample{.iteration = iteration_.load(std::memory_order_relaxed),
                          .current_bytes = reading.current_bytes,
                          .peak_bytes = reading.highest_bytes,
                          .reserved_bytes = reading.reserved_bytes,
                          .host_bytes = reading.host_bytes,
                          .phase = memory::name_of(memory::published_phase())};
  if (const std::optional<memory::CardUse> use = card_.read()) {
    sample.device_used_bytes = use->used_bytes;
    sample.other_processes_bytes = use->others_bytes;
  }
  if (link_.send_sample) {
    link_.send_sample(sample);  // the launcher's sign of life, on rank 0, too
  }
  if (metrics_ != nullptr) {
    add(rank_, sample);
  }
}

}  // namespace yolodist::train
