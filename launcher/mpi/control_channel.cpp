// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/control_channel.h"

#include <utility>

#include "launcher/mpi/communicators.h"

namespace yolodist::mpi {
namespace {

constexpr int control_tag = 1;

}  // namespace

struct ControlChannel::Sending {
  std::shared_ptr<const std::string> text;
  MPI_Request request = MPI_REQUEST_NULL;
};

struct ControlChannel::Receiving {
  Incoming incoming;
  MPI_Request request = MPI_REQUEST_NULL;
};

ControlChannel::ControlChannel(Session& session) : session_(session) {}

ControlChannel::~ControlChannel() = default;

void ControlChannel::send_to_others(const std::string& text) {
  const auto shared = std::make_shared<const std::string>(text);
  for (int rank = 0; rank < session_.size(); ++rank) {
    if (rank != session_.rank()) {
      send_shared(rank, shared);
    }
  }
}

void ControlChannel::send(int to, const std::string& text) {
  send_shared(to, std::make_shared<const std::string>(text));
}

void ControlChannel::send_shared(int to, const std::shared_ptr<const std::string>& text) {
  Sending& sending = sending_.emplace_back(Sending{text});
  check_mpi(MPI_Isend(text->data(), static_cast<int>(text->size()), MPI_BYTE, to, control_tag,
                      session_.communicators().control, &sending.request),
            "MPI_Isend");
}

std::optional<ControlChannel::Incoming> ControlChannel::receive() {
  if (!receiving_) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    check_mpi(
        MPI_Improbe(MPI_ANY_SOURCE, control_tag, session_.communicators().control, &found, &message, &status),
        "MPI_Improbe");
    if (found == 0) {
      return std::nullopt;
    }
    int bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    receiving_ = std::make_unique<Receiving>();
    receiving_->incoming = {status.MPI_SOURCE, std::string(static_cast<size_t>(bytes), '\0')};
    check_mpi(MPI_Imrecv(receiving_->incoming.text.data(), bytes, MPI_BYTE, &message, &receiving_->request),
              "MPI_Imrecv");
  }
  int done = 0;
  check_mpi(MPI_Test(&receiving_->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  if (done == 0) {
    return std::nullopt;
  }
  return std::move(std::exchange(receiving_, nullptr)->incoming);
}

bool ControlChannel::is_sending() {
  for (auto sending = sending_.begin(); sending != sending_.end();) {
    int done = 0;
    check_mpi(MPI_Test(&sending->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    sending = done != 0 ? sending_.erase(sending) : std::next(sending);
  }
  return !sending_.empty();
}

}  // namespace yolodist::mpi
