# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of a SLURM cluster of two hosts: srun, the shipped batch scripts, signals, preemption, a node that fails.

Installs Debian's SLURM where it is missing. Needs root and network namespaces; skipped with the reason where there
are none.
"""

import json
import os
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import hosts  # noqa: E402
import product  # noqa: E402
import slurm_cluster  # noqa: E402
from faults import FaultTest, wait_until  # noqa: E402
from product import QUICK, SOURCE, YOLODIST, mpirun  # noqa: E402

SAVED, USAGE, UNAVAILABLE = 75, 64, 69
# Long enough to be stopped in the middle, short enough to be finished; or without an end of its own.
OPTIONS = [*QUICK[1:], "--checkpoint-every", "1", "--accumulate", "1", "--noval", "--noplots"]
SHORT, ENDLESS = [*OPTIONS, "--epochs", "8"], [*OPTIONS, "--epochs", "10000", "--nosave"]
# One rank on each node, where the shipped script has eight.
SMALL = ["--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=2", "--time=30"]
SCRIPT = SOURCE / "cluster/train_multinode.sbatch"


class SlurmJobs(FaultTest):
    cluster, reason, whole = None, "", None

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="yds-")
        cls.addClassCleanup(holder.cleanup)
        folder = pathlib.Path(holder.name)
        for name in ("hosts", "slurm"):
            (folder / name).mkdir()
        try:
            cls.hosts = hosts.Hosts(folder / "hosts")
            cls.addClassCleanup(cls.hosts.close)
            cls.cluster = slurm_cluster.SlurmCluster(cls.hosts, folder / "slurm")
            cls.addClassCleanup(cls.cluster.close)
        except hosts.Unavailable as reason:
            cls.reason = str(reason)

    def setUp(self):
        super().setUp()
        if self.cluster is None:
            self.skipTest(self.reason)
        self.addCleanup(self.cluster.cancel_all)

    def submit(self, *options, launch="srun", script=SCRIPT, asked=()):
        return self.cluster.submit(*SMALL, *asked, script, *options, cwd=self.folder, LAUNCH=launch, YOLODIST=YOLODIST)

    def text(self, job):
        """The logs of the ranks and that of the batch script."""
        logs = [*sorted((self.folder / "logs" / job).rglob("*")), self.folder / f"yolodist-{job}.log"]
        return "".join(log.read_text(errors="replace") for log in logs if log.is_file())

    def rows(self, run="exp"):
        try:
            return product.iterations(self.folder / "runs/train" / run)
        except (OSError, json.JSONDecodeError):  # not there yet, or a piece of a line
            return []

    def wait_iterations(self, count, run="exp", seconds=90):
        wait_until(lambda: len(self.rows(run)) >= count, seconds, f"{count} iterations")

    def expect_requeued(self, job, seconds=90):
        """It was saved, and waits to run again."""
        try:
            self.cluster.wait_requeued(job, seconds=seconds)
        except AssertionError as error:
            self.fail(f"{error}\n{self.text(job)[-3000:]}\n{self.cluster.job(job)}")
        self.assertIn(f"exit code {SAVED}", self.text(job))

    def expect_completed(self, job, seconds=120):
        state = self.cluster.wait_state(job, "COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", seconds=seconds)
        self.assertEqual((state["JobState"], state["ExitCode"]), ("COMPLETED", "0:0"), self.text(job)[-3000:])

    def expect_uninterrupted(self, run="exp"):
        """The losses are those of a run on one host that nothing disturbed."""
        if SlurmJobs.whole is None:
            self.expect(product.run(mpirun(2, *["train", *SHORT], "--name", "whole"), self.folder), 0)
            SlurmJobs.whole = product.losses(self.folder / "runs/train/whole")
        self.assertEqual(product.losses(self.folder / "runs/train" / run), self.whole)

    def expect_resumed(self, job, run="exp", more=3):
        """It runs again, and goes on with the iteration after the last one that was saved."""
        before = len(self.rows(run))
        self.cluster.start_now(job)
        wait_until(lambda: f"resuming from {self.folder}/runs/train/{run}/" in self.text(job), 90, "resumed")
        self.wait_iterations(before + more, run)
        numbers = [row["iteration"] for row in self.rows(run)]
        self.assertEqual(numbers, list(range(len(numbers))), self.text(job)[-3000:])

    def test_srun_over_two_nodes(self):
        done = self.cluster.run("srun", "--mpi=pmix", "--nodes=2", *SMALL, YOLODIST, "train", *SHORT, cwd=self.folder)
        self.assertEqual([name in done.stdout + done.stderr for name in self.hosts.names], [True, True])
        self.expect_uninterrupted()

    def test_a_wrong_pmi_is_refused(self):
        done = self.cluster.run("srun", "--mpi=none", "--nodes=2", *SMALL, YOLODIST, "train", *SHORT, cwd=self.folder,
                                check=False)
        self.assertEqual(done.returncode, USAGE, done.stderr)
        lines = [line for line in done.stderr.splitlines() if "error: " in line and "--mpi=pmix" in line]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn("mpirun --bind-to none", lines[0])
        self.assertFalse((self.folder / "runs").exists())

    def stopped_and_requeued(self, launch):
        job = self.submit(*SHORT, launch=launch)
        self.wait_iterations(3)
        self.cluster.run("scancel", "--batch", "--signal=USR1", job)
        self.expect_requeued(job)
        self.assertIn("before SLURM's time limit", self.text(job))
        self.cluster.start_now(job)
        self.expect_completed(job)
        self.assertIn("resuming from", self.text(job))
        self.expect_uninterrupted()

    def test_the_shipped_script_by_srun_is_stopped_requeued_and_goes_on(self):
        self.stopped_and_requeued("srun")
        logs = sorted(path.relative_to(self.folder / "logs").parts[1:] for path in self.folder.glob("logs/*/*/*"))
        self.assertEqual(logs, [(f"start-{i}", f"rank-{k}.log") for i in (1, 2) for k in (0, 1)])

    def test_the_shipped_script_by_mpirun_is_stopped_requeued_and_goes_on(self):
        self.stopped_and_requeued("mpirun")

    def test_the_shipped_script_for_one_node(self):
        job = self.submit(*SHORT, script=SOURCE / "cluster/train.sbatch", asked=["--ntasks-per-node=2"])
        self.expect_completed(job)
        self.expect_uninterrupted()

    def test_tasks_that_srun_cannot_start_are_no_success(self):
        job = self.submit(*SHORT, asked=["--hold"])
        for name in self.hosts.names:  # in the way of the PMIx servers; srun says 0 then
            self.cluster.pmix_socket(name, job).touch()
        self.cluster.run("scontrol", "release", job)
        state = self.cluster.wait_state(job, "COMPLETED", "FAILED")
        self.assertEqual((state["JobState"], state["ExitCode"]), ("FAILED", f"{UNAVAILABLE}:0"), self.text(job))

    def test_slurms_signal_to_the_tasks(self):
        job = self.submit(*ENDLESS, asked=["--signal=USR1@60"])
        self.wait_iterations(3)
        # So little time is left that it is due; SLURM looks at its clocks twice a minute.
        spent_s = self.cluster.run_time_s(job)
        self.cluster.run("scontrol", "update", f"JobId={job}", f"TimeLimit={(spent_s + 50 + 59) // 60}")
        self.expect_requeued(job, seconds=120)
        self.assertIn("SIGUSR1: rank 1 asks all ranks to save and stop", self.text(job))
        self.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=30")
        self.expect_resumed(job)
        # scancel: saved, but not requeued.
        before = self.text(job).count("state saved")
        self.cluster.run("scancel", job)
        self.cluster.wait_state(job, "CANCELLED")
        wait_until(lambda: self.text(job).count("state saved") > before, 30, "saved")
        self.assertEqual(self.cluster.job(job)["Restarts"], "1")

    def test_preemption(self):
        job = self.submit(*ENDLESS, asked=["--partition=low"])
        self.wait_iterations(3)
        urgent = self.cluster.submit("--partition=main", "--nodes=2", "--exclusive", "--wrap", "true", cwd=self.folder)
        self.expect_requeued(job)
        self.expect_completed(urgent)
        self.expect_resumed(job)

    def test_a_node_fails(self):
        job = self.submit(*SHORT)
        self.wait_iterations(3)
        self.hosts.cut(self.hosts.names[1])
        self.addCleanup(self.hosts.mend, self.hosts.names[1])
        self.cluster.wait_requeued(job, seconds=90)
        saved = (self.folder / "runs/train/exp/weights/last.pt").read_bytes()
        wait_until(lambda: not self.hosts.processes(self.hosts.names[1], "yolodist-worker"), 60, "the other rank ends")
        self.assertEqual((self.folder / "runs/train/exp/weights/last.pt").read_bytes(), saved)
        self.hosts.mend(self.hosts.names[1])
        self.cluster.start_now(job)
        self.expect_completed(job)
        self.expect_uninterrupted()

    def test_a_worker_dies(self):
        job = self.submit(*SHORT)
        self.wait_iterations(3)
        os.kill(self.hosts.processes(self.hosts.names[1], "yolodist-worker")[0], signal.SIGKILL)
        self.expect_completed(job)
        self.assertEqual(self.cluster.job(job)["Restarts"], "0")
        self.assertIn("all workers start again", self.text(job))
        self.expect_uninterrupted()

    def test_two_jobs_from_one_folder_reach_their_time_limit_and_each_goes_on_with_its_own_run(self):
        jobs = {}
        for run, launch in (("exp", "srun"), ("exp2", "mpirun")):
            # SIGCONT: so that it is not SLURM's signal that stops them.
            done = self.cluster.run(YOLODIST, "slurm", "--nodes", "2", "--gpus", "1", "--cpus-per-gpu", "2", "--time",
                                    "1:00", "--signal-before", "1", "--launch", launch, "--submit", "--", *ENDLESS,
                                    cwd=self.folder, SBATCH_SIGNAL="B:CONT@1")
            jobs[run] = done.stdout.strip()
            self.wait_iterations(3, run)
        for job in jobs.values():
            self.expect_requeued(job, seconds=120)
            self.assertIn("SLURM's time limit: rank 0 asks all ranks to save and stop", self.text(job))
        for run, job in jobs.items():
            self.expect_resumed(job, run)
        self.assertEqual(sorted(os.listdir(self.folder / "runs/train")), ["exp", "exp2"])


if __name__ == "__main__":
    product.main()
