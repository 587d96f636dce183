#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""How much processor time the launchers take while ranks train, as a part of wall time x cores.

    tools/bench_launcher.py [--bin build/release/bin] [--ranks 2] [--seconds 30] [yolodist options]

Without options it trains the shipped sample at 640 px, batch 8. Needs mpirun and Linux's /proc.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]


def stat(pid):
    """name, parent, processor seconds of a process; None if it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
    return name, int(rest[1]), (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")


def descendants(root, name):
    """Process ids called `name` below `root`."""
    parents = {int(p.name): stat(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()}
    found = []
    for pid, entry in parents.items():
        above = pid
        while above in parents and parents[above] and above != root:
            above = parents[above][1]
        if above == root and entry and entry[0] == name:
            found.append(pid)
    return found


def seconds_of(pids):
    return sum(entry[2] for entry in map(stat, pids) if entry)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(SOURCE / "build/release/bin"))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30)
    options, more = parser.parse_known_args()
    more = more or ["--data", str(SOURCE / "share/yolodist/sample/sample.yaml"), "--cfg", "yolov5n", "--img", "640",
                    "--batch", "8", "--epochs", "1000", "--noval", "--nosave"]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       OMPI_MCA_rmaps_base_oversubscribe="1")
    with tempfile.TemporaryDirectory(prefix="yolodist-bench-") as folder:
        job = subprocess.Popen(["mpirun", "-np", str(options.ranks), "--bind-to", "none",
                                os.path.abspath(os.path.join(options.bin, "yolodist")), "train", *more],
                               cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            metrics = pathlib.Path(folder) / "runs/train/exp/logs/rank-0.log"
            while not (metrics.exists() and "Starting training" in metrics.read_text()):
                if job.poll() is not None:
                    raise SystemExit(f"the job ended with {job.returncode} before it trained")
                time.sleep(0.2)
            time.sleep(3)
            launchers, workers = (descendants(job.pid, name) for name in ("yolodist", "yolodist-worker"))
            before = seconds_of(launchers), seconds_of(workers), time.monotonic()
            time.sleep(options.seconds)
            wall = time.monotonic() - before[2]
            launcher, worker = seconds_of(launchers) - before[0], seconds_of(workers) - before[1]
        finally:
            job.send_signal(signal.SIGUSR1)
            job.wait(timeout=60)
    cores = len(os.sched_getaffinity(0))
    print(f"{len(launchers)} launchers: {launcher:.2f} s of {wall:.1f} s x {cores} cores = "
          f"{100 * launcher / (wall * cores):.2f} %; workers: {100 * worker / (wall * cores):.1f} %")


if __name__ == "__main__":
    main()
