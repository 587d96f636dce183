# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Storage that fails: full, read-only, taken over, damaged; and data that vanish while they are trained on."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, processes_of_session, wait_until  # noqa: E402
from product import SAMPLE, mpirun  # noqa: E402

WRITER = product.BIN.parent / "tests/checkpoint_writer"
DATA, STORAGE = 65, 74
MIB = 2**20


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=20)


def events(run, name):
    """Details of the events of that name."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["detail"] for row in rows if row["type"] == "event" and row["event"] == name]


class StorageTest(FaultTest):
    RUN = [*RESUMABLE, "--epochs", "3", "--noplots"]
    undisturbed = {}  # runs by what was added to RUN

    def setUp(self):
        super().setUp()
        self.exp = self.folder / "runs/train/exp"

    def mounted(self, folder, *words):
        """Mounts something there for as long as the test lasts; skips it where that is not allowed."""
        folder.mkdir(parents=True, exist_ok=True)
        done = mount(*words, folder)
        if done.returncode != 0:
            self.skipTest(f"cannot mount: {done.stdout.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=False, timeout=20)

    def digest(self, file):
        """Iteration and checksum of a checkpoint that can be read whole."""
        process = product.run([WRITER, "digest", file], self.folder)
        self.expect(process, 0)
        return process.stdout.split()

    def whole(self, *words):
        """The same run without any trouble; made once for all tests."""
        if words not in self.undisturbed:
            holder = tempfile.TemporaryDirectory(prefix="yolodist-test-")
            unittest.addModuleCleanup(holder.cleanup)
            self.expect(product.run(mpirun(2, *StorageTest.RUN, *words, "--project", holder.name), self.folder), 0)
            self.undisturbed[words] = pathlib.Path(holder.name) / "exp"
        return self.undisturbed[words]

    def same(self, run, whole):
        self.assertEqual(product.losses(run), product.losses(whole))
        self.assertEqual(product.results(run), product.results(whole))
        for name in ("last.pt", "best.pt"):
            self.assertEqual(self.digest(run / "weights" / name), self.digest(whole / "weights" / name), name)

    def ended(self, process, code, seconds=60):
        self.assertEqual(process.wait(timeout=seconds), code, self.output()[-3000:])
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")

    def says(self, text):
        return lambda: text in self.output()


class FullDisk(StorageTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"

    def start(self, size_mib, *words):
        self.mounted(self.disk, "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs")
        return mpirun(2, *self.RUN, "--project", self.disk, *words)

    def test_checkpoints_that_do_not_fit_end_the_run_after_some(self):
        # A checkpoint takes 21 MiB: the first one fits, the second beside it does not.
        self.ended(self.begin(self.start(36)), STORAGE)
        output, run = self.output(), self.disk / "exp"
        self.assertIn("No space left on device", output)
        for failure in (1, 2, 3):
            self.assertIn(f"failure {failure} of at most 3 in a row", output)
        self.assertIn("3 checkpoints in a row could not be written", output)
        self.assertIn(f"the last good checkpoint is {run}/weights/last.pt of iteration 1, ", output)
        self.assertEqual(len(events(run, "checkpoint_failed")), 3)
        self.assertEqual(self.digest(run / "weights/last.pt")[0], "1")
        self.assertEqual([file.name for file in (run / "weights").iterdir()], ["last.pt"])
        self.assertEqual(mount("-o", "remount,size=300m", self.disk).returncode, 0)
        self.expect(product.run(mpirun(2, "train", "--resume", run, "--threads", 1), self.folder), 0)
        self.same(run, self.whole())

    def test_room_in_time_and_the_run_goes_on(self):
        process = self.begin(self.start(150, "--max-checkpoint-failures", 1000))
        wait_until(self.says("Starting training"), 60, "training")
        filler = self.disk / "filler"
        self.fill(filler)  # to the last byte: no room for rows and lines either
        wait_until(self.says("failure 2 of at most 1000"), 60, "checkpoints that fail")
        filler.unlink()
        self.ended(process, 0)
        self.same(self.disk / "exp", self.whole())

    @staticmethod
    def fill(file):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
        for piece in (MIB, 4096):
            try:
                while True:
                    os.write(descriptor, bytes(piece))
            except OSError:
                pass
        os.close(descriptor)

    def test_earlier_checkpoints_make_room_for_new_ones(self):
        # Room for three files: last.pt, best.pt and the one being written, not for two earlier ones besides.
        self.ended(self.begin(self.start(80)), 0)
        self.assertIn("to make room for a new one", self.output())
        self.same(self.disk / "exp", self.whole())


class ReadOnly(StorageTest):
    def test_training_goes_on_and_saves_when_it_can(self):
        weights = self.exp / "weights"
        weights.mkdir(parents=True)
        self.mounted(weights, "--bind", weights)
        process = self.begin(mpirun(2, *self.RUN, "--exist-ok", "--max-checkpoint-failures", 1000))
        wait_until((weights / "last.pt").exists, 60, "a checkpoint")
        # Refused while a checkpoint is being written there.
        wait_until(lambda: mount("-o", "remount,bind,ro", weights).returncode == 0, 20, "read-only")
        wait_until(self.says("Read-only file system (failure 2 of"), 60, "checkpoints that fail")
        self.assertIn(f"the last good checkpoint is {weights}/last.pt of iteration", self.output())
        self.assertEqual(mount("-o", "remount,bind,rw", weights).returncode, 0)
        self.ended(process, 0)
        self.same(self.exp, self.whole())


class TakenOver(StorageTest):
    def test_the_stale_job_ends_on_all_ranks_and_writes_nothing(self):
        process = self.begin(mpirun(2, *self.RUN, "--epochs", 1000, "--noval"))
        wait_until((self.exp / "weights/last.pt").exists, 60, "a checkpoint")
        token = self.exp / ".token.new"
        token.write_text("0" * 32 + "\n")
        token.rename(self.exp / ".token")
        self.ended(process, STORAGE, 30)
        self.assertIn("another job has taken over", self.output())


class Damaged(StorageTest):
    def stopped(self):
        self.expect(product.run(mpirun(2, *self.RUN, "--max-iterations", 6), self.folder), 0)
        weights = self.exp / "weights"
        iterations = [int(self.digest(weights / name)[0]) for name in ("last.pt", "last-1.pt", "last-2.pt")]
        self.assertEqual(iterations[0], 6)
        self.assertEqual(iterations, sorted(iterations, reverse=True))
        return weights

    def test_an_earlier_checkpoint_stands_in(self):
        weights = self.stopped()
        os.truncate(weights / "last.pt", (weights / "last.pt").stat().st_size // 2)
        with open(weights / "last-1.pt", "r+b") as file:  # one bit, in the middle of a tensor
            file.seek(5 * MIB)
            byte = file.read(1)
            file.seek(5 * MIB)
            file.write(bytes([byte[0] ^ 1]))
        (weights / "last.pt.tmp-4711").write_bytes(b"of a job that was killed")
        (weights / "notes.tmp-a").write_bytes(b"not ours")
        process = product.run(mpirun(2, "train", "--resume", self.exp, "--threads", 1), self.folder)
        self.expect(process, 0)
        warnings = [line for line in process.stderr.splitlines() if "going on from" in line]
        self.assertEqual(len(warnings), 2, process.stderr)
        for name, line in zip(("last.pt", "last-1.pt"), warnings):
            self.assertIn(f"{weights}/{name} is ", line)
            self.assertIn(f"{weights}/last-2.pt instead", line)
        self.assertFalse((weights / "last.pt.tmp-4711").exists())
        self.assertTrue((weights / "notes.tmp-a").exists())
        self.same(self.exp, self.whole())

    def test_a_damaged_one_that_is_named_is_refused(self):
        weights = self.stopped()
        os.truncate(weights / "last.pt", 1000)
        process = product.run(mpirun(2, "train", "--resume", weights / "last.pt", "--threads", 1), self.folder)
        self.expect(process, DATA)
        self.assertIn("last.pt is cut short", process.stderr)


class Data(StorageTest):
    def setUp(self):
        super().setUp()
        sample = pathlib.Path(SAMPLE)
        self.data = self.folder / "data"
        shutil.copytree(sample.parent, self.data)
        self.RUN = [str(self.data / sample.name) if word == SAMPLE else word for word in StorageTest.RUN]
        self.pictures = self.data / "images/train"

    def in_the_middle(self, *words):
        process = self.begin(mpirun(2, *self.RUN, *words))
        wait_until((self.exp / "weights/last.pt").exists, 60, "a checkpoint")
        return process

    def test_a_folder_that_vanishes_ends_the_run_with_its_state_saved(self):
        process = self.in_the_middle("--epochs", 4)
        self.pictures.rename(self.data / "away")
        self.ended(process, STORAGE)
        output = self.output()
        self.assertIn(f"the pictures' folder {self.pictures} cannot be opened (No such file or directory)", output)
        self.assertIn("run again with --resume", output)
        iteration = int(self.digest(self.exp / "weights/last.pt")[0])
        self.assertIn(f"the state before iteration {iteration} is saved in {self.exp}/weights/last.pt", output)
        self.assertEqual(len(product.iterations(self.exp)), iteration, "nothing is trained on grey pictures")
        (self.data / "away").rename(self.pictures)
        self.expect(product.run(mpirun(2, "train", "--resume", self.exp, "--threads", 1), self.folder), 0)
        self.same(self.exp, self.whole("--epochs", 4))

    def test_a_picture_that_is_cut_short_is_named_and_left_out(self):
        process = self.in_the_middle("--epochs", 4)
        picture = sorted(self.pictures.iterdir())[3]
        size = picture.stat().st_size
        os.truncate(picture, size // 2)
        self.ended(process, 0)
        said = "".join(log.read_text() for log in self.exp.glob("logs/rank-*.log"))
        self.assertIn(f"{picture} can no longer be read (it has {size // 2} bytes, had {size})", said)
        self.assertEqual(len(product.iterations(self.exp)), 12)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("without root nothing can be mounted: the tests of full disks are skipped")
    product.main()
