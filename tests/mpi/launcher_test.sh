#!/bin/bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# The launcher as a user runs it, with a worker that needs no LibTorch.
#   launcher_test.sh FAKE_WORKER CASE [RANKS]
set -u
fake=$1 name=$2 ranks=${3:-2}
yolodist=$YOLODIST_BIN/yolodist
folder=$(mktemp -d)
cleanup() { rm -rf "$folder"; }
trap cleanup EXIT

mkdir -p "$folder/images"
printf 'train: images\nval: images\nnames: [a, b]\n' >"$folder/data.yaml"
cd "$folder" || exit 1

# Words of `yolodist train` with the fake worker in mode $1 (special rank $2).
train() {
  echo train --data data.yaml --cfg yolov5n --device cpu --project runs --max-restarts 0
}
fail() {
  echo "FAILED: $*"
  echo "--- output"
  cat out 2>/dev/null
  exit 1
}
# under_mpirun SECONDS WORKER_MODE [options]: runs, keeps the output in `out`, sets rc and seconds.
under_mpirun() {
  local limit=$1 mode=$2 begin=$SECONDS
  shift 2
  timeout -k 5 "$limit" mpirun --bind-to none -np "$ranks" "$yolodist" $(train) --worker-prefix "$fake $mode" "$@" >out 2>&1
  rc=$?
  seconds=$((SECONDS - begin))
}
expect_rc() { [ "$rc" = "$1" ] || fail "exit code $rc, should be $1"; }
expect_text() { grep -qF -- "$1" out || fail "the output lacks: $1"; }
expect_fast() { [ "$seconds" -le 10 ] || fail "took $seconds s"; }
# Nothing that names this test's folder or worker may be left.
expect_nothing_left() {
  local left=
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    left=$(pgrep -f -- "--project runs --worker-prefix $fake" | while read -r pid; do
      [ "$(readlink "/proc/$pid/cwd")" = "$folder" ] && echo "$pid"
    done
    pgrep -f -- "^$fake" | while read -r pid; do
      [ "$(readlink "/proc/$pid/cwd")" = "$folder" ] && echo "$pid"
    done)
    [ -z "$left" ] && return
    sleep 0.3
  done
  fail "processes left: $left"
}
wait_for_text() { # FILE TEXT SECONDS
  for _ in $(seq $(($3 * 10))); do
    grep -qF -- "$2" "$1" 2>/dev/null && return
    sleep 0.1
  done
  fail "no '$2' within $3 s"
}
# The pids of the workers of this test.
workers() {
  for pid in $(pgrep -f -- "^$fake"); do
    [ "$(readlink "/proc/$pid/cwd")" = "$folder" ] && echo "$pid"
  done
}
wait_for_workers() { # COUNT
  for _ in $(seq 100); do
    [ "$(workers | wc -l)" = "$1" ] && return
    sleep 0.1
  done
  fail "$(workers | wc -l) workers, should be $1"
}

case $name in
collectives)
  under_mpirun 50 collectives
  expect_rc 0
  expect_nothing_left
  [ -f runs/exp/run.yaml ] || fail "no run.yaml"
  grep -q "world_size: $ranks" runs/exp/run.yaml || fail "run.yaml lacks the world size"
  [ -z "$(ls runs/exp/failures)" ] || fail "a failure was reported"
  ;;
samples) # memory of every rank reaches rank 0; monitor reads the run without MPI
  under_mpirun 30 samples
  expect_rc 0
  expect_nothing_left
  [ -z "$(ls runs/exp/failures)" ] || fail "a failure was reported"
  # With these words MPI_Init would end the process.
  OMPI_MCA_btl=nothing OMPI_MCA_pml=nothing timeout 10 "$yolodist" monitor exp --project runs >out 2>&1
  rc=$?
  expect_rc 0
  expect_text "$folder/runs/exp: starting"
  expect_text "rank  phase"
  [ "$(grep -c '^ *[0-9]  -' out)" = "$ranks" ] || fail "not a line a rank"
  ;;
data-error) # a worker that says why
  under_mpirun 30 "data-error $((ranks - 1))"
  expect_rc 65
  expect_fast
  expect_text "rank $((ranks - 1)) on $(hostname): labels/7.txt:3: class 91, the data set has 80. Fix the label."
  [ "$(grep -c 'labels/7.txt:3' out)" = 1 ] || fail "said more than once"
  [ "$(ls runs/exp/failures)" = "attempt-0.rank-$((ranks - 1)).json" ] || fail "failures: $(ls runs/exp/failures)"
  expect_nothing_left
  ;;
killed) # a worker that cannot say anything
  under_mpirun 30 "killed 0"
  expect_rc 137
  expect_fast
  expect_text "rank 0 on $(hostname): the worker was killed by SIGKILL in epoch 1, iteration 4"
  expect_nothing_left
  ;;
killed-busy) # while the others have reductions under way
  under_mpirun 30 "killed-busy $((ranks - 1))"
  expect_rc 137
  expect_fast
  expect_text "the worker was killed by SIGKILL"
  expect_nothing_left
  ;;
exit-codes)
  under_mpirun 30 "exit3 1"
  expect_rc 3
  expect_text "the worker ended with exit code 3"
  under_mpirun 30 "exit0 1"
  expect_rc 70
  expect_text "the worker ended with exit code 0"
  expect_nothing_left
  ;;
stubborn) # workers that ignore SIGTERM
  under_mpirun 30 "stubborn 1"
  expect_rc 137
  expect_fast
  expect_nothing_left
  ;;
no-room)
  under_mpirun 30 no-room
  expect_rc 74
  expect_text "no room for 64.0 MiB of shared memory"
  expect_nothing_left
  ;;
stop-one-rank) # a signal to one launcher stops all ranks
  mpirun --bind-to none -np "$ranks" "$yolodist" $(train) --worker-prefix "$fake steady" >out 2>&1 &
  mpirun=$!
  wait_for_workers "$ranks"
  sleep 0.5
  launcher=$(ps -o ppid= -p "$(workers | tail -1)" | tr -d ' ')
  kill -USR1 "$launcher"
  wait $mpirun
  rc=$?
  expect_rc 75
  expect_text "asks all ranks to save and stop"
  expect_text "state saved; go on with: yolodist train --resume $folder/runs/exp"
  expect_nothing_left
  ;;
stop-worker) # SLURM signals every process: one to a worker counts as well
  mpirun --bind-to none -np "$ranks" "$yolodist" $(train) --worker-prefix "$fake steady" >out 2>&1 &
  mpirun=$!
  wait_for_workers "$ranks"
  sleep 0.5
  kill -TERM "$(workers | tail -1)"
  wait $mpirun
  rc=$?
  expect_rc 75
  expect_nothing_left
  ;;
without-mpirun) # --ranks N starts mpirun; SIGTERM and SIGINT to it stop the job in order
  for signal in TERM INT; do
    # A background job of a script ignores SIGINT; env gives it back.
    env --default-signal=INT "$yolodist" $(train) --ranks "$ranks" --worker-prefix "$fake steady" >out 2>&1 &
    front=$!
    wait_for_workers "$ranks"
    sleep 0.5
    kill -$signal $front
    wait $front
    rc=$?
    expect_rc 75
    expect_text "starting $ranks ranks: mpirun"
  done
  expect_nothing_left
  ;;
second-interrupt)
  env --default-signal=INT "$yolodist" $(train) --worker-prefix "$fake steady" >out 2>&1 &
  front=$!
  wait_for_workers 1
  kill -STOP "$(workers)" # it cannot stop by itself
  kill -INT $front
  wait_for_text out "SIGINT: rank 0 asks" 5
  kill -INT $front
  wait $front
  rc=$?
  expect_rc 130
  expect_nothing_left
  ;;
launcher-killed) # the worker does not outlive its launcher
  "$yolodist" $(train) --worker-prefix "$fake steady" >out 2>&1 &
  front=$!
  wait_for_workers 1
  kill -KILL $front
  wait $front
  expect_nothing_left
  ;;
front-killed) # nor do mpirun and its ranks outlive the program that started them
  "$yolodist" $(train) --ranks 2 --worker-prefix "$fake steady" >out 2>&1 &
  front=$!
  wait_for_workers 2
  kill -KILL $front
  wait $front
  sleep 2.5 # mpirun's own way to end its ranks takes two seconds
  expect_nothing_left
  ;;
environment)
  CUDA_VISIBLE_DEVICES=7 OMP_WAIT_POLICY= under_mpirun 30 environment
  unset_text=$(grep -E '\] (OMPI_|PMIX|PMI_|PRTE_|ORTE_)' out)
  [ -z "$unset_text" ] || fail "launch variables reached the worker: $unset_text"
  expect_rc 0
  expect_text "[0] CUDA_VISIBLE_DEVICES=7"
  expect_text "[0] GOMP_SPINCOUNT=0"
  grep -E '\] descriptor' out | grep -vE 'descriptor [0-4]$' && fail "descriptors reached the worker"
  # The option wins over what the environment says for MPI and NCCL, and says so once.
  OMPI_MCA_btl_tcp_if_exclude=eth7 NCCL_SOCKET_IFNAME=eth under_mpirun 30 environment --net-if 127.0.0.0/8
  expect_rc 0
  expect_text "[0] NCCL_SOCKET_IFNAME==lo"
  expect_text "[1] NCCL_SOCKET_IFNAME==lo"
  grep -qE '\] NCCL_SOCKET_IFNAME=eth' out && fail "what the option replaces reached the worker"
  said='--net-if 127.0.0.0/8 takes the place of OMPI_MCA_btl_tcp_if_exclude=eth7 NCCL_SOCKET_IFNAME=eth in the environment'
  [ "$(grep -cF -- "$said" out)" = 1 ] || fail "not said exactly once: $said"
  ;;
threads) # mpirun's default binding of one core a rank is widened
  cores=$(nproc)
  timeout 30 mpirun -np 2 "$yolodist" $(train) --worker-prefix "$fake environment" >out 2>&1
  rc=$?
  expect_rc 0
  expect_text "[0] threads $((cores > 1 ? cores / 2 : 1))"
  timeout 30 mpirun --bind-to none -np 2 "$yolodist" $(train) --threads 3 --worker-prefix "$fake environment" >out 2>&1
  expect_text "[1] threads 3"
  ;;
bad-input)
  expect() { # CODE TEXT WORDS…
    local code=$1 text=$2
    shift 2
    timeout 30 "$yolodist" "$@" >out 2>&1
    rc=$?
    expect_rc "$code"
    expect_text "$text"
    [ "$(wc -l <out)" = 1 ] || fail "more than one line"
  }
  expect 64 "Did you mean --epochs?" train --epcohs 3
  expect 64 "--evolve is not supported" train --evolve
  expect 64 "neither --weights nor --cfg" train --data data.yaml
  expect 64 "the command export is not there yet" export
  expect 65 "nowhere.yaml" train --data nowhere.yaml --cfg yolov5n --device cpu --worker-prefix "$fake steady"
  expect 65 "yolov5q" train --data data.yaml --cfg yolov5q --device cpu --worker-prefix "$fake steady"
  expect 65 "curl -L -o yolov5s.pt https://" train --data data.yaml --weights yolov5s.pt --device cpu --worker-prefix "$fake steady"
  printf 'nc: 2\nbackbone:\n - [-1, 1, Cnv, [64]]\nhead: []\nanchors: []\ndepth_multiple: 1\nwidth_multiple: 1\n' >bad.yaml
  expect 65 "bad.yaml" train --data data.yaml --cfg bad.yaml --device cpu --worker-prefix "$fake steady"
  expect 64 "one number a rank" train --data data.yaml --cfg yolov5n --batch 4 --shard 2,2 --device cpu --worker-prefix "$fake steady"
  expect 64 "--worker-prefix: '/nowhere/gdb' is not a program" train --data data.yaml --cfg yolov5n --device cpu --worker-prefix "/nowhere/gdb -batch"
  expect 64 "--net-if: '=lo' is neither a network interface nor a network" train --data data.yaml --cfg yolov5n --device cpu --net-if =lo
  expect 69 "--net-if ydt0: host $(hostname) has no such network interface" train --data data.yaml --cfg yolov5n --device cpu --ranks 2 --net-if ydt0
  expect_text "lo 127.0.0.1/8"
  [ -e runs ] && fail "a run directory was made"
  if ! ls /dev/nvidia0 >/dev/null 2>&1; then
    expect 69 "no NVIDIA driver" train --data data.yaml --cfg yolov5n --device cuda
  fi
  timeout 30 mpirun --bind-to none -np 2 "$yolodist" $(train) --ranks 3 --worker-prefix "$fake steady" >out 2>&1
  rc=$?
  expect_rc 64
  expect_text "--ranks 3, but mpirun or srun started 2"
  timeout 30 mpirun --bind-to none -np 2 "$yolodist" train --bach 3 >out 2>&1
  rc=$?
  expect_rc 64
  [ "$(grep -c 'Did you mean --batch' out)" = 1 ] || fail "not said exactly once"
  timeout 30 mpirun --bind-to none -np 2 "$yolodist" $(train) --net-if ydt0 >out 2>&1
  rc=$?
  expect_rc 69
  [ "$(grep -c 'ydt0: host' out)" = 1 ] || fail "not said exactly once"
  ;;
resume)
  timeout 30 "$yolodist" $(train) --batch 6 --worker-prefix "$fake environment" >out 2>&1 || fail "first start"
  timeout 30 "$yolodist" train --resume --project runs --worker-prefix "$fake environment" --workers 2 >out 2>&1 || fail "resume"
  expect_text "it has no checkpoint yet, so it starts afresh"
  [ "$(ls runs)" = exp ] || fail "resume made a new run"
  timeout 30 "$yolodist" train --resume runs/exp --batch 8 --worker-prefix "$fake environment" >out 2>&1
  rc=$?
  expect_rc 64
  expect_text "--batch-size was 6, now 8"
  ;;
quiet) # launchers sleep while workers train: 8 buckets of 1 MB every 400 ms
  ticks() { # of CPU time of the given processes, without their children
    cat $(printf '/proc/%s/stat ' "$@") | awk '{t += $14 + $15} END {print t}'
  }
  mpirun --bind-to none -np "$ranks" "$yolodist" $(train) --worker-prefix "$fake train-like" >out 2>&1 &
  mpirun=$!
  wait_for_workers "$ranks"
  sleep 1
  launchers=$(for pid in $(workers); do ps -o ppid= -p "$pid"; done | tr -d ' ')
  before=$(ticks $launchers)
  sleep 8
  used=$(($(ticks $launchers) - before)) # hundredths of a second in 8 s
  echo "$ranks launchers used $((used * 100 / 8 / ranks)) hundredths of a percent of a core each"
  wait $mpirun
  rc=$?
  expect_rc 0
  # 3 % of two cores for both, and half of that again for a slow machine.
  [ "$used" -le $((8 * 9)) ] || fail "the launchers are not quiet"
  ;;
*)
  fail "no such case: $name"
  ;;
esac
echo "passed: $name with $ranks ranks"
