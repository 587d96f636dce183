# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""`yolodist val` and `yolodist detect` as a user runs them, on a checkpoint trained a few steps.

    val_and_detect.py RANKS [unittest arguments]
"""

import atexit
import functools
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from product import QUICK, SAMPLE, YOLODIST, mpirun  # noqa: E402

RANKS = int(sys.argv.pop(1))
PICTURES = pathlib.Path(SAMPLE).parent / "images/val"
COUNT = len(list(PICTURES.iterdir()))
# Small pictures at a low threshold, so that a model that has learnt little still finds something.
SMALL = ["--img", "128", "--threads", "1", "--workers", "1", "--device", "cpu"]


@functools.cache
def trained():
    """weights/last.pt after a few steps, in a folder that lasts as long as this program."""
    holder = tempfile.TemporaryDirectory(prefix="yolodist-weights-")
    atexit.register(holder.cleanup)
    folder = pathlib.Path(holder.name)
    process = product.run([YOLODIST, *QUICK, "--max-iterations", "3", "--noplots"], folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return folder / "runs/train/exp/weights/last.pt"


class WithWeights(product.ProductTest):
    def setUp(self):
        super().setUp()
        self.weights = trained()


class Val(WithWeights):
    def words(self, *more):
        return ["val", "--weights", self.weights, "--data", SAMPLE, *SMALL, "--batch", "5", *more]

    def document(self, process):
        """Standard output holds the document and nothing else."""
        self.expect(process, 0)
        return json.loads(process.stdout)

    def test_any_number_of_ranks_gives_the_same_to_the_bit(self):
        several = self.document(product.run(mpirun(RANKS, *self.words("--json", "--noplots")), self.folder))
        one = self.document(product.run([YOLODIST, *self.words("--json", "--noplots")], self.folder))
        self.assertEqual(set(several.pop("speed_ms")), {"load", "inference", "nms"})
        one.pop("speed_ms")
        self.assertEqual(several, one)
        self.assertEqual(several["images"], COUNT)
        self.assertGreater(several["labels"], 0)

    def test_leaves_labels_predictions_curves_and_pictures(self):
        process = product.run(mpirun(RANKS, *self.words("--save-txt", "--save-conf", "--save-json", "--save-hybrid")),
                              self.folder)
        self.expect(process, 0)
        run = self.folder / "runs/val/exp"
        self.assertIn("mAP50-95", process.stdout)
        self.assertIn(f"Results saved to {run}", process.stdout)
        self.assertRegex(process.stdout, r"Speed: .*ms inference, .* at shape \(5, 3, 128, 128\)")
        for name in ["run.yaml", "PR_curve.png", "confusion_matrix.png", "val_batch0_pred.jpg", "val_batch1_labels.jpg",
                     "logs/data.txt"]:
            self.assertGreater((run / name).stat().st_size, 0, name)
        # With --save-hybrid every label is found.
        self.assertEqual(len(list((run / "labels").iterdir())), COUNT)
        rows = [line.split() for file in (run / "labels").iterdir() for line in file.read_text().splitlines()]
        self.assertEqual({len(row) for row in rows}, {6})
        predictions = json.loads((run / "last_predictions.json").read_text())
        self.assertEqual(len(predictions), len(rows))
        self.assertEqual(set(predictions[0]), {"image_id", "category_id", "bbox", "score"})
        result = json.loads((run / "result.json").read_text())
        self.assertGreater(result["mAP50"], 0.9)
        curves = json.loads((run / "curves.json").read_text())
        self.assertEqual(len(curves["classes"][0]["P"]), 1000)
        self.assertEqual(sum(map(sum, curves["confusion_matrix"]["counts"])) > 0, True)
        self.assertFalse((run / "weights").exists())

    def test_other_splits_and_squares(self):
        process = product.run(mpirun(RANKS, *self.words("--task", "train", "--json", "--noplots")), self.folder)
        self.assertEqual(self.document(process)["images"], 16)
        process = product.run(mpirun(RANKS, *self.words("--task", "speed", "--json")), self.folder)
        self.assertEqual(self.document(process)["images"], COUNT)

    def test_classes_that_do_not_fit_are_refused(self):
        data = self.folder / "two.yaml"
        data.write_text(f"path: {pathlib.Path(SAMPLE).parent}\ntrain: images/train\nval: images/val\nnames: [a, b]\n")
        words = self.words()
        words[words.index("--data") + 1] = data
        process = product.run(mpirun(RANKS, *words), self.folder)
        self.expect(process, 65)
        self.assertIn("knows 1 classes", process.stderr)
        self.assertIn("has 2", process.stderr)

    def test_no_test_split(self):
        process = product.run(mpirun(RANKS, *self.words("--task", "test")), self.folder)
        self.expect(process, 65)
        self.assertIn("no test path", process.stderr)
        self.assertFalse((self.folder / "runs").exists())


class Detect(WithWeights):
    def words(self, *more):
        return ["detect", "--weights", self.weights, "--source", PICTURES, *SMALL, "--conf", "0.0001", "--max-det", "5",
                *more]

    def test_writes_pictures_labels_and_crops(self):
        process = product.run(mpirun(RANKS, *self.words("--save-txt", "--save-conf", "--save-crop")), self.folder)
        self.expect(process, 0)
        run = self.folder / "runs/detect/exp"
        self.assertEqual({file.name for file in run.glob("*.jpg")}, {file.name for file in PICTURES.iterdir()})
        labels = list((run / "labels").iterdir())
        self.assertEqual({file.stem for file in labels}, {file.stem for file in PICTURES.iterdir()})
        rows = [line.split() for file in labels for line in file.read_text().splitlines()]
        self.assertEqual({len(row) for row in rows}, {6})
        self.assertEqual(len(rows), len(list((run / "crops").rglob("*.jpg"))))
        # Rank 0 tells of its own pictures: 1, 1 + ranks, …
        own = range(1, COUNT + 1, RANKS)
        lines = [line for line in process.stdout.splitlines() if line.startswith("image ")]
        self.assertEqual([line.split()[1] for line in lines], [f"{number}/{COUNT}" for number in own])
        self.assertRegex(lines[0], r": \d+x128 5 \w+, \d+\.\dms$")
        self.assertIn(f"{COUNT} pictures", process.stdout)
        self.assertIn(f"{COUNT} labels saved to {run}/labels", process.stdout)

    def test_any_number_of_ranks_finds_the_same(self):
        for ranks, name in ((1, "one"), (RANKS, "several")):
            self.expect(product.run(mpirun(ranks, *self.words("--save-txt", "--nosave", "--name", name)), self.folder), 0)
        one, several = ({file.name: file.read_text() for file in (self.folder / "runs/detect" / name / "labels").iterdir()}
                        for name in ("one", "several"))
        self.assertEqual(one, several)
        self.assertEqual(list((self.folder / "runs/detect/one").glob("*.jpg")), [])

    def test_a_broken_picture_is_named_and_passed_over(self):
        folder = self.folder / "pictures"
        folder.mkdir()
        good = sorted(PICTURES.iterdir())[0]
        (folder / "good.jpg").write_bytes(good.read_bytes())
        (folder / "broken.jpg").write_bytes(b"no picture")
        words = self.words()
        words[words.index("--source") + 1] = folder
        process = product.run(mpirun(RANKS, *words), self.folder)
        self.expect(process, 0)
        self.assertIn("broken.jpg", process.stderr)
        self.assertIn("1 could not be read", process.stdout)
        (folder / "good.jpg").unlink()
        self.expect(product.run(mpirun(RANKS, *words), self.folder), 65)


class BadInput(product.ProductTest):
    def setUp(self):
        super().setUp()
        if RANKS > 2:
            self.skipTest("one and two ranks are enough")

    def refuse(self, words, code, *texts):
        process = product.run(mpirun(RANKS, *words), self.folder)
        self.expect(process, code)
        for text in texts:
            self.assertIn(text, process.stderr)
        self.assertNotIn("terminate called", process.stderr)

    def test_missing_weights(self):
        self.refuse(["val", "--weights", "nowhere.pt", "--data", SAMPLE], 65, "nowhere.pt")
        self.refuse(["val", "--weights", "yolov5n.pt", "--data", SAMPLE], 65, "curl -L -o yolov5n.pt")
        self.refuse(["detect", "--weights", "nowhere.pt", "--source", PICTURES], 65, "nowhere.pt")

    def test_weights_that_are_no_checkpoint(self):
        (self.folder / "w.pt").write_text("<!DOCTYPE html>")
        self.refuse(["val", "--weights", "w.pt", "--data", SAMPLE, *SMALL], 65, "w.pt")

    def test_source_without_pictures(self):
        (self.folder / "w.pt").write_text("")
        (self.folder / "empty").mkdir()
        self.refuse(["detect", "--weights", "w.pt", "--source", "missing"], 65, "missing", "no such file")
        self.refuse(["detect", "--weights", "w.pt", "--source", "0"], 64, "cameras")

    def test_usage(self):
        self.refuse(["val", "--data", SAMPLE], 64, "--weights")
        self.refuse(["val", "--weights", "w.pt", "--data", SAMPLE, "--half"], 64, "--half is not supported")


class EmptySource(WithWeights):
    def test_is_refused(self):
        (self.folder / "empty").mkdir()
        process = product.run(mpirun(RANKS, "detect", "--weights", self.weights, "--source", "empty", *SMALL), self.folder)
        self.expect(process, 65)
        self.assertIn("no pictures in", process.stderr)


class Alone(WithWeights):
    def setUp(self):
        super().setUp()
        if RANKS != 1:
            self.skipTest("once is enough")

    def test_ranks_start_mpirun_and_standard_output_stays_clean(self):
        process = product.run([YOLODIST, "val", "--weights", self.weights, "--data", SAMPLE, *SMALL, "--ranks", "2",
                               "--json", "--noplots"], self.folder)
        self.expect(process, 0)
        self.assertEqual(json.loads(process.stdout)["images"], COUNT)

    def test_help_names_the_commands(self):
        process = product.run([YOLODIST, "--help"], self.folder)
        self.expect(process, 0)
        for command in ("train", "val", "detect"):
            self.assertIn(f"\n  {command} ", process.stdout)
        process = product.run([YOLODIST, "val", "--help"], self.folder)
        self.expect(process, 0)
        self.assertIn("--iou-thres", process.stdout)

    def test_a_run_of_val_cannot_be_resumed(self):
        self.expect(product.run([YOLODIST, "val", "--weights", self.weights, "--data", SAMPLE, *SMALL, "--noplots"],
                                self.folder), 0)
        process = product.run([YOLODIST, "train", "--resume", "runs/val/exp"], self.folder)
        self.expect(process, 65)
        self.assertIn("not of a training run", process.stderr)


if __name__ == "__main__":
    product.main()
