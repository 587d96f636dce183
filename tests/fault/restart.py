# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""A worker that dies or falls silent: all workers start again in place, with the result of an undisturbed run."""

import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, processes_of_session, wait_until  # noqa: E402
from product import mpirun  # noqa: E402

PEERS_LOST = 76


class Restart(FaultTest):
    def setUp(self):
        super().setUp()
        self.run_folder = self.folder / "runs/train/exp"

    def whole(self):
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", "whole"), self.folder), 0)
        return self.folder / "runs/train/whole"

    def iterations(self):
        try:
            return len(product.iterations(self.run_folder))
        except (OSError, json.JSONDecodeError):  # not there yet, or a piece of a line
            return 0

    def disturbed(self, disturb, when, seconds=60):
        """A run that is disturbed once and then goes on to the end, as if nothing had been."""
        process = self.begin(mpirun(2, *RESUMABLE))
        wait_until(when, 60, "the moment")
        disturb(process)
        self.assertEqual(process.wait(timeout=seconds), 0, self.output()[-3000:])
        self.assertIn("all workers start again", self.output())
        whole = self.whole()
        self.assertEqual(product.losses(self.run_folder), product.losses(whole))
        self.assertEqual(product.results(self.run_folder), product.results(whole))
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")

    def kill(self, *which, number=signal.SIGKILL):
        def act(process):
            workers = self.workers(process)
            for i in which:
                os.kill(workers[i], number)
        return act

    def test_each_worker_in_turn(self):
        for i in (0, 1):
            with self.subTest(worker=i):
                self.disturbed(self.kill(i), lambda: self.iterations() >= 2)
                os.rename(self.run_folder, f"{self.run_folder}-{i}")
                os.rename(self.folder / "runs/train/whole", self.folder / f"runs/train/whole-{i}")

    def test_both_workers_at_once(self):
        self.disturbed(self.kill(0, 1), lambda: self.iterations() >= 3)

    def test_while_it_starts(self):
        process = self.begin(mpirun(2, *RESUMABLE))
        wait_until(lambda: len(self.workers(process)) == 2, 60, "workers, that load LibTorch")
        self.kill(1)(process)
        self.assertEqual(process.wait(timeout=60), 0, self.output()[-3000:])
        self.assertIn("from the beginning, since there is no checkpoint yet", self.output())
        self.assertEqual(product.losses(self.run_folder), product.losses(self.whole()))

    def test_before_the_first_checkpoint(self):
        self.disturbed(self.kill(1), lambda: "Starting training" in self.output())

    def test_in_validation(self):
        self.disturbed(self.kill(0), lambda: "mAP50-95" in self.output())

    def test_a_stopped_worker_is_silent(self):
        begin = time.monotonic()
        self.disturbed(self.kill(1, number=signal.SIGSTOP), lambda: self.iterations() >= 2, seconds=90)
        self.assertLess(time.monotonic() - begin, 80)
        self.assertIn("has said nothing for 30 s", self.output())

    def test_restarts_are_used_up(self):
        process = self.begin(mpirun(2, *RESUMABLE, "--checkpoint-every", "1000", "--epochs", "1000", "--nosave",
                                    "--max-restarts", "2"))
        for attempt in range(3):
            wait_until(lambda: self.output().count("Starting training") > attempt, 60, f"attempt {attempt}")
            os.kill(self.workers(process)[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=30), PEERS_LOST, self.output()[-3000:])
        reports = sorted(file.name for file in (self.run_folder / "failures").glob("*.json"))
        self.assertEqual([name.split(".")[0] for name in reports], ["attempt-0", "attempt-1", "attempt-2"])
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")


if __name__ == "__main__":
    product.main()
