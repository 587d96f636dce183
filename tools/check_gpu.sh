#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Checks and measures yolodist on this machine's first card. docs/testing.md says what each check needs.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

device=cuda
output=
build=$root/build/release
quick=no
dry_run=no
only=

usage() {
  cat <<'TEXT'
usage: tools/check_gpu.sh [--device cuda|cpu] [--output DIR] [--build DIR] [--quick] [--only NAME,…] [--dry-run]
  Runs the tests that need a card and measures memory and speed on it, from a build (build/release) or from a bundle
  made by tools/bundle.sh --with-mpi --with-tests. Writes report.json, report.md and a log of each check.
  --output DIR    where to (./gpu-check-CARD)
  --build DIR     a finished build
  --quick         fewer and smaller measurements
  --only NAME,…   these checks
  --device cpu    everything with the CPU in the card's place: shows that the checks work, not that the card does
  --dry-run       lists each check, what it needs and its command; runs nothing
  YOLODIST_PYTHON_PEER names a Python with yolov5 7.0.14, to be measured beside.
Ends 0 when nothing failed, 1 when a check failed, 69 where there is no usable card, 130 when it was interrupted: what
was found until then is in the report.
TEXT
}

while (($# > 0)); do
  case $1 in
    --device) device=${2:?--device needs cuda or cpu}; shift ;;
    --output) output=${2:?--output needs a folder}; shift ;;
    --build) build=$(realpath -m "${2:?--build needs a folder}"); shift ;;
    --only) only=,${2:?--only needs names},; shift ;;
    --quick) quick=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done
[[ $device == cuda || $device == cpu ]] || { usage >&2; exit 64; }

# A bundle has its programs below itself.
bin=$build/bin programs=$build/tests bench=$build/bin/memory_bench
if [[ -x $root/bin/yolodist ]]; then
  bin=$root/bin programs=$root/libexec bench=$root/libexec/memory_bench
fi
python=$(command -v python3 || true)

# The first card, and the same one for CUDA and the driver.
CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-0}
export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES%%,*}
export YOLODIST_GPU_TEST_DEVICE=$device YOLODIST_BIN=$bin YOLODIST_SOURCE_DIR=$root YOLODIST_SHARE=$root/share/yolodist
export OMP_WAIT_POLICY=PASSIVE OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

nccl_rank=nccl_rank memory=(--device "$device") speed=(--device "$device")
if [[ $device == cpu ]]; then
  nccl_rank=nccl_rank_double
  [[ $quick == no ]] || memory+=(--models yolov5n --sides 64 --batches 2)
  [[ $quick == yes ]] || memory+=(--models yolov5n yolov5s --sides 320 --batches 1 2)
  memory+=(--precisions fp32)
  speed+=(--models yolov5n --imgs 128 160 --batches 4)
  [[ $quick == no ]] || speed+=(--imgs 64 --iterations 3 --warmup 1 --rounds 1 --threads 1 --workers 1 --no-peer)
  [[ $quick == yes ]] || speed+=(--iterations 12 --warmup 3 --rounds 2)
elif [[ $quick == yes ]]; then
  memory+=(--models yolov5n yolov5n6 --sides 320 --batches 1 4)
  speed+=(--models yolov5n --iterations 15 --rounds 1)
else
  memory+=(--sides 320 640)
fi

# name | seconds at most | what it needs | what it shows; then its command.
names=() limits=() needs=() shows=() commands=()
add() {
  names+=("$1") limits+=("$2") needs+=("$3") shows+=("$4")
  shift 4
  commands+=("$(printf '%q ' "$@")")
}
json=RESULTS  # replaced by the output folder
add doctor 120 "a driver that CUDA accepts" "driver, versions, whether the worker starts" \
  "$bin/yolodist" doctor --device "$device"
add parity 600 "a card" "a step of yolov5n and yolov5s6 against the CPU, fp32 and fp16" "$programs/gpu_parity_test"
add nccl 400 "a card; for two ranks on it that NCCL allows that, else told as not supported here" \
  "every collective with one rank, and with two on one card" "$python" "$root/tests/gpu/nccl.py" "$programs/$nccl_rank"
add training 900 "a card" "losses of some steps against the CPU's; checkpoints from card to CPU and back" \
  "$python" "$root/tests/gpu/training.py"
add out_of_memory 900 "a card" "memory that runs out is found, reported and answered" \
  "$python" "$root/tests/gpu/out_of_memory.py"
add memory 2400 "a card; the driver's library for what lies outside of the allocator" \
  "plans against the allocator's peaks and the driver's figures" \
  "$python" "$root/tools/bench_memory.py" --bench "$bench" "${memory[@]}" --json "$json/memory.json"
add speed 3600 "a card; a Python with yolov5 for the comparison" "img/s, memory, time to the first step at 640 and 1280 px" \
  "$python" "$root/tools/bench_train.py" --yolodist "$bin/yolodist" "${speed[@]}" --json "$json/speed.json"

if [[ -n $only ]]; then
  IFS=, read -ra wanted <<<"${only:1}"
  for name in "${wanted[@]:-}"; do
    [[ -n $name && " ${names[*]} " == *" $name "* ]] || {
      echo "check_gpu: --only: no check is named '$name'; there are: ${names[*]}" >&2
      exit 64
    }
  done
fi
is_wanted() { [[ -z $only || $only == *,$1,* ]]; }

if [[ $dry_run == yes ]]; then
  for i in "${!names[@]}"; do
    is_wanted "${names[i]}" || continue
    printf '%s (at most %d s)\n  shows    %s\n  needs    %s\n  command  %s\n' "${names[i]}" "${limits[i]}" "${shows[i]}" \
      "${needs[i]}" "${commands[i]% }"
  done
  exit 0
fi

require_programs() {
  for program in "$bin/yolodist" "$bench" "$programs/gpu_parity_test" "$programs/$nccl_rank"; do
    [[ -x $program ]] || {
      echo "check_gpu: $program is not there" >&2
      echo "  Build it: cmake --build $build; or make the bundle with --with-tests." >&2
      exit 1
    }
  done
}

fail_unavailable() {
  echo "check_gpu: $1" >&2
  echo "  Nothing was checked. --dry-run lists the checks; --device cpu runs them with the CPU in the card's place." >&2
  exit 69
}
[[ -n $python ]] || { echo "check_gpu: python3 is missing (the checks need its standard library)" >&2; exit 1; }

card=cpu
if [[ $device == cuda ]]; then
  card=$(cd "$root/tools" && "$python" -B -c '
import os, sys, nvml
try:
    card = nvml.Card(os.environ["CUDA_VISIBLE_DEVICES"])
    print(f"{card.name()}\t{card.driver()}\t{card.total_bytes() >> 20}")
except nvml.NoCard as error:
    print(error)
    sys.exit(69)
') || fail_unavailable "no usable card on $(uname -n): $card"
  IFS=$'\t' read -r card driver mib <<<"$card"
  echo "card: $card, driver $driver, $mib MiB"
  command -v nvidia-smi >/dev/null && nvidia-smi || echo "nvidia-smi is not there; the driver's library is asked instead"
  require_programs
  "$bin/yolodist" doctor --device cuda >/dev/null 2>&1 || {
    "$bin/yolodist" doctor --device cuda
    fail_unavailable "yolodist doctor says that the card cannot be used"
  }
fi
require_programs
output=${output:-$PWD/gpu-check-$(tr -cs '[:alnum:]\n' - <<<"$card")}
mkdir -p "$output" || exit 1
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$output/results.tsv
: >"$results"

# Of a log: why a check was skipped, whole or in part; GoogleTest's and unittest's.
skips_in() { grep -aoE "no card to test on[^']*|not supported here[^']*" "$1" | sort -u | head -n 3 | paste -sd ';' | cut -c 1-400; }

# name, state, seconds, shows, reason
record() {
  printf '%s\t%s\t%d\t%s\t%s\n' "$@" >>"$results"
  echo "   $2 in $3 s${5:+: $5}"
}

failed=0
report() {
  "$python" -B "$root/tools/gpu_report.py" --card "$card" --device "$device" --yolodist "$bin/yolodist" "$output" || failed=1
  echo "report: $output/report.md, $output/report.json"
}

# `timeout` has a process group of its own, which a terminal's Ctrl-C does not reach: it passes the signal on.
pid=
interrupt() {
  trap '' INT TERM
  if [[ -n $pid ]]; then
    kill -TERM "$pid" 2>/dev/null
    wait "$pid"
    record "$name" failed $((SECONDS - begin)) "${shows[i]}" interrupted
  fi
  report
  exit 130
}
trap interrupt INT TERM

for i in "${!names[@]}"; do
  name=${names[i]}
  is_wanted "$name" || continue
  log=$output/$name.log
  echo "== $name: ${shows[i]}"
  begin=$SECONDS
  rm -f "$output/$name.json"  # of a run before
  # In the background, as bash would see to a signal only at the check's end.
  (cd "$work" && eval "exec timeout --kill-after=20 ${limits[i]} ${commands[i]//RESULTS/$(printf %q "$output")}") >"$log" 2>&1 &
  pid=$!
  wait "$pid"
  code=$? pid=
  reason=$(skips_in "$log")
  case $code in
    0) state=passed ;;
    77) state=skipped ;;
    124 | 137) state=failed reason="not done after ${limits[i]} s" ;;
    *) state=failed reason="exit $code: $(grep -av '^[[:space:]]*$' "$log" | tail -n 1 | tr '\t\r' '  ' | cut -c 1-300)" ;;
  esac
  if [[ $code == 0 ]] && grep -aq '^\[  SKIPPED \]' "$log" && ! grep -aq '^\[       OK \]' "$log"; then
    state=skipped
  fi
  [[ $state != failed ]] || failed=1
  record "$name" "$state" $((SECONDS - begin)) "${shows[i]}" "$reason"
done
report
exit $failed
