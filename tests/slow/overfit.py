# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Eight pictures of bccd, learnt by heart: a trainer that learns reaches mAP50 0.9 on what it was shown."""

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402


class Overfit(product.ProductTest):
    def test_eight_pictures(self):
        bccd = product.shared("data/bccd")
        if bccd is None:
            self.skipTest("the bccd test data are not beside the source tree")
        for kind in ("images", "labels"):
            (self.folder / kind).mkdir()
            for file in sorted((bccd / kind / "train").iterdir())[:8]:
                shutil.copy(file, self.folder / kind)
        (self.folder / "eight.yaml").write_text("train: images\nval: images\nnames: [Platelets, RBC, WBC]\n")
        process = product.run(
            product.mpirun(2, "train", "--data", "eight.yaml", "--cfg", "yolov5n", "--img", 320, "--batch", 8,
                           "--accumulate", 1, "--hyp", "hyp.no-augmentation", "--epochs", 500, "--patience", 0,
                           "--noval", "--nosave"), self.folder, timeout=880)
        self.expect(process, 0)
        self.assertGreaterEqual(product.results(self.folder / "runs/train/exp")[-1]["metrics/mAP_0.5"], 0.9)


if __name__ == "__main__":
    product.main()
