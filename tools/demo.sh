#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a trained model: sets up, builds, and trains yolov5n at 1280 pixels on the shipped sample with two
# ranks. Arguments are passed on to yolodist.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh
cmake --preset release
cmake --build build/release --parallel "$(nproc)" --target yolodist yolodist-worker

# Containers run as root, and a small machine has fewer cores than ranks.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
before=$(mktemp)
trap 'rm -f "$before"' EXIT
echo "demo: mpirun -np 2 --bind-to none build/release/bin/yolodist $*"
mpirun -np 2 --bind-to none build/release/bin/yolodist "$@"

# The run directory is the one whose run.yaml is newer than this script's start.
found=$(find runs -name run.yaml -newer "$before" -printf '%T@ %h\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2-)
if [[ -z $found ]]; then
  echo "demo: the run ended well but left no run directory under runs/" >&2
  exit 1
fi
echo "demo: the run directory is $PWD/$found"
