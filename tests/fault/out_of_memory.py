# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that is short, on real programs: a plan that holds its budget, and a step that is done again."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from product import QUICK, mpirun  # noqa: E402

OUT_OF_MEMORY = 71
RUN = [*QUICK, "--epochs", "1", "--accumulate", "2", "--name", "exp", "--exist-ok", "--noplots"]


def plans(folder):
    return [entry["plan"] for entry in json.loads((folder / "plan.json").read_text())["plans"]]


def peaks(folder):
    """The highest peak of each rank over all iterations."""
    highest = {}
    for row in product.iterations(folder):
        for rank in row["ranks"]:
            highest[rank["rank"]] = max(highest.get(rank["rank"], 0), rank["peak_bytes"])
    return highest


def memory_reports(folder):
    return [json.loads(file.read_text()) for file in sorted((folder / "failures").glob("*.memory-*.json"))]


def state_of(plan):
    terms = plan["ranks"][0]["terms"]
    return sum(terms[term] for term in ("parameters", "gradients", "optimizer", "ema", "buffers"))


class OutOfMemoryTest(product.ProductTest):
    def train(self, *words, code=0, ranks=2):
        process = product.run(mpirun(ranks, *RUN, *words), self.folder)
        self.expect(process, code)
        return process, self.folder / "runs/train/exp"

    def plain(self, *words):
        """Losses and plan of a run that has all the memory it wants."""
        _, run = self.train(*words, "--name", "plain")
        run = run.parent / "plain"
        return product.losses(run), plans(run)[0]

    def test_a_budget_below_the_plain_need_is_planned_for_and_held(self):
        losses, plan = self.plain()
        need = max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])
        state = sum(plan["ranks"][0]["terms"][term] for term in ("parameters", "gradients", "optimizer", "ema"))
        budget = int(state + 0.85 * (need - state))
        _, run = self.train("--device-memory", budget)
        self.assertEqual(product.losses(run), losses)
        self.assertNotEqual(plans(run)[0]["ranks"][0]["recompute"], "none")
        self.assertEqual(set(peaks(run)), {0, 1})
        for rank, peak in peaks(run).items():
            self.assertLessEqual(peak, budget, f"rank {rank}")
        self.assertFalse(memory_reports(run))

    def shortage(self, phase, left, iteration=1):
        """Rank 1 runs out once; everything else is as in the plain run."""
        losses, plan = self.plain()
        budget = int(1.02 * max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])) + 2**20
        process, run = self.train("--device-memory", budget, "--inject-shortage",
                                  f"1:{phase}:{iteration}:{int(left(plan))}")
        self.assertEqual(product.losses(run), losses)
        report, = memory_reports(run)
        self.assertEqual((report["rank"], report["phase"]), (1, phase))
        self.assertIn(f"rank 1 ran out of memory in {phase}", process.stdout + process.stderr)
        self.assertLess(report["excess_bytes"], 2**16, "the failed step leaves nothing behind")
        later = [row["ranks"][1]["allocated_bytes"] for row in product.iterations(run)[iteration:]]
        self.assertLess(max(later), state_of(plan) + 2**20, "and what is given up stays given up")
        return report, run

    def test_out_of_memory_in_forward(self):
        report, run = self.shortage("forward", lambda plan: 0.5 * plan["ranks"][1]["terms"]["activations"])
        self.assertGreaterEqual(report["layer"], 0)
        self.assertTrue(report["piece"].startswith("model."))
        self.assertGreater(report["requested_bytes"], report["free_bytes"])
        self.assertTrue(report["pictures"])
        first, second = plans(run)
        self.assertNotEqual(first["ranks"][1]["recompute"], second["ranks"][1]["recompute"])

    def test_out_of_memory_in_the_loss(self):
        self.shortage("loss", lambda plan: 2048)

    def test_out_of_memory_in_backward(self):
        report, _ = self.shortage("backward", lambda plan: 4096)
        self.assertTrue(report["piece"].startswith("model."))

    def test_out_of_memory_in_backward_on_one_rank(self):
        words = ["--name", "plain"]
        _, run = self.train(*words, ranks=1)
        plan = plans(run.parent / "plain")[0]
        budget = int(1.02 * plan["ranks"][0]["peak_bytes"]["allocator"]) + 2**20
        _, again = self.train("--device-memory", budget, "--inject-shortage", "0:backward:1:4096", ranks=1)
        self.assertEqual(product.losses(again), product.losses(run.parent / "plain"))
        report, = memory_reports(again)
        self.assertLess(report["excess_bytes"], 2**16)

    def test_out_of_memory_in_the_optimizer(self):
        self.shortage("optimizer", lambda plan: 0)

    def test_out_of_memory_in_validation(self):
        report, _ = self.shortage("validation", lambda plan: 2**20)
        self.assertGreater(report["validation_pictures"], 1)

    def test_out_of_memory_in_validation_of_rank_0_is_an_event(self):
        _, plan = self.plain()
        budget = int(1.02 * max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])) + 2**20
        _, run = self.train("--device-memory", budget, "--inject-shortage", "0:validation:1:1MiB")
        events = [row["event"] for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
                  if row["type"] == "event"]
        self.assertEqual(events.count("out_of_memory"), len(memory_reports(run)))
        self.assertTrue(memory_reports(run))

    def test_a_shortage_that_lasts_is_planned_around(self):
        losses, plan = self.plain()
        need = max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])
        lost = 2**20 + int(0.2 * plan["ranks"][1]["terms"]["activations"])
        _, run = self.train("--device-memory", need + 2**20, "--inject-shortage", f"1:reserve:1:{lost}")
        self.assertEqual(product.losses(run), losses)
        self.assertTrue(memory_reports(run))

    def test_budgets_for_another_number_of_ranks_are_refused(self):
        process, _ = self.train("--device-memory", "1GiB,1GiB,1GiB", code=64)
        self.assertIn("--device-memory is for 3 ranks, but there are 2", process.stdout + process.stderr)
        self.assertFalse((self.folder / "runs").exists())

    def test_when_nothing_fits_the_plan_says_what_would(self):
        process, _ = self.train("--device-memory", "20MiB", code=OUT_OF_MEMORY)
        self.assertIn("smallest budget that would do", process.stdout + process.stderr)

    def test_when_nothing_is_left_to_try_the_job_ends_with_the_report(self):
        _, plan = self.plain()
        state = sum(plan["ranks"][0]["terms"][term] for term in ("parameters", "gradients", "optimizer", "ema", "buffers"))
        process, run = self.train("--device-memory", state + 2**20, "--ignore-plan", code=OUT_OF_MEMORY)
        self.assertIn("smallest budget that would do", process.stdout + process.stderr)
        report = json.loads(next((run / "failures").glob("attempt-0.rank-?.json")).read_text())
        self.assertEqual(report["exit_code"], OUT_OF_MEMORY)
        self.assertGreater(report["memory"]["requested_bytes"], report["memory"]["free_bytes"])

    def test_unequal_budgets(self):
        losses, plan = self.plain()
        need = max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])
        state = sum(plan["ranks"][0]["terms"][term] for term in ("parameters", "gradients", "optimizer", "ema"))
        small = int(state + 0.85 * (need - state))
        _, run = self.train("--device-memory", f"{2 * need},{small}")
        for planned, plain in zip(product.losses(run), losses, strict=True):  # groups may run on other ranks
            for a, b in zip(planned, plain):
                self.assertAlmostEqual(a, b, delta=1e-5 * abs(b))
        own, = plans(run)
        self.assertEqual(own["ranks"][0]["recompute"], "none")
        self.assertLessEqual(peaks(run)[1], small)

    def test_the_largest_batch_runs_and_one_more_does_not(self):
        _, plan = self.plain()
        need = max(rank["peak_bytes"]["allocator"] for rank in plan["ranks"])
        words = [word for word in QUICK if word not in ("--batch", "7", "--bn-group", "2")]
        base = [*words, "--epochs", "3", "--exist-ok", "--noplots", "--device-memory", str(need), "--recompute", "none"]
        process = product.run(mpirun(2, *base, "--batch", "-1"), self.folder)
        self.expect(process, 0)
        batch = plans(self.folder / "runs/train/exp")[0]["global_batch"]
        self.assertGreaterEqual(batch, 4)
        process = product.run(mpirun(2, *base, "--batch", batch + 2), self.folder)
        self.expect(process, OUT_OF_MEMORY)
        process = product.run(mpirun(2, *base, "--batch", batch + 4, "--ignore-plan", "--name", "forced"), self.folder)
        self.assertIn("ran out of memory", process.stdout + process.stderr)


if __name__ == "__main__":
    product.main()
