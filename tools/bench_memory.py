#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Measures how far the memory plan is from what training takes: on this machine's CPU, for the table of
docs/memory_model.md, or on its first card.

usage: bench_memory.py [--device cpu|cuda] [--bench build/release/bin/memory_bench] [--quick] [--write]
                       [--models NAME …] [--sides PX …] [--batches N …] [--precisions NAME …] [--json FILE]

Each case trains two steps on the shipped sample, in a process of its own, and compares the allocator's peak with the
plan's. Build the program first: cmake --build build/release --target memory_bench. --quick leaves out 1280 px; --write
replaces the table in docs/memory_model.md.

On the CPU it ends 1 when an error is above 3 % or a plan is more than 0.5 % too low. On a card cuDNN's workspaces lie
in the allocator, while the plan has one figure for all workspaces: 1 when a peak of the allocator is above the plan
with that figure, or the plan without it is more than 10 % too high. What lies outside of the allocator is reported
beside the defaults of cards.yaml, so that they can be calibrated; nothing fails on it.
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
MOST_OVER_ON_CARD = 0.10
BEGIN, END = "<!-- bench_memory: begin -->", "<!-- bench_memory: end -->"
MIB = 2**20


def measure(bench, device, model, side, batch, optimizer, policy, precision="fp32"):
    environment = dict(os.environ, OMP_WAIT_POLICY="PASSIVE", YOLODIST_SHARE=str(ROOT / "share/yolodist"))
    words = [str(bench), model, str(side), str(batch), optimizer, policy, precision]
    words += ["cuda"] if device == "cuda" else []
    process = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment, check=False)
    if process.returncode == 69:
        print(process.stderr.strip(), file=sys.stderr)
        raise SystemExit(69)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}: {process.stderr[-500:]}")
    case = json.loads(process.stdout.splitlines()[-1])
    case["error"] = case["predicted_bytes"] / case["measured_bytes"] - 1
    print(f"{model} {side} batch {batch} {optimizer} {policy} {precision}: measured "
          f"{case['measured_bytes'] / MIB:.1f} MiB, planned {case['error']:+.3%}, {case['predicted_at']}", flush=True)
    return case


def name_of(case):
    return " ".join(str(case[key]) for key in ("model", "imgsz")) + \
        f" batch {case['batch']} {case['optimizer']} {case['recompute']} {case['precision']} {case['error']:+.2%}"


def is_miss(case):
    if "card" in case:
        workspace = case["card"]["planned"]["workspace_bytes"]
        return case["measured_bytes"] > case["predicted_bytes"] + workspace or case["error"] > MOST_OVER_ON_CARD
    return abs(case["error"]) > MOST_ERROR or case["error"] < -MOST_UNDER


def misses_text(cases, what):
    misses = [case for case in cases if is_miss(case)]
    return f"Misses ({what}): " + ("none." if not misses else "; ".join(map(name_of, misses)) + ".")


def table(cases):
    """A row a model, side and batch; the measured peak with SGD, and the errors with SGD and AdamW, a policy."""
    lines = ["| model | side | batch | none | error | activations | error | blocks | error |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for key, group in itertools.groupby(cases, lambda c: (c["model"], c["imgsz"], c["batch"])):
        group = list(group)
        cells = []
        for policy in POLICIES:
            of_policy = {c["optimizer"]: c for c in group if c["recompute"] == policy}
            cells.append(f"{of_policy['SGD']['measured_bytes'] / MIB:.1f} MiB")
            cells.append(" / ".join(f"{of_policy[o]['error']:+.2%}" for o in OPTIMIZERS if o in of_policy))
        lines.append(f"| {key[0]} | {key[1]} | {key[2]} | {' | '.join(cells)} |")
    return lines


def on_cpu(options):
    cases = [measure(options.bench, "cpu", model, side, batch, optimizer, policy, precision)
             for precision in options.precisions or ["fp32"] for model in options.models for side in options.sides
             for batch in options.batches for optimizer in OPTIMIZERS for policy in POLICIES]
    # A chosen list of precisions is all that is measured.
    half = [] if options.precisions else [measure(options.bench, "cpu", model, side, 2, "SGD", policy, "bf16")
                                          for model in MODELS for side in SIDES[:2] for policy in POLICIES]
    errors = sorted(abs(c["error"]) for c in cases)
    text = [*table(cases), "",
            f"{len(cases)} cases: median error {errors[len(errors) // 2]:.3%}, largest {errors[-1]:.3%}; "
            f"lowest plan {min(c['error'] for c in cases):+.3%}."
            + (f" In bf16 ({len(half)} cases, batch 2, 320 and 640 px): largest {max(abs(c['error']) for c in half):.3%}."
               if half else "")
            + " " + misses_text(cases + half, "above 3 %, or more than 0.5 % too low")]
    return cases + half, text


def calibration(cases):
    """What cards.yaml states, in MiB, and what was measured: the least and the most of all cases. None = not known."""
    found = {}

    def add(name, stated_bytes, measured_bytes):
        entry = found.setdefault(name, {"stated": stated_bytes, "measured": []})
        entry["stated"] = max(entry["stated"], stated_bytes)
        if measured_bytes is not None:
            entry["measured"].append(measured_bytes)

    for case in cases:
        card, planned = case["card"], case["card"]["planned"]
        known = None not in (card["used_bytes"], card["context_bytes"], card["nccl_bytes"])
        add("context", planned["context_bytes"], card["context_bytes"])
        add("nccl (one rank here)", planned["nccl_bytes"], card["nccl_bytes"])
        add("workspace outside of the allocator", planned["workspace_bytes"],
            card["used_bytes"] - card["context_bytes"] - card["nccl_bytes"] - card["reserved_bytes"] if known else None)
        add("workspace in the allocator", planned["workspace_bytes"],
            max(0, case["measured_bytes"] - case["predicted_bytes"]))
        add("fragmentation", planned["fragmentation_bytes"], card["reserved_bytes"] - case["measured_bytes"])
        add("whole device", planned["device_bytes"], card["used_bytes"])
    return [{"what": name, "stated_mib": entry["stated"] / MIB,
             "least_mib": min(entry["measured"]) / MIB if entry["measured"] else None,
             "most_mib": max(entry["measured"]) / MIB if entry["measured"] else None}
            for name, entry in found.items()]


def calibration_table(rows):
    def cell(value):
        return "not known" if value is None else f"{value:.0f} MiB"

    return ["| outside of the plan's own count | stated, at most | measured, least | measured, most |", "| --- | --- | --- | --- |",
            *(f"| {row['what']} | {cell(row['stated_mib'])} | {cell(row['least_mib'])} | {cell(row['most_mib'])} |" for row in rows)]


def on_card(options):
    cases = [measure(options.bench, "cuda", model, side, batch, "SGD", policy, precision)
             for precision in options.precisions or ["fp32", "fp16"] for model in options.models
             for side in options.sides for batch in options.batches for policy in POLICIES]
    text = []
    for precision in dict.fromkeys(case["precision"] for case in cases):
        text += [f"Peak of the allocator in {precision}; error is plan / measured - 1, with SGD:", "",
                 *table([case for case in cases if case["precision"] == precision]), ""]
    text += [*calibration_table(calibration(cases)), "",
             f"{len(cases)} cases on {cases[0]['card']['name']}. "
             + misses_text(cases, "above the plan with its workspace, or 10 % below the plan")]
    return cases, text


def main():
    parser = argparse.ArgumentParser(description="Compares the memory plan with what training takes.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "build/release/bin/memory_bench")
    parser.add_argument("--quick", action="store_true", help="without 1280 px")
    parser.add_argument("--write", action="store_true", help="replace the table of docs/memory_model.md")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sides", nargs="+", type=int)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--precisions", nargs="+", help="default: fp32, and on a card fp16")
    parser.add_argument("--json", type=pathlib.Path, help="all that was measured")
    options = parser.parse_args()
    options.sides = options.sides or [side for side in SIDES if side < 1280 or not options.quick]
    cases, text = on_card(options) if options.device == "cuda" else on_cpu(options)
    print("\n".join(text))
    if options.json:
        document = {"schema": 1, "device": options.device, "cases": cases, "markdown": text}
        if options.device == "cuda":
            document["calibration"] = calibration(cases)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.write:
        page = ROOT / "docs/memory_model.md"
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        page.write_text(before + BEGIN + "\n" + "\n".join(text) + "\n" + END + rest.split(END)[1], encoding="utf-8")
    return 1 if any(map(is_miss, cases)) else 0


if __name__ == "__main__":
    sys.exit(main())
