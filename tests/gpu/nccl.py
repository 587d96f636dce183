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


def why_skipped(codes, texts):
    """None where the ranks must have got through. Only ranks that were refused or never met may be skipped: who crashes
    leaves the others waiting, too, and one rank has nobody to be refused with."""
    if any("no card to test on" in text for text in texts) and product.SKIPPED in codes:
        return next(text.strip().splitlines()[-1] for text in texts if "no card to test on" in text)
    if len(codes) == 1 or any(code not in (product.SKIPPED, None) for code in codes) or any("connected" in text for text in texts):
        return None
    if product.SKIPPED in codes:
        return texts[codes.index(product.SKIPPED)].strip().splitlines()[-1]
    return f"not supported here: no collective got through in {LIMIT_S} s: {texts}"


class Nccl(product.ProductTest):
    def start(self, rank, ranks, *words, **more):
        """NCCL takes ranks of one card for ranks of different hosts when it is told other names of hosts."""
        environment = {**os.environ, "NCCL_HOSTID": f"yolodist-test-{rank}", "NCCL_SOCKET_IFNAME": "lo",
                       "NCCL_IB_DISABLE": "1", **more}
        output = open(self.folder / f"rank-{rank}.txt", "w+", encoding="utf-8")
        self.addCleanup(output.close)
        return subprocess.Popen([PROGRAM, str(rank), str(ranks), str(self.folder / "id"), *words], env=environment,
                                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder)

    def said(self, rank):
        return (self.folder / f"rank-{rank}.txt").read_text(encoding="utf-8")

    def run_ranks(self, ranks, *words, **more):
        """Runs them to the end, all together within the limit; returns the exit codes, None for who did not end."""
        processes = [self.start(rank, ranks, *words, **more) for rank in range(ranks)]
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
        texts = [self.said(rank) for rank in range(len(codes))]
        reason = why_skipped(codes, texts)
        if reason is not None:
            self.skipTest(reason)
        self.assertEqual(codes, [0] * len(codes), texts)
        for text in texts:
            self.assertEqual(sum(line.startswith("ok ") for line in text.splitlines()), 10, text)
        print(texts[0].strip().splitlines()[-1])

    def test_one_rank_does_every_collective(self):
        self.expect_through(self.run_ranks(1))

    def test_two_ranks_on_one_card(self):
        self.expect_through(self.run_ranks(2))

    def expect_failure(self, codes, expected):
        self.assertEqual(codes, expected, self.said(0))
        with self.assertRaises(self.failureException):
            self.expect_through(codes)

    def test_only_a_refusal_or_ranks_that_never_meet_are_skipped(self):
        refused, waiting, connected = "not supported here: NCCL refuses", "", "connected"
        for codes, texts in (([77, None], [refused, waiting]), ([77, 77], [refused, refused]), ([None, None], [waiting, waiting])):
            self.assertIn("not supported here", why_skipped(codes, texts), codes)
        for codes, texts in (([-11, -11], [waiting, waiting]), ([-11, 77], [waiting, refused]), ([1, None], [waiting, waiting]),
                             ([77], [refused]), ([None], [waiting]), ([None, None], [connected, connected]),
                             ([0, 77], [connected, refused]), ([0, 0], [connected, connected])):
            self.assertIsNone(why_skipped(codes, texts), codes)
        self.assertIn("none", why_skipped([77], ["no card to test on: CUDA sees none"]))

    @unittest.skipIf(ON_CARD, "only the stand-in refuses when it is told to")
    def test_a_refusal_is_told_as_one(self):
        codes = self.run_ranks(2, YOLODIST_NCCL_FAULTS="init_fails:1:0:5")
        self.assertEqual(codes[1], product.SKIPPED, self.said(1))
        self.assertIn("not supported here: ", self.said(1))

    @unittest.skipIf(ON_CARD, "only the stand-in refuses when it is told to")
    def test_one_rank_that_is_refused_is_a_failure(self):
        self.expect_failure(self.run_ranks(1, YOLODIST_NCCL_FAULTS="init_fails:0:0:5"), [1])

    @unittest.skipIf(ON_CARD, "only the stand-in fails when it is told to")
    def test_cuda_that_fails_at_the_start_is_a_failure(self):
        self.expect_failure(self.run_ranks(2, YOLODIST_NCCL_FAULTS="init_fails:0:0:1,init_fails:1:0:1"), [1, 1])

    def test_a_wrong_first_sum_is_a_failure(self):
        self.expect_failure(self.run_ranks(1, "2"), [1])
        self.assertIn("the first all-reduce", self.said(0))

    @unittest.skipIf(ON_CARD, "two ranks may not be taken")
    def test_a_wrong_first_sum_of_two_ranks_is_a_failure(self):
        self.expect_failure(self.run_ranks(2, "2"), [1, 1])

    @unittest.skipIf(ON_CARD, "only the stand-in fails when it is told to")
    def test_a_failure_after_that_is_a_failure(self):
        codes = self.run_ranks(2, YOLODIST_NCCL_FAULTS="async_error:1:20:6,async_error:0:20:6")
        self.expect_failure(codes, [1, 1])


if __name__ == "__main__":
    product.main()
