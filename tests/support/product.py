# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the built programs as a user does, for tests. Python's standard library only.

The environment names what to run: YOLODIST_BIN (folder of the programs), YOLODIST_SOURCE_DIR.
"""

import csv
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["YOLODIST_BIN"])
SOURCE = pathlib.Path(os.environ["YOLODIST_SOURCE_DIR"])
YOLODIST = str(BIN / "yolodist")
SAMPLE = str(SOURCE / "share/yolodist/sample/sample.yaml")
SKIPPED = 77

# A quick run: yolov5n from scratch on the shipped sample, small pictures.
QUICK = ["train", "--data", SAMPLE, "--cfg", "yolov5n", "--img", "64", "--batch", "7", "--bn-group", "2",
         "--workers", "1", "--threads", "1", "--device", "cpu"]


def mpirun(ranks, *words):
    """The command line of `ranks` ranks."""
    return ["mpirun", "-np", str(ranks), "--bind-to", "none", YOLODIST, *map(str, words)]


def run(command, cwd, timeout=100, **more):
    """Runs to the end; returns the finished process with its text output."""
    return subprocess.run(list(map(str, command)), cwd=cwd, timeout=timeout, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)


def iterations(run_folder):
    """The iteration rows of metrics.jsonl."""
    lines = (pathlib.Path(run_folder) / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["type"] == "iteration"]


def losses(run_folder):
    return [tuple(row["loss"][k] for k in ("box", "obj", "cls")) for row in iterations(run_folder)]


def results(run_folder):
    """The rows of results.csv as dictionaries of numbers."""
    with open(pathlib.Path(run_folder) / "results.csv", encoding="utf-8") as file:
        return [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def shared(path):
    """A file of the shared test data beside the source tree, or None."""
    found = SOURCE.parent / "shared" / path
    return found if found.exists() else None


class ProductTest(unittest.TestCase):
    """A test with a scratch folder to run in."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="yolodist-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def expect(self, process, code):
        self.assertEqual(process.returncode, code, process.stdout[-3000:] + process.stderr[-3000:])


def main():
    """unittest.main, but 77 when nothing ran because every test was skipped."""
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        raise SystemExit(1)
    raise SystemExit(SKIPPED if result.testsRun == len(result.skipped) else 0)
