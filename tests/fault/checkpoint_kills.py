# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Kills in checkpoint writes, of a writer alone two hundred times and of real runs: a loadable last.pt each time."""

import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, processes_of_session, wait_until  # noqa: E402
from product import mpirun  # noqa: E402

WRITER = product.BIN.parent / "tests/checkpoint_writer"
KILLS = 200


class Writer(FaultTest):
    def test_200_kills_leave_200_loadable_checkpoints(self):
        process = product.run([WRITER, "kill", self.folder, KILLS, 20261128], self.folder)
        print(process.stdout.strip())
        self.expect(process, 0)
        self.assertTrue(process.stdout.startswith(f"{KILLS} kills"), process.stdout)


class Run(FaultTest):
    KILLS = 3

    def test_killed_in_a_write_goes_on_from_a_whole_checkpoint(self):
        process = self.begin(mpirun(2, *RESUMABLE))
        weights = self.folder / "runs/train/exp/weights"
        for kill in range(self.KILLS):
            # A new checkpoint after each, so that the kills count as progress and hit different writes.
            before = self.time_of(weights / "last.pt")
            wait_until(lambda: self.time_of(weights / "last.pt") != before, 60, f"a checkpoint before kill {kill}")
            writer = self.writing(weights, process)
            os.kill(writer, signal.SIGKILL)
            wait_until(lambda: not pathlib.Path(f"/proc/{writer}").exists(), 10, "it is gone")
            subprocess.run([WRITER, "digest", weights / "last.pt"], check=True, stdout=subprocess.DEVNULL, timeout=60)
        self.assertEqual(process.wait(timeout=100), 0, self.output()[-3000:])
        self.assertEqual(self.output().count("all workers start again"), self.KILLS)
        self.assertEqual(list(weights.glob("*.tmp-*")), [], "what kills left was removed")
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", "whole"), self.folder), 0)
        whole = self.folder / "runs/train/whole"
        self.assertEqual(product.losses(weights.parent), product.losses(whole))
        self.assertEqual(product.results(weights.parent), product.results(whole))

    @staticmethod
    def time_of(file):
        try:
            return file.stat().st_mtime_ns
        except OSError:
            return None

    def writing(self, weights, process):
        """The pid of a worker that is writing a checkpoint at this moment, by the name of its temporary file."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for file in weights.glob("last.pt.tmp-*"):
                pid = int(file.name.rsplit("-", 1)[1])
                if pid in self.workers(process) and file.exists():
                    return pid
            time.sleep(0.0005)
        self.fail("no checkpoint is written: " + self.output()[-3000:])


if __name__ == "__main__":
    product.main()
