#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Puts what tools/check_gpu.sh found into report.json and report.md. Run by it.

usage: gpu_report.py --card NAME --device cuda|cpu --yolodist PROGRAM FOLDER
"""
import argparse
import datetime
import json
import pathlib
import subprocess
import sys


def read_results(text):
    """results.tsv: a check a line. A reason may hold what str.splitlines takes for a line's end, as progress bars do."""
    keys = ("name", "state", "seconds", "shows", "reason")
    return [dict(zip(keys, line.split("\t"))) | {"seconds": int(line.split("\t")[2])} for line in text.split("\n") if line]


def counts(checks):
    return {state: sum(check["state"] == state for check in checks) for state in ("passed", "failed", "skipped")}


def report_markdown(report):
    lines = [f"# {report['card']}", ""]
    if report["device"] == "cpu":
        lines += ["Run with the CPU in the card's place: this shows that the checks work, nothing about a card.", ""]
    lines += ["```", *report["versions"], "```", "", "| check | result | time | shows | why |", "| --- | --- | --- | --- | --- |"]
    for check in report["checks"]:
        reason = check["reason"].replace("|", "/")
        lines.append(f"| {check['name']} | {check['state']} | {check['seconds']} s | {check['shows']} | {reason} |")
    for name, title in (("speed", "Speed"), ("memory", "Memory")):
        if name in report:
            lines += ["", f"## {title}", "", *report[name]["markdown"]]
    return "\n".join(lines) + "\n"


def read_json(file):
    """None where the check did not get so far."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--card", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--yolodist", required=True)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    version = subprocess.run([options.yolodist, "--version"], capture_output=True, text=True, check=False)
    checks = read_results((options.folder / "results.tsv").read_text(encoding="utf-8"))
    report = {"schema": 1, "card": options.card, "device": options.device,
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "versions": version.stdout.strip().splitlines(), "checks": checks, "counts": counts(checks)}
    ran = {check["name"] for check in checks}
    for name in ("speed", "memory"):
        document = read_json(options.folder / f"{name}.json") if name in ran else None
        if document:
            report[name] = document
    (options.folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (options.folder / "report.md").write_text(report_markdown(report), encoding="utf-8")
    print("; ".join(f"{number} {state}" for state, number in report["counts"].items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
