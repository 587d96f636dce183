#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Sets up, builds everything, and runs all tests that need no GPU, but for the slow ones.
#   tools/test.sh [--all] [ctest arguments]     --all: the slow ones too
#   tools/test.sh -L unit                       one label
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

left_out='^(gpu|slow)$'
arguments=()
for argument in "$@"; do
  if [[ $argument == --all ]]; then
    left_out='^gpu$'
  else
    arguments+=("$argument")
  fi
done

tools/setup.sh
cmake --preset release
cmake --build build/release --parallel "$(nproc)"
ctest --test-dir build/release --output-on-failure --no-tests=error --parallel "$(nproc)" -LE "$left_out" \
  ${arguments[@]+"${arguments[@]}"}
