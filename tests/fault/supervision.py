# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Deaths, silence and time limits of real jobs: they go on, or end with the stated code, and leave nothing behind."""

import ctypes
import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, processes_of_session, wait_until  # noqa: E402
from product import QUICK, YOLODIST, mpirun  # noqa: E402

SAVED, USAGE, PEERS_LOST = 75, 64, 76
LONG = [*QUICK, "--epochs", "100000", "--noval", "--noplots"]


class Supervised(FaultTest):
    def training(self, command, workers=2):
        """A job that has trained some iterations."""
        process = self.begin(command)
        wait_until(lambda: process.poll() is not None or len(self.workers(process)) == workers and
                   "it/s" in self.output(), 60, "training")
        self.assertIsNone(process.poll(), self.output()[-3000:])
        return process

    def run_folder(self, name="exp"):
        return self.folder / "runs/train" / name

    def nothing_is_left(self, process, seconds=15):
        wait_until(lambda: not processes_of_session(process.pid), seconds, "nothing is left")


class DeadLauncher(Supervised):
    """MPI itself cannot go on: the job ends, and the next start goes on exactly."""

    def resumes_exactly_after(self, kill, name):
        process = self.begin(mpirun(2, *RESUMABLE, "--name", name))
        wait_until(lambda: (self.run_folder(name) / "weights/last.pt").exists(), 60, "a checkpoint")
        kill(process)
        self.assertNotIn(process.wait(timeout=45), (0, SAVED))
        self.nothing_is_left(process)
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", name, "--resume", "auto"), self.folder), 0)
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", name + "-whole"), self.folder), 0)
        whole = self.run_folder(name + "-whole")
        self.assertEqual(product.losses(self.run_folder(name)), product.losses(whole))
        self.assertEqual(product.results(self.run_folder(name)), product.results(whole))

    def test_each_rank_in_turn(self):
        for rank in (0, 1):
            with self.subTest(rank=rank):
                self.resumes_exactly_after(lambda process, rank=rank: os.kill(self.launchers(process)[rank], signal.SIGKILL),
                                           f"rank{rank}")

    def test_mpirun_itself(self):
        self.resumes_exactly_after(lambda process: process.kill(), "front")

    def test_a_stopped_launcher_is_named(self):
        process = self.training(mpirun(2, *LONG))
        os.kill(self.launchers(process)[1], signal.SIGSTOP)
        process.wait(timeout=90)
        self.assertRegex(self.output(), r"rank 0 on \S+: nothing heard for 30 s: .*; silent: rank 1 on \S+")
        self.nothing_is_left(process, seconds=30)


class HeldThread:
    """One thread of a process that stands still while the others run, as one does that waits for a dead file
    system. SIGSTOP would hold them all; a debugger's attachment holds the thread that it names."""

    ATTACH, DETACH = 16, 17
    WAIT_ANY_KIND = 0x40000000  # __WALL

    def __init__(self, thread):
        self.thread = thread
        self.call(self.ATTACH)
        os.waitpid(thread, self.WAIT_ANY_KIND)

    def call(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        libc.ptrace.restype = ctypes.c_long
        if libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def let_go(self):
        try:
            self.call(self.DETACH)
        except OSError:  # killed meanwhile: its parent hears of it only when we have
            os.waitpid(self.thread, self.WAIT_ANY_KIND)


class StuckWorker(Supervised):
    def test_a_step_that_does_not_end(self):
        process = self.training(mpirun(2, *LONG))
        try:
            held = HeldThread(self.workers(process)[1])
        except OSError as error:
            self.skipTest(f"no debugger may be attached here: {error}")
        # Held where it has a lock, it keeps the thread that sends samples from doing so.
        named = r"rank \d on \S+: the worker (is stuck: for 6\d s in \w+|has said nothing for 30 s) in epoch"
        try:
            self.wait_for(lambda: list((self.run_folder() / "failures").glob("attempt-0.*.json")), 150, "a report")
        finally:
            held.let_go()
        self.wait_for(lambda: re.search(named, self.output()), 60, "the stuck worker is named")
        self.wait_for(lambda: self.output().count("Starting training") > 1, 60, "training again")
        self.expect(product.run([YOLODIST, "stop"], self.folder), 0)
        self.assertEqual(process.wait(timeout=60), SAVED, self.output()[-3000:])
        self.nothing_is_left(process)


class StartCheck(Supervised):
    """What differs between the ranks is named before it does harm."""

    def test_different_pictures(self):
        if os.geteuid() != 0:
            self.skipTest("only root may give a rank a view of its own of the files")
        data, other = self.folder / "data", self.folder / "other"
        product.run(["cp", "-r", product.SOURCE / "share/yolodist/sample", data], self.folder)
        product.run(["cp", "-r", data / "images/train", other], self.folder)
        sorted(other.iterdir())[3].unlink()
        words = [str(data / "sample.yaml") if word == product.SAMPLE else word for word in QUICK]
        command = ["mpirun", "--bind-to", "none", "-np", "1", YOLODIST, *words, ":", "-np", "1", "unshare", "--mount", "sh",
                   "-c", f'mount --bind {other} {data}/images/train && exec "$@"', "sh", YOLODIST, *words]
        refused = product.run(command, self.folder)
        self.expect(refused, 65)
        self.assertRegex(refused.stderr + refused.stdout,
                         r"the list of training pictures differs: rank 0 on \S+: 16 \(\w+\), rank 1 on \S+: 15 \(")

    def test_different_builds(self):
        """The same program but for the commit that it names."""
        other = self.folder / "bin"
        other.mkdir()
        version = product.run([YOLODIST, "--version"], self.folder).stdout
        # Compilers put short texts into instructions, eight bytes in each.
        commit = re.search(r"\bgit\s+(\w+)", version)[1][:8].encode()
        program = pathlib.Path(YOLODIST).read_bytes()
        self.assertIn(commit, program)
        (other / "yolodist").write_bytes(program.replace(commit, b"x" * len(commit)))
        (other / "yolodist").chmod(0o755)
        (other / "yolodist-worker").symlink_to(product.BIN / "yolodist-worker")
        environment = {**os.environ, "YOLODIST_SHARE": str(product.SOURCE / "share/yolodist")}
        refused = product.run(["mpirun", "--bind-to", "none", "-np", "1", YOLODIST, *QUICK, ":", "-np", "1",
                               other / "yolodist", *QUICK], self.folder, env=environment)
        self.expect(refused, USAGE)
        self.assertRegex(refused.stderr + refused.stdout, r"different builds; rank 0: .*; rank 1: .*\(git x{8}")
        self.assertFalse((self.folder / "runs").exists())


class Straggler(Supervised):
    def test_a_slow_rank_is_named(self):
        process = self.training(mpirun(2, *LONG))
        slow = self.workers(process)[0]
        end = time.monotonic() + 150
        while "holds up the others" not in self.output() and time.monotonic() < end:
            for number in (signal.SIGSTOP, signal.SIGCONT):  # half of the time
                os.kill(slow, number)
                time.sleep(0.1)
        self.assertRegex(self.output(), r"rank \d on \S+ holds up the others: for \d+ s now it takes \d+ ms")
        self.expect(product.run([YOLODIST, "stop"], self.folder), 0)
        self.assertEqual(process.wait(timeout=60), SAVED, self.output()[-3000:])


class TimeLimit(Supervised):
    def test_stops_in_time_by_itself(self):
        begin = time.time()
        process = product.run(mpirun(2, *LONG, "--time-limit", "24s"), self.folder)
        self.expect(process, SAVED)
        # What is kept is the reserve for saving; how long mpirun then takes to end is the machine's matter.
        saved = (self.run_folder() / "weights/last.pt").stat().st_mtime
        self.assertLess(saved - begin, 24)
        self.assertIn("--time-limit 0:24: rank 0 asks all ranks to save and stop", process.stdout + process.stderr)
        self.assertTrue((self.run_folder() / "weights/last.pt").exists())

    def test_knows_the_end_of_a_slurm_job(self):
        end = {**os.environ, "SLURM_JOB_END_TIME": str(int(time.time()) + 15)}
        process = product.run(mpirun(1, *LONG), self.folder, env=end)
        self.expect(process, SAVED)
        self.assertIn("SLURM's time limit", process.stdout + process.stderr)

    def test_nonsense_is_refused(self):
        self.expect(product.run([YOLODIST, *LONG, "--time-limit", "soon"], self.folder), USAGE)


class StopSignal(Supervised):
    def test_another_signal_to_every_process(self):
        """As schedulers do: launchers and workers get it alike."""
        for command in (mpirun(2, *LONG, "--name", "mpirun", "--stop-signal", "SIGXCPU"),
                        [YOLODIST, *LONG, "--name", "alone", "--ranks", "2", "--stop-signal", "XCPU"]):
            with self.subTest(command[0]):
                (self.folder / "output.txt").unlink(missing_ok=True)
                process = self.training(command)
                for pid in [*self.workers(process), *self.launchers(process)]:
                    os.kill(pid, signal.SIGXCPU)
                self.assertEqual(process.wait(timeout=30), SAVED, self.output()[-3000:])
                self.nothing_is_left(process)

    def test_a_worker_that_is_still_starting_is_not_ended_by_it(self):
        process = self.begin(mpirun(2, *LONG))
        for number in (signal.SIGUSR1, signal.SIGTERM):
            wait_until(lambda: self.workers(process), 30, "workers")
            for pid in self.workers(process):
                os.kill(pid, number)
        self.assertEqual(process.wait(timeout=60), SAVED, self.output()[-3000:])
        self.nothing_is_left(process)

    def test_a_signal_that_means_something_else_is_refused(self):
        self.expect(product.run([YOLODIST, *LONG, "--stop-signal", "KILL"], self.folder), USAGE)


class ResumeAuto(Supervised):
    SHORT = [*QUICK, "--epochs", "2", "--noplots", "--resume", "auto"]

    def start(self, *more, **variables):
        return product.run(mpirun(1, *self.SHORT, *more), self.folder, env={**os.environ, **variables})

    def test_a_first_start_starts_and_a_second_goes_on(self):
        first = self.start("--name", "a", "--max-iterations", "2")
        self.expect(first, 0)
        self.assertIn("its first start", first.stdout)
        second = self.start("--name", "a")
        self.expect(second, 0)
        self.assertIn("resuming from", second.stdout)
        self.assertEqual([path.name for path in (self.folder / "runs/train").iterdir()], ["a"])
        self.assertEqual(len(product.results(self.run_folder("a"))), 2)

    def test_jobs_of_one_folder_keep_their_own_runs(self):
        for job in ("11", "12", "11", "12"):
            self.expect(self.start("--max-iterations", "2", SLURM_JOB_ID=job), 0)
        self.assertEqual(sorted(path.name for path in (self.folder / "runs/train").iterdir()), ["exp", "exp2"])
        for name, job in (("exp", "11"), ("exp2", "12")):
            text = (self.run_folder(name) / "run.yaml").read_text()
            self.assertIn(f'lineage: "slurm {job}"\n', text)
            self.assertIn("resumed_count: 1\n", text)

    def test_without_a_name_it_says_what_is_missing(self):
        for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
            os.environ.pop(name, None)
        refused = self.start()
        self.expect(refused, USAGE)
        self.assertIn("--name", refused.stderr + refused.stdout)

    def test_a_run_in_use_is_left_alone(self):
        process = self.training(mpirun(1, *LONG, "--name", "busy"), workers=1)
        for resume in ("auto", "busy"):
            second = product.run(mpirun(1, *QUICK, "--epochs", "100000", "--noval", "--noplots", "--name", "busy",
                                        "--resume", resume), self.folder)
            self.expect(second, USAGE)
            self.assertIn("is in use by process", second.stderr + second.stdout)
        self.assertIsNone(process.poll())
        os.kill(self.launchers(process)[0], signal.SIGUSR1)
        self.assertEqual(process.wait(timeout=30), SAVED, self.output()[-3000:])

    def test_who_lost_the_run_ends_without_writing(self):
        """A job that was thought dead: its successor has taken the run over."""
        process = self.training(mpirun(2, *LONG, "--name", "lost", "--checkpoint-every", "1"))
        (self.run_folder("lost") / ".token").write_text("0" * 32 + "\n")
        self.assertEqual(process.wait(timeout=60), 74, self.output()[-3000:])
        self.assertIn("another job has taken over", self.output())
        self.nothing_is_left(process)


if __name__ == "__main__":
    product.main()
