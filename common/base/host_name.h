// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace yolodist {

// As the host calls itself, for reports; "localhost" where it does not.
std::string host_name();

}  // namespace yolodist
