#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Whether yolodist builds and runs with another LibTorch: fetches it (.deps/libtorch-VERSION), compiles and links both
# programs against it (build/libtorch-VERSION), starts them, and trains a few iterations on the CPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TEXT'
usage: tools/check_libtorch.sh VERSION [--tests] [--jobs N]
  VERSION      2.7.1: a version for which there is cmake/libtorch-requirements-VERSION.txt
  --tests      build and run the worker's tests that meet LibTorch's insides, too
  --jobs N     compile N files at once (default: one a core)
  YOLODIST_BUILD=DIR   another build folder
TEXT
}

fail() {
  echo "check_libtorch: error: $1" >&2
  exit 1
}

version=
with_tests=OFF
jobs=$(nproc)
while (($# > 0)); do
  case $1 in
    --tests) with_tests=ON ;;
    --jobs) (($# >= 2)) || { usage >&2; exit 64; }; jobs=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 64 ;;
    *) [[ -z $version ]] || { usage >&2; exit 64; }; version=$1 ;;
  esac
  shift
done
if [[ -z $version ]]; then
  usage >&2
  exit 64
fi

# One that is given is not to be checked under another one's name.
unset YOLODIST_LIBTORCH_ROOT
tools/setup.sh --no-packages --libtorch "$version"
root=$PWD/.deps/libtorch-$version
build=${YOLODIST_BUILD:-build/libtorch-$version}

cmake --preset release -B "$build" -DYOLODIST_LIBTORCH_ROOT="$root" -DYOLODIST_BUILD_TESTS=$with_tests \
      -DYOLODIST_TEST_ROOMS='unit/worker/(ops|parallel|memory|checkpoint|comm_nccl)'
ninja -C "$build" -j "$jobs"

bin=$PWD/$build/bin
[[ $build == /* ]] && bin=$build/bin
told=$("$bin/yolodist" --version)
grep -q "LibTorch $version\$" <<<"$told" || fail "the programs are not built with LibTorch $version: $told"

# It says that a launcher starts it, and ends with 64: every library was found, every symbol too.
code=0
said=$(LD_BIND_NOW=1 "$bin/yolodist-worker" 2>&1) || code=$?
((code == 64)) || fail "yolodist-worker does not start (exit code $code): $said"
if ldd "$bin/yolodist-worker" | grep "not found"; then
  fail "yolodist-worker lacks the libraries above"
fi
if ! ldd "$bin/yolodist-worker" | grep -q " $root/torch/lib/libtorch_cuda.so"; then
  fail "yolodist-worker takes its LibTorch from elsewhere than $root"
fi

runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
(cd "$runs" && "$bin/yolodist" --data "$OLDPWD/share/yolodist/sample/sample.yaml" --cfg yolov5n --img 64 --batch 4 \
   --workers 1 --device cpu --max-iterations 3 --project runs --name check)
[[ -s $runs/runs/check/weights/last.pt ]] || fail "the training left no checkpoint"
if [[ $with_tests == ON ]]; then
  ctest --test-dir "$build" --output-on-failure
fi
echo "check_libtorch: LibTorch $version: built, linked, started, and trained 3 iterations on the CPU"
