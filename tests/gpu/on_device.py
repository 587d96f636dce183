# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: the device that they test, and the built programs of this folder.

YOLODIST_GPU_TEST_DEVICE=cpu puts the CPU in the card's place. Python's standard library only.
"""

import functools
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402

DEVICE = os.environ.get("YOLODIST_GPU_TEST_DEVICE", "cuda")
ON_CARD = DEVICE != "cpu"
# One rank, whatever other cards there are.
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def plans(run):
    return [entry["plan"] for entry in json.loads((run / "plan.json").read_text())["plans"]]


@functools.cache
def what_is_missing():
    """In the words of yolodist doctor; "" where the device can be used."""
    if not ON_CARD:
        return ""
    process = product.run([product.YOLODIST, "doctor", "--device", DEVICE], ".")
    bad = [line.strip() for line in process.stdout.splitlines() if line.strip().startswith("bad")]
    return "" if process.returncode == 0 else "; ".join(bad) or process.stderr.strip() or f"doctor ends with {process.returncode}"


class DeviceTest(product.ProductTest):
    """A test of the product on the device; skipped where there is none."""

    def setUp(self):
        super().setUp()
        problem = what_is_missing()
        if problem:
            self.skipTest("no card to test on: " + problem)

    def train(self, name, *words, device=DEVICE, code=0):
        """Trains as run NAME on one rank; returns the process and the run's folder."""
        command = [product.YOLODIST, *product.QUICK, "--device", device, "--noplots", "--noval", "--exist-ok", "--name", name]
        process = product.run([*command, *words], self.folder, timeout=240)
        self.expect(process, code)
        return process, self.folder / "runs/train" / name

    def assert_near(self, found, expected, part):
        """Losses an iteration, as product.losses gives them."""
        self.assertEqual(len(found), len(expected))
        for iteration, (a, b) in enumerate(zip(found, expected)):
            self.assertAlmostEqual(sum(a), sum(b), delta=part * sum(b), msg=f"iteration {iteration}: {a} and {b}")
