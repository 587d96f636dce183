// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/base/error.h"

namespace yolodist::test {

// What an action says when it fails as expected: "message. hint"; "" when it does not throw an E.
template <typename E, typename Action>
std::string thrown(Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.one_line();
  }
  return "";
}

}  // namespace yolodist::test
