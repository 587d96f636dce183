# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""mpirun over two hosts (network namespaces): the result of one host; a launcher, a daemon, a link that dies; --net-if.

Needs root and network namespaces; skipped with the reason where there are none.
"""

import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import hosts  # noqa: E402
import product  # noqa: E402
from faults import RESUMABLE, FaultTest, wait_until  # noqa: E402
from product import QUICK, YOLODIST, mpirun  # noqa: E402

SILENCE = 30  # seconds after which a launcher that is not heard is missed; docs/failures.md
TAKEN_OVER = 74
NO_DEVICE = 69
# Put before the worker: writes down what NCCL is told on this host.
TELLS = """#!/bin/bash
echo "$NCCL_SOCKET_IFNAME" >>"$0.$(hostname)"
exec "$@"
"""


class TwoHosts(FaultTest):
    def setUp(self):
        super().setUp()
        holder = tempfile.TemporaryDirectory(prefix="ydt-")
        self.addCleanup(holder.cleanup)
        try:
            self.hosts = hosts.Hosts(holder.name)
        except hosts.Unavailable as reason:
            self.skipTest(str(reason))
        self.addCleanup(self.hosts.close)
        self.first, self.second = self.hosts.names
        self.run_folder = self.folder / "runs/train/two"

    def over(self, slots):
        return self.hosts.mpirun(slots, YOLODIST, *RESUMABLE, "--name", "two")

    def iterations(self):
        try:
            return len(product.iterations(self.run_folder))
        except (OSError, json.JSONDecodeError):  # not there yet, or a piece of a line
            return 0

    def trains(self, slots):
        """mpirun, once that training is in its third iteration."""
        process = self.begin(self.over(slots))
        wait_until(lambda: self.iterations() >= 2, 60, "two iterations")
        return process

    def left(self):
        return self.hosts.processes(self.first) + self.hosts.processes(self.second)

    def expect_same_as_one_host(self):
        self.expect(product.run(mpirun(2, *RESUMABLE, "--name", "one"), self.folder), 0)
        one = self.folder / "runs/train/one"
        self.assertEqual(product.losses(self.run_folder), product.losses(one))
        self.assertEqual(product.results(self.run_folder), product.results(one))

    def test_the_result_is_that_of_one_host(self):
        process = self.begin(self.over([self.first, self.second]))
        wait_until(lambda: self.hosts.processes(self.second, "yolodist-worker"), 60, "a worker on the other host")
        self.assertEqual(process.wait(timeout=90), 0, self.output()[-3000:])
        self.expect_same_as_one_host()

    def test_a_worker_on_the_other_host_is_killed(self):
        process = self.trains([self.first, self.second])
        os.kill(self.hosts.processes(self.second, "yolodist-worker")[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=90), 0, self.output()[-3000:])
        self.assertIn("all workers start again", self.output())
        self.expect_same_as_one_host()

    def test_a_launcher_on_the_other_host_is_killed(self):
        process = self.trains([self.first, self.second])
        os.kill(self.hosts.processes(self.second, "yolodist")[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=SILENCE), 128 + signal.SIGKILL, self.output()[-3000:])
        wait_until(lambda: not self.left(), 10, "nothing is left")

    def test_the_daemon_of_the_other_host_is_killed(self):
        process = self.trains([self.first, self.second])
        os.kill(self.hosts.processes(self.second, "orted")[0], signal.SIGKILL)
        self.assertNotEqual(process.wait(timeout=SILENCE), 0, self.output()[-3000:])
        wait_until(lambda: not self.left(), 10, "nothing is left")

    def test_the_link_to_the_rank_that_saves_is_cut(self):
        process = self.trains([self.second, self.first])
        self.hosts.cut(self.second)
        begin = time.monotonic()
        wait_until(lambda: not self.hosts.processes(self.first, "yolodist-worker"), SILENCE + 30, "the survivor ends")
        self.assertGreater(time.monotonic() - begin, SILENCE / 2, "it is no failure of a worker")
        survivor = [line for line in self.output().splitlines()
                    if re.search(rf"rank 0\b.*{self.second}", line) and "error" in line]
        self.assertEqual(len(survivor), 1, self.output()[-3000:])
        self.assertNotEqual(process.wait(timeout=60), 0, self.output()[-3000:])
        wait_until(lambda: not self.left(), 60, "nothing is left on either side of the cut")
        checkpoint = (self.run_folder / "weights/last.pt").stat()
        # The same job again, on what is left: it goes on where the last checkpoint was.
        again = self.hosts.mpirun([self.first, self.first], YOLODIST, *RESUMABLE, "--name", "two", "--resume", "auto")
        self.expect(product.run(again, self.folder), 0)
        self.assertLess(checkpoint.st_mtime_ns, (self.run_folder / "weights/last.pt").stat().st_mtime_ns)
        self.expect_same_as_one_host()

    def test_a_host_that_comes_back_does_not_save_into_a_run_that_another_job_has_taken_over(self):
        # With process ids of its own: on one host it would be known at once that the other is alive.
        process = self.begin(self.hosts.command(self.second, "unshare", "--pid", "--fork", "--mount-proc", YOLODIST,
                                                *RESUMABLE, "--name", "two"))
        wait_until(lambda: self.iterations() >= 2, 60, "two iterations")
        asleep = [pid for name in ("yolodist", "yolodist-worker") for pid in self.hosts.processes(self.second, name)]
        for pid in asleep:
            os.kill(pid, signal.SIGSTOP)
        other = self.hosts.mpirun([self.first], YOLODIST, *RESUMABLE, "--name", "two", "--resume", "auto")
        self.expect(product.run(other, self.folder), 0)
        finished = (self.run_folder / "weights/last.pt").read_bytes()
        for pid in asleep:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(process.wait(timeout=60), TAKEN_OVER, self.output()[-3000:])
        self.assertEqual((self.run_folder / "weights/last.pt").read_bytes(), finished)

    def over_second_network(self, net_if, *words):
        self.hosts.add_network(("ib0", "ib1"), ("10.78.0.1/24", "10.78.0.2/24"))
        return [*self.hosts.mpirun([self.first, self.second], YOLODIST, *QUICK, "--epochs", "1", "--name", "two",
                                   "--net-if", net_if, *words)]

    def test_the_network_between_hosts_is_the_one_that_is_asked_for(self):
        tells = self.folder / "tells"
        tells.write_text(TELLS, encoding="utf-8")
        tells.chmod(0o755)
        # MPI is told eth0 by the environment: that network stays for mpirun and its daemon.
        job = product.run(self.over_second_network("10.78.0.0/24", "--worker-prefix", tells), self.folder)
        self.expect(job, 0)
        for host, interface in ((self.first, "ib0"), (self.second, "ib1")):
            self.assertEqual(pathlib.Path(f"{tells}.{host}").read_text(encoding="utf-8"), f"={interface}\n")
            self.assertGreater(self.hosts.sent_bytes(host, interface), 3 << 20)  # gradients take seven MiB
            self.assertLess(self.hosts.sent_bytes(host, "eth0"), 1 << 20)
        output = job.stdout + job.stderr
        self.assertIn("--net-if 10.78.0.0/24 takes the place of OMPI_MCA_btl_tcp_if_include=eth0", output)
        self.assertRegex(output, rf"0 +{self.first} .* ib0 10\.78\.0\.1")
        self.assertRegex(output, rf"1 +{self.second} .* ib1 10\.78\.0\.2")
        self.assertRegex(output, r"network: 1 MiB all-reduce over 2 ranks on 2 hosts in [\d.e+]+ ms, [\d.e-]+ GB/s")

    def test_a_host_without_the_network_that_is_asked_for_is_named(self):
        job = product.run(self.over_second_network("ib0"), self.folder)
        self.expect(job, NO_DEVICE)
        output = job.stdout + job.stderr
        self.assertEqual(output.count("--net-if ib0: host"), 1, output[-3000:])
        self.assertRegex(output, rf"--net-if ib0: host {self.second} has no such .* it has .*ib1 10\.78\.0\.2/24")
        self.assertFalse((self.folder / "runs").exists())


if __name__ == "__main__":
    product.main()
