# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""mpirun and yolodist as a user runs them: the main job, its files, and refusals of bad input.

    train_end_to_end.py RANKS [unittest arguments]
"""

import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from product import QUICK, SAMPLE, YOLODIST, mpirun  # noqa: E402

RANKS = int(sys.argv.pop(1))


class MainJob(product.ProductTest):
    def test_trains_validates_and_leaves_the_run_directory(self):
        process = product.run(mpirun(RANKS, *QUICK, "--epochs", "3"), self.folder)
        self.expect(process, 0)
        run = self.folder / "runs/train/exp"
        for name in ["run.yaml", "results.csv", "metrics.jsonl", "weights/last.pt", "weights/best.pt", "logs/data.txt"]:
            self.assertTrue((run / name).stat().st_size > 0, name)
        for rank in range(RANKS):
            self.assertTrue((run / f"logs/rank-{rank}.log").exists())
        self.assertEqual([row["epoch"] for row in product.results(run)], [0, 1, 2])
        self.assertEqual(len(product.iterations(run)), 3 * 3)  # 16 pictures in batches of 7, 7 and 2
        self.assertEqual(list(run.glob("weights/*.tmp*")), [])
        self.assertIn("mAP50-95", process.stdout)
        self.assertIn(f"Results saved to {run}", process.stdout)

    def test_result_is_that_of_one_rank(self):
        exact = [*QUICK, "--precision", "fp64", "--max-iterations", "4"]
        self.expect(product.run(mpirun(1, *exact, "--name", "one"), self.folder), 0)
        self.expect(product.run(mpirun(RANKS, *exact, "--name", "several"), self.folder), 0)
        one, several = (product.losses(self.folder / "runs/train" / name) for name in ("one", "several"))
        self.assertEqual(len(one), 4)
        for expected, found in zip(one, several):
            for a, b in zip(expected, found):
                self.assertLessEqual(abs(a - b), 1e-9 * max(abs(a), 1e-6))

    def test_size_that_disagrees_with_ranks_is_refused(self):
        process = product.run(mpirun(RANKS, *QUICK, "--ranks", RANKS + 1), self.folder)
        self.expect(process, 64)
        self.assertFalse((self.folder / "runs").exists())


class WithoutMpirun(product.ProductTest):
    def setUp(self):
        super().setUp()
        if RANKS != 1:
            self.skipTest("once is enough")

    def test_ranks_start_mpirun_by_themselves(self):
        process = product.run([YOLODIST, *QUICK, "--ranks", "2", "--max-iterations", "2"], self.folder)
        self.expect(process, 0)
        self.assertTrue((self.folder / "runs/train/exp/logs/rank-1.log").exists())

    def test_second_run_gets_a_name_of_its_own(self):
        for _ in range(2):
            self.expect(product.run([YOLODIST, *QUICK, "--max-iterations", "1"], self.folder), 0)
        self.assertTrue((self.folder / "runs/train/exp2/weights/last.pt").exists())

    def test_resume_takes_the_newest_run(self):
        self.expect(product.run([YOLODIST, *QUICK, "--epochs", "2", "--max-iterations", "4"], self.folder), 0)
        process = product.run([YOLODIST, "train", "--resume", "--max-iterations", "0"], self.folder)
        self.expect(process, 0)
        self.assertEqual(len(product.results(self.folder / "runs/train/exp")), 2)


class BadInput(product.ProductTest):
    """One clear error, the right exit code, nothing half-written."""

    def setUp(self):
        super().setUp()
        if RANKS > 2:
            self.skipTest("one and two ranks are enough")

    def refuse(self, words, code, *texts):
        process = product.run(mpirun(RANKS, *words), self.folder)
        self.expect(process, code)
        said = process.stdout + process.stderr
        for text in texts:
            self.assertIn(text, said)
        self.assertNotIn("terminate called", said)
        self.assertEqual(list(self.folder.rglob("*.pt")), [])
        return said

    def data_copy(self):
        copy = self.folder / "data"
        shutil.copytree(pathlib.Path(SAMPLE).parent, copy)
        return copy

    def replaced(self, option, value):
        words = list(QUICK)
        words[words.index(option) + 1] = value
        return words

    def test_misspelt_option_names_the_nearest(self):
        self.refuse([*QUICK, "--epoch-s", "3"], 64, "epochs")

    def test_missing_data_yaml(self):
        self.refuse(self.replaced("--data", "nowhere.yaml"), 65, "nowhere.yaml")

    def test_yaml_that_does_not_parse_names_its_line(self):
        (self.folder / "bad.yaml").write_text("path: .\ntrain: [images\nnames: [a]\n")
        self.refuse(self.replaced("--data", "bad.yaml"), 65, "bad.yaml:")

    def test_no_pictures(self):
        data = self.data_copy()
        for picture in (data / "images/train").iterdir():
            picture.unlink()
        self.refuse(self.replaced("--data", data / "sample.yaml"), 65, "images/train")

    def test_class_out_of_range_names_file_and_line(self):
        data = self.data_copy()
        label = sorted((data / "labels/train").iterdir())[3]
        rows = label.read_text().splitlines()
        label.write_text("\n".join(["7" + rows[0][1:], *rows[1:]]) + "\n")
        self.refuse(self.replaced("--data", data / "sample.yaml"), 65, f"{label.name}:1", "class 7")

    def test_val_path_missing(self):
        data = self.data_copy()
        shutil.rmtree(data / "images/val")
        self.refuse(self.replaced("--data", data / "sample.yaml"), 65, "images/val")

    def test_model_yaml_that_does_not_parse_names_its_line(self):
        (self.folder / "model.yaml").write_text("nc: 1\ndepth_multiple: 1\nwidth_multiple: 1\nanchors: [[1,2]]\n"
                                                "backbone: [[-1, 1, Convolution, [64]]]\nhead: [[-1, 1, Detect, [nc, anchors]]]\n")
        self.refuse(self.replaced("--cfg", "model.yaml"), 65, "model.yaml:5", "Convolution")

    def test_cuda_without_a_driver(self):
        if os.path.exists("/dev/nvidiactl"):
            self.skipTest("this machine has a driver")
        self.refuse(self.replaced("--device", "cuda"), 69, "driver")

    def test_project_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        self.refuse([*QUICK, "--project", "file/runs"], 74, "file")


if __name__ == "__main__":
    product.main()
