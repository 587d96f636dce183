// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "launcher/mpi/session.h"

namespace yolodist::mpi {

// Messages among launchers; never blocks. Messages of one sender arrive in the order in which they were sent.
class ControlChannel {
 public:
  explicit ControlChannel(Session& session);
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  void send_to_others(const std::string& text);
  void send(int to, const std::string& text);

  struct Incoming {
    int from = 0;
    std::string text;
  };
  std::optional<Incoming> receive();
  // Moves sends on; false when all have left.
  bool is_sending();

 private:
  struct Sending;
  struct Receiving;
  void send_shared(int to, const std::shared_ptr<const std::string>& text);

  Session& session_;
  std::list<Sending> sending_;
  std::unique_ptr<Receiving> receiving_;
};

}  // namespace yolodist::mpi
