# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""NcclCommunicator on a card: every collective with one rank, and with two on the same card where NCCL allows that.

    nccl.py NCCL_RANK [unittest arguments]    the program; with YOLODIST_GPU_TEST_DEVICE=cpu the one over the stand-in
"""

import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from on_device import ON_CARD, product  # noqa: E402

PROGRAM = sys.argv.pop(1)
LIMIT_S = 120


class Nccl(product.ProductTest):
    def start(self, rank, ranks, **more):
        """NCCL takes ranks of one card for ranks of different hosts when it is told other names of hosts."""
        environment = {**os.environ, "NCCL_HOSTID": f"yolodist-test-{rank}", "NCCL_SOCKET_IFNAME": "lo",
                       "NCCL_IB_DISABLE": "1", **more}
        output = open(self.folder / f"rank-{rank}.txt", "w+", encoding="utf-8")
        self.addCleanup(output.close)
        return subprocess.Popen([PROGRAM, str(rank), str(ranks), str(self.folder / "id")], env=environment,
                                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder)

    def said(self, rank):
        return (self.folder / f"rank-{rank}.txt").read_text(encoding="utf-8")

    def run_ranks(self, ranks, **more):
        """Runs them to the end, all together within the limit; returns the exit codes, None for who did not end."""
        processes = [self.start(rank, ranks, **more) for rank in range(ranks)]
        limit = time.monotonic() + LIMIT_S
        # Whom NCCL refuses leaves the others waiting.
        while time.monotonic() < limit and any(p.poll() is None for p in processes) and not any(
                p.poll() == product.SKIPPED for p in processes):
            time.sleep(0.05)
        codes = [process.poll() for process in processes]
        for process in processes:
            process.kill()
            process.wait()
        return codes

    def expect_through(self, codes):
        """Skips where NCCL does not take the ranks, or connects them never; else all must be through."""
        for rank, code in enumerate(codes):
            if code == product.SKIPPED:
                self.skipTest(self.said(rank).strip().splitlines()[-1])
        texts = [self.said(rank) for rank in range(len(codes))]
        if len(codes) > 1 and not any("connected" in text for text in texts):
            self.skipTest(f"not supported here: no collective got through in {LIMIT_S} s: {texts}")
        self.assertEqual(codes, [0] * len(codes), texts)
        for text in texts:
            self.assertEqual(sum(line.startswith("ok ") for line in text.splitlines()), 10, text)
        print(texts[0].strip().splitlines()[-1])

    def test_one_rank_does_every_collective(self):
        self.expect_through(self.run_ranks(1))

    def test_two_ranks_on_one_card(self):
        self.expect_through(self.run_ranks(2))

    @unittest.skipIf(ON_CARD, "only the stand-in refuses when it is told to")
    def test_a_refusal_is_told_as_one(self):
        codes = self.run_ranks(2, YOLODIST_NCCL_FAULTS="init_fails:1:0:5")
        self.assertEqual(codes[1], product.SKIPPED, self.said(1))
        self.assertIn("not supported here: ", self.said(1))

    @unittest.skipIf(ON_CARD, "only the stand-in fails when it is told to")
    def test_a_failure_after_that_is_a_failure(self):
        codes = self.run_ranks(2, YOLODIST_NCCL_FAULTS="async_error:1:20:6,async_error:0:20:6")
        self.assertEqual(codes, [1, 1], self.said(1))
        with self.assertRaises(self.failureException):
            self.expect_through(codes)


if __name__ == "__main__":
    product.main()
