# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Real signals on real programs: a killed job resumes exactly, a stop request saves, a dead worker ends the job."""

import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, processes_of_session, wait_until  # noqa: E402
from product import QUICK, YOLODIST, mpirun  # noqa: E402

class KilledJob(FaultTest):
    def test_goes_on_exactly_wherever_it_was_killed(self):
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", "whole"), self.folder), 0)
        moments = random.Random(20261125)
        process = self.begin(mpirun(2, *RESUMABLE, "--name", "cut"))
        cut = self.folder / "runs/train/cut"
        kills = 0
        while kills < 4:
            wait_until(lambda: (cut / "weights/last.pt").exists() or process.poll() is not None, 60, "a checkpoint")
            time.sleep(moments.uniform(0, 0.6))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pid in processes_of_session(process.pid):  # mpirun puts ranks into groups of their own
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not processes_of_session(process.pid), 10, "all of the job is gone")
            kills += 1
            process = self.begin(mpirun(2, "train", "--resume", "runs/train/cut", "--threads", "1"))
        self.assertEqual(process.wait(timeout=100), 0, self.output()[-3000:])
        self.assertGreater(kills, 0)
        whole = self.folder / "runs/train/whole"
        self.assertEqual(product.losses(cut), product.losses(whole))
        self.assertEqual(product.results(cut), product.results(whole))

    def test_killed_before_the_first_checkpoint_starts_afresh(self):
        process = self.begin(mpirun(1, *QUICK, "--epochs", "2"))
        wait_until(lambda: (self.folder / "runs/train/exp/run.yaml").exists(), 60, "the run directory")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.end_sessions()
        self.assertFalse((self.folder / "runs/train/exp/weights/last.pt").exists())
        again = product.run(mpirun(1, "train", "--resume"), self.folder)
        self.expect(again, 0)
        self.assertEqual(len(product.results(self.folder / "runs/train/exp")), 2)


class StopRequest(FaultTest):
    LONG = [*QUICK, "--epochs", "300", "--noval"]

    def running(self, command):
        process = self.begin(command)
        wait_until(lambda: "Starting training" in self.output() and self.workers(process), 60, "training")
        time.sleep(0.5)
        return process

    def test_signals_to_one_launcher_save_and_end_with_75(self):
        for number, name in [(signal.SIGUSR1, "SIGUSR1"), (signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")]:
            with self.subTest(name):
                process = self.running(mpirun(2, *self.LONG, "--name", name))
                launcher = max(self.launchers(process))
                os.kill(launcher, number)
                self.assertEqual(process.wait(timeout=30), 75, self.output()[-3000:])
                self.assertTrue((self.folder / "runs/train" / name / "weights/last.pt").exists())
                wait_until(lambda: not processes_of_session(process.pid), 5, "nothing is left")

    def test_usr1_to_mpirun_reaches_the_ranks(self):
        process = self.running(mpirun(2, *self.LONG))
        os.kill(process.pid, signal.SIGUSR1)
        self.assertEqual(process.wait(timeout=30), 75, self.output()[-3000:])

    def test_ctrl_c_on_the_short_command(self):
        process = self.running([YOLODIST, *self.LONG, "--ranks", "2"])
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 75, self.output()[-3000:])


class StopCommand(FaultTest):
    def test_stops_the_run_from_anywhere(self):
        process = self.begin(mpirun(2, *StopRequest.LONG))
        wait_until(lambda: "Starting training" in self.output(), 60, "training")
        asked = product.run([YOLODIST, "stop"], self.folder)
        self.expect(asked, 0)
        self.assertEqual(process.wait(timeout=30), 75, self.output()[-3000:])
        self.assertTrue((self.folder / "runs/train/exp/weights/last.pt").exists())
        self.assertFalse((self.folder / "runs/train/exp/.stop").exists())
        self.expect(product.run([YOLODIST, "stop", "nothing-here"], self.folder), 65)


class DeadWorker(FaultTest):
    def test_ends_the_job_with_its_report_and_code(self):
        process = self.begin(mpirun(2, *StopRequest.LONG, "--max-restarts", "0"))
        wait_until(lambda: "Starting training" in self.output() and len(self.workers(process)) == 2, 60, "training")
        os.kill(self.workers(process)[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=30), 137, self.output()[-3000:])
        self.assertTrue(list((self.folder / "runs/train/exp/failures").glob("attempt-*.rank-*.json")))
        self.assertIn("SIGKILL", self.output())
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")

    def test_dead_launcher_takes_its_worker_along(self):
        process = self.begin(mpirun(2, *StopRequest.LONG))
        wait_until(lambda: "Starting training" in self.output() and len(self.workers(process)) == 2, 60, "training")
        os.kill(max(self.launchers(process)), signal.SIGKILL)
        self.assertNotEqual(process.wait(timeout=30), 0)
        wait_until(lambda: not processes_of_session(process.pid), 10, "nothing is left")


class FullDisk(FaultTest):
    def limited(self, kilobytes, words):
        # A file size limit stands in for a full disk: writes past it fail with EFBIG.
        line = f"ulimit -f {kilobytes}; trap '' XFSZ; exec \"$@\""
        return product.run(["bash", "-c", line, "bash", YOLODIST, *words], self.folder)

    def test_no_room_for_the_gradients_shared_memory(self):
        process = self.limited(9000, [*QUICK, "--max-iterations", "1"])
        self.expect(process, 74)

    def test_no_room_for_the_checkpoint_keeps_the_old_one(self):
        self.expect(product.run([YOLODIST, *RESUMABLE, "--max-iterations", "2"], self.folder), 0)
        last = self.folder / "runs/train/exp/weights/last.pt"
        before = last.read_bytes()
        process = self.limited(len(before) // 1024 - 1000, ["train", "--resume", "--max-iterations", "4"])
        self.expect(process, 74)
        self.assertEqual(last.read_bytes(), before)
        self.assertEqual(list(last.parent.glob("*.tmp*")), [])


if __name__ == "__main__":
    product.main()
