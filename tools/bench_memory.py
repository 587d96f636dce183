#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Measures how far the memory plan is from what training takes, on this machine's CPU, and writes the table of
docs/memory_model.md.

usage: bench_memory.py [--bench build/release/bin/memory_bench] [--quick] [--write]

Each case trains two steps on the shipped sample with the counting allocator and compares its peak with the plan's.
Build the program first: cmake --build build/release --target memory_bench. --quick leaves out 1280 px; --write
replaces the table in docs/memory_model.md. Ends 1 when an error is above 3 % or a plan is more than 0.5 % too low.
"""
import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODELS, SIDES, BATCHES = ("yolov5n", "yolov5s", "yolov5n6"), (320, 640, 1280), (1, 2, 4)
OPTIMIZERS, POLICIES = ("SGD", "AdamW"), ("none", "activations", "blocks")
MOST_ERROR, MOST_UNDER = 0.03, 0.005
BEGIN, END = "<!-- bench_memory: begin -->", "<!-- bench_memory: end -->"


def measure(bench, model, side, batch, optimizer, policy, precision="fp32"):
    environment = dict(os.environ, OMP_WAIT_POLICY="PASSIVE", YOLODIST_SHARE=str(ROOT / "share/yolodist"))
    words = [str(bench), model, str(side), str(batch), optimizer, policy, precision]
    process = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment, check=False)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}: {process.stderr[-500:]}")
    case = json.loads(process.stdout.splitlines()[-1])
    case["error"] = case["predicted_bytes"] / case["measured_bytes"] - 1
    print(f"{model} {side} batch {batch} {optimizer} {policy} {precision}: measured "
          f"{case['measured_bytes'] / 2**20:.1f} MiB, planned {case['error']:+.3%}, {case['predicted_at']}", flush=True)
    return case


def table(cases):
    """A row a model, side and batch; the measured peak with SGD, and the errors with SGD and AdamW, a policy."""
    lines = ["| model | side | batch | none | error | activations | error | blocks | error |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for key, group in itertools.groupby(cases, lambda c: (c["model"], c["imgsz"], c["batch"])):
        group = list(group)
        cells = []
        for policy in POLICIES:
            of_policy = {c["optimizer"]: c for c in group if c["recompute"] == policy}
            cells.append(f"{of_policy['SGD']['measured_bytes'] / 2**20:.1f} MiB")
            cells.append(" / ".join(f"{of_policy[o]['error']:+.2%}" for o in OPTIMIZERS))
        lines.append(f"| {key[0]} | {key[1]} | {key[2]} | {' | '.join(cells)} |")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "build/release/bin/memory_bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cases = [measure(options.bench, model, side, batch, optimizer, policy)
             for model in MODELS for side in SIDES if side < 1280 or not options.quick
             for batch in BATCHES for optimizer in OPTIMIZERS for policy in POLICIES]
    half = [measure(options.bench, model, side, 2, "SGD", policy, "bf16")
            for model in MODELS for side in SIDES[:2] for policy in POLICIES]
    misses = [c for c in cases + half if abs(c["error"]) > MOST_ERROR or c["error"] < -MOST_UNDER]
    errors = sorted(abs(c["error"]) for c in cases)
    text = [*table(cases), "",
            f"{len(cases)} cases: median error {errors[len(errors) // 2]:.3%}, largest {errors[-1]:.3%}; "
            f"lowest plan {min(c['error'] for c in cases):+.3%}. In bf16 ({len(half)} cases, batch 2, 320 and 640 px): "
            f"largest {max(abs(c['error']) for c in half):.3%}. Misses (above 3 %, or more than 0.5 % too low): "
            + ("none." if not misses else "; ".join(
                f"{c['model']} {c['imgsz']} batch {c['batch']} {c['optimizer']} {c['recompute']} {c['precision']} "
                f"{c['error']:+.2%}" for c in misses) + ".")]
    print("\n".join(text))
    if options.write:
        page = ROOT / "docs/memory_model.md"
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        page.write_text(before + BEGIN + "\n" + "\n".join(text) + "\n" + END + rest.split(END)[1], encoding="utf-8")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
