# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""The launcher with workers whose gradients go by NcclCommunicator, over a stand-in for NCCL.

    train_by_nccl.py NCCL_DOUBLE_WORKER [unittest arguments]
"""

import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from product import QUICK, mpirun  # noqa: E402

WORKER = sys.argv.pop(1)
CHECKS = 6  # all-reduces of the start check
TWENTY = [*QUICK, "--max-steps", "20", "--epochs", "20", "--noval"]


class ByNccl(product.ProductTest):
    def train(self, name, *words, faults=""):
        environment = {**os.environ, "YOLODIST_NCCL_FAULTS": faults}
        process = product.run(mpirun(2, *TWENTY, "--name", name, *words), self.folder, env=environment)
        self.expect(process, 0)
        return self.folder / "runs/train" / name, process

    def by_nccl(self, name, *words, faults=""):
        return self.train(name, "--worker-prefix", WORKER, *words, faults=faults)

    def test_results_are_those_of_the_host_and_a_lost_collective_is_survived(self):
        host, _ = self.train("host")
        nccl, _ = self.by_nccl("nccl")
        expected = product.losses(host)
        self.assertGreaterEqual(len(expected), 20)
        self.assertEqual(product.losses(nccl), expected)
        for rank in range(2):
            log = (nccl / f"logs/rank-{rank}.log").read_text()
            counts = re.search(r"by the stand-in for NCCL: (\d+) all-reduces of (\d+) buckets", log)
            self.assertIsNotNone(counts, log[-2000:])
            self.assertEqual(int(counts[1]), CHECKS + 20 * int(counts[2]))

        # NCCL reports on rank 1, in the sixth step, that a peer is gone; which call notices is up to the moment. If
        # it is a start of a later bucket, the step is done again in place; if the wait for the gradients, all workers
        # start again from the beginning, since there is no checkpoint.
        buckets = int(counts[2])
        first = CHECKS + 5 * buckets
        lost, process = self.by_nccl("lost", "--max-steps", "8", faults=f"async_error:1:{first}")
        self.expect_same_losses(lost, host)
        attempt = product.iterations(lost)[-1]["attempt"]
        in_place = (lost / "failures/attempt-0.rank-1.link-0.json").exists()
        self.assertEqual(attempt, 0 if in_place else 1)
        report = json.loads((lost / ("failures/attempt-0.rank-1.link-0.json" if in_place
                                     else "failures/attempt-0.rank-1.json")).read_text())
        self.assertIn("remote process exited", report["what"])
        self.expect_named(report, range(first, first + buckets), buckets)
        self.assertIn("remote process exited", process.stdout + process.stderr)

        # A call that NCCL refuses where a bucket starts, inside backward, on one rank: the step is done again.
        call = CHECKS + 3 * buckets + 1
        refused, process = self.by_nccl("refused", "--max-steps", "8", faults=f"call_fails:1:{call}:2")
        self.expect_same_losses(refused, host)
        self.assertEqual({row["attempt"] for row in product.iterations(refused)}, {0})
        report = json.loads((refused / "failures/attempt-0.rank-1.link-0.json").read_text())
        self.assertEqual(report["iteration"], 3)
        self.expect_named(report, [call], buckets)
        event = next(row for row in map(json.loads, (refused / "metrics.jsonl").read_text().splitlines())
                     if row["type"] == "event" and row["event"] == "devices_reconnected")
        self.assertIn("replaying from iteration 3", event["detail"])
        self.assertIn("connected anew (1 of at most 3 times)", process.stdout + process.stderr)

    def test_a_connection_that_is_lost_again_and_again_starts_the_workers_anew(self):
        # Calls are counted from 0 in each connection, so each ends some steps after it began.
        faults = ",".join([f"call_fails:1:{CHECKS}:2"] * 4)
        lost, _ = self.by_nccl("again", "--max-steps", "12", faults=faults)
        self.assertEqual({row["attempt"] for row in product.iterations(lost)}, {1})
        report = json.loads((lost / "failures/attempt-0.rank-1.json").read_text())
        self.assertEqual(report["exit_code"], 76)
        self.assertIn("was lost 4 times", report["what"])
        self.assertTrue((lost / "failures/attempt-0.rank-1.link-2.json").exists())

    def expect_same_losses(self, run, undisturbed):
        expected = product.iterations(undisturbed)
        for row in product.iterations(run):
            self.assertEqual(row["loss"], expected[row["iteration"]]["loss"], row["iteration"])

    def expect_named(self, report, calls, buckets):
        """The collective that failed, in words and in the list of the last ones."""
        named = re.search(r"#(\d+) all_reduce of .*\(f32 sum, bucket (\d+)\)", report["what"])
        self.assertIn(int(named[1]), calls)
        self.assertEqual(int(named[2]), (int(named[1]) - CHECKS) % buckets)
        last = report["collectives"]["last"][-1]
        self.assertEqual((last["sequence"], last["state"]), (int(named[1]), "failed"))


if __name__ == "__main__":
    product.main()
