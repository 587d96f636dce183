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
            self.assertEqual(int(counts[1]), 20 * int(counts[2]))

        # NCCL reports on rank 1, in the sixth step, that a peer is gone; which call notices is up to the moment.
        buckets = int(counts[2])
        first = 5 * buckets
        lost, process = self.by_nccl("lost", "--max-steps", "8", faults=f"async_error:1:{first}")
        row = product.iterations(lost)[-1]
        self.assertEqual(row["attempt"], 1)
        self.assertEqual(row["loss"], product.iterations(host)[row["iteration"]]["loss"])
        report = json.loads((lost / "failures/attempt-0.rank-1.json").read_text())
        self.assertEqual(report["exit_code"], 76)
        self.assertIn("remote process exited", report["what"])
        named = re.search(r"#(\d+) all_reduce of .*\(f32 sum, bucket (\d+)\)", report["what"])
        self.assertIn(int(named[1]), range(first, first + buckets))
        self.assertEqual(int(named[2]), int(named[1]) - first)
        last = report["collectives"]["last"][-1]
        self.assertEqual((last["sequence"], last["state"]), (int(named[1]), "failed"))
        self.assertIn("remote process exited", process.stdout + process.stderr)


if __name__ == "__main__":
    product.main()
