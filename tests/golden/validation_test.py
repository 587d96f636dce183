# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""The product's val and detect against the peer's, with official weights: skipped where weights or data are not there."""

import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from product import SOURCE, YOLODIST  # noqa: E402

GOLDEN = json.loads((SOURCE / "tests/golden/data/validation.json").read_text())


class GoldenValidation(product.ProductTest):
    def setUp(self):
        super().setUp()
        self.weights = product.shared(f"weights/{GOLDEN['weights']}")
        self.data = product.shared(f"data/{GOLDEN['data']}/{GOLDEN['data']}.yaml")
        if not self.weights or not self.data:
            self.skipTest("the weights or the data are not there")
        if hashlib.sha256(self.weights.read_bytes()).hexdigest() != GOLDEN["sha256"]:
            self.skipTest("the weights are another file than the golden numbers are of")

    def test_measures_are_the_peers(self):
        for case in GOLDEN["val"]:
            with self.subTest(case["task"]):
                process = product.run([YOLODIST, "val", "--weights", self.weights, "--data", self.data, "--task",
                                       case["task"], "--batch", case["batch"], "--img", case["imgsz"], "--device", "cpu",
                                       "--noplots", "--json"], self.folder)
                self.expect(process, 0)
                found = json.loads(process.stdout)
                # Rectangles: NumPy's sort puts pictures of equal shape in another order, so some fall into the
                # next group and get another padding.
                for key, tolerance in {"mAP50": 0.002, "mAP50-95": 0.002, "P": 0.01, "R": 0.01}.items():
                    self.assertAlmostEqual(found[key], case[key], delta=tolerance, msg=key)

    def test_detections_are_the_peers(self):
        process = product.run([YOLODIST, "detect", "--weights", self.weights, "--source", self.data.parent / "images/val",
                               "--device", "cpu", "--nosave", "--save-txt", "--save-conf"], self.folder)
        self.expect(process, 0)
        labels = self.folder / "runs/detect/exp/labels"
        self.assertEqual({file.stem for file in labels.iterdir()}, set(GOLDEN["detect"]))
        for name, expected in GOLDEN["detect"].items():
            rows = [[float(word) for word in line.split()] for line in (labels / f"{name}.txt").read_text().splitlines()]
            self.assertEqual(len(rows), len(expected), name)
            for row, wanted in zip(rows, expected):
                self.assertEqual(row[0], wanted[0], name)
                # Boxes are whole pixels: where rounding decides otherwise they differ by one.
                for a, b in zip(row[1:5], wanted[1:5]):
                    self.assertAlmostEqual(a, b, delta=2e-3, msg=name)
                self.assertAlmostEqual(row[5], wanted[5], delta=1e-4, msg=name)


if __name__ == "__main__":
    product.main()
