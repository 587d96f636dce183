#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Installs what yolodist needs on Debian 12: packages (as root or with sudo), and LibTorch with CUDA and NCCL into
# .deps/libtorch. May be run again at any time; what is there is left alone.
# Other versions (cmake/libtorch-requirements-VERSION.txt) lie beside it, in .deps/libtorch-VERSION.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(g++ cmake ninja-build ccache libopenmpi-dev openmpi-bin libboost-program-options-dev libgtest-dev libgmock-dev
          libbenchmark-dev libyaml-cpp-dev nlohmann-json3-dev libopencv-core-dev libopencv-imgproc-dev
          libopencv-imgcodecs-dev python3 python3-pip procps git ca-certificates patchelf)
requirements=cmake/libtorch-requirements.txt
libtorch=.deps/libtorch
stamp=$libtorch/.yolodist-setup

usage() {
  cat <<'TEXT'
usage: tools/setup.sh [--no-packages] [--libtorch VERSION]
  --no-packages        do not install Debian packages (a cluster: compilers and libraries come from elsewhere)
  --libtorch VERSION   fetch another LibTorch, into .deps/libtorch-VERSION: 2.7.1, with CUDA 12.6, for older cards and
                       drivers; then cmake --preset release -B build/cuda12
                       -DYOLODIST_LIBTORCH_ROOT=.deps/libtorch-VERSION
  YOLODIST_LIBTORCH_ROOT=DIR   use the LibTorch in DIR (a site-packages folder, or the C++ zip) and fetch none
TEXT
}

say() { echo "setup: $*"; }

fail() {
  echo "setup: error: $1" >&2
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

missing_packages() {
  local known
  known=$(dpkg-query --show --showformat '${binary:Package} ${db:Status-Status}\n' 2>/dev/null |
          awk '$2 == "installed" {sub(/:.*/, "", $1); print $1}')
  local package
  for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<<"$known" || echo "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian, so packages are left to you; CMake names what it does not find. Debian calls them:"
    say "  ${packages[*]}"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    say "Debian packages: all ${#packages[@]} there"
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    # Without a terminal nobody can type a password.
    local ask=()
    [[ -t 0 ]] || ask=(-n)
    if ! command -v sudo >/dev/null || ! sudo "${ask[@]}" true; then
      fail "these Debian packages are missing, and you are neither root nor able to use sudo:" "${missing[*]}" \
           "Ask for: apt-get install ${missing[*]}" "Or, where they come from elsewhere: tools/setup.sh --no-packages"
    fi
    as_root=(sudo "${ask[@]}")
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local options=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  local log
  log=$(mktemp)
  # apt-get update ends 0 when servers are unreachable; what counts is whether the installation works.
  if ! { "${as_root[@]}" apt-get "${options[@]}" update &&
         "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
           apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install: ${missing[*]}" "Its last lines stand above. Is there a network, and a Debian 12 source?"
  fi
  rm -f "$log"
}

# Whether every pinned package lies whole under $1: each file that pip's records name is there with its size.
is_whole() {
  python3 - "$1" "$requirements" <<'PYTHON'
import csv, os, re, sys
root, requirements = sys.argv[1:]
for line in open(requirements, encoding="utf-8"):
    line = line.split("#")[0].strip()
    if not line:
        continue
    name, version = line.split("==")
    record = os.path.join(root, f"{re.sub('[-_.]+', '_', name)}-{version}.dist-info", "RECORD")
    if not os.path.exists(record):
        sys.exit(f"{name} {version} is not there")
    with open(record, encoding="utf-8", newline="") as lines:
        for path, _, size in csv.reader(lines):
            # Programs (../../bin/x) are placed elsewhere, and compiled Python has no size.
            if path.startswith("../") or not size:
                continue
            file = os.path.join(root, path)
            if not os.path.exists(file) or os.path.getsize(file) != int(size):
                sys.exit(f"{name} {version} lacks {path}, or it is cut short")
PYTHON
}

check_given_libtorch() {
  local root=$YOLODIST_LIBTORCH_ROOT
  [[ -d $root ]] || fail "YOLODIST_LIBTORCH_ROOT=$root does not exist" "Correct it, or unset it to have LibTorch fetched."
  if [[ ! -d $root/torch/include/ATen && ! -d $root/include/ATen ]]; then
    fail "YOLODIST_LIBTORCH_ROOT=$root holds neither torch/include/ATen nor include/ATen" \
         "It is a site-packages folder with torch, or the unpacked C++ zip."
  fi
  say "LibTorch: $root (YOLODIST_LIBTORCH_ROOT), nothing is fetched"
}

install_libtorch() {
  local hash
  hash=$(sha256sum <"$requirements" | cut -d' ' -f1)
  if [[ -f $stamp && $(<"$stamp") == "$hash" ]]; then
    say "LibTorch: $libtorch is up to date"
    return
  fi
  command -v python3 >/dev/null || fail "python3 is missing; pip fetches LibTorch"
  local why
  if [[ -d $libtorch ]]; then
    if why=$(is_whole "$libtorch" 2>&1); then
      echo "$hash" >"$stamp"
      say "LibTorch: $libtorch is complete"
      return
    fi
    say "LibTorch: $libtorch is fetched again ($why)"
  fi
  python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip" "Install python3-pip, or set YOLODIST_LIBTORCH_ROOT to a LibTorch that is there."

  # Fetched beside, so that what is at $libtorch is whole whenever it is there. pip does not count --target as a change
  # of the system's Python, so Debian's "externally managed" does not concern it.
  local partial=$libtorch.partial
  rm -rf "$partial"
  mkdir -p "$partial"
  say "LibTorch: fetching $(grep -c == "$requirements") pinned packages into $libtorch (2 to 3 GB; some minutes)"
  local log
  log=$(mktemp)
  if ! python3 -m pip install --target "$partial" --no-deps --only-binary :all: --disable-pip-version-check --no-input \
         --root-user-action ignore -r "$requirements" </dev/null >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -rf "$log" "$partial"
    fail "pip could not fetch LibTorch" "Its last lines stand above. Is there a network, and 6 GB of free disk?" \
         "Without one: set YOLODIST_LIBTORCH_ROOT to a LibTorch that is there."
  fi
  rm -f "$log"
  why=$(is_whole "$partial" 2>&1) || fail "what pip fetched is not complete: $why"
  rm -rf "$libtorch"
  mv "$partial" "$libtorch"
  echo "$hash" >"$stamp"
}

with_packages=yes
while (($# > 0)); do
  case $1 in
    --no-packages) with_packages=no ;;
    --libtorch)
      (($# >= 2)) || { usage >&2; exit 64; }
      shift
      requirements=cmake/libtorch-requirements-$1.txt
      libtorch=.deps/libtorch-$1
      stamp=$libtorch/.yolodist-setup
      if [[ ! -f $requirements ]]; then
        echo "setup: error: no LibTorch $1 is known: there is no $requirements" >&2
        exit 64
      fi
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done

if [[ $with_packages == yes ]]; then
  install_packages
fi
if [[ -n ${YOLODIST_LIBTORCH_ROOT:-} ]]; then
  check_given_libtorch
else
  mkdir -p .deps
  # Two at once (a demo and a test) must not fetch into the same folder.
  exec 9>.deps/.setup-lock
  flock 9
  install_libtorch
fi
