#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""`yolodist doctor` over several ranks, and what is refused before MPI starts.

    doctor.py FAKE_DRIVER      the folder of the stand-in for libnvidia-ml.so.1
"""

import json
import os
import pathlib
import shutil
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import product  # noqa: E402
from product import YOLODIST, mpirun, run  # noqa: E402

FAKE_DRIVER = sys.argv.pop(1)
# What the worker does when it is asked whether it starts: it ends with a usage error.
STARTS = "exit 64\n"
LAUNCH_VARIABLES = ("OMPI_", "PMIX", "PMI_", "SLURM_")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return {**kept, "YOLODIST_SHARE": str(product.SOURCE / "share/yolodist"), **more}


class Allocation(product.ProductTest):
    def setUp(self):
        super().setUp()
        self.install(STARTS)

    def install(self, worker):
        """The real launcher beside a worker that is the shell script `worker`."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        self.program = folder / "yolodist"
        if not self.program.exists():
            shutil.copy(YOLODIST, self.program)
        (folder / "yolodist-worker").write_text("#!/bin/sh\n" + worker)
        (folder / "yolodist-worker").chmod(0o755)

    def doctor(self, ranks, *words, visible=(), **more):
        """Under mpirun; rank r has CUDA_VISIBLE_DEVICES=visible[r], or FAKE_NVML where that is a pair."""
        script = "case $OMPI_COMM_WORLD_RANK in\n"
        for rank, value in enumerate(visible):
            host, value = value if isinstance(value, tuple) else (None, value)
            script += f"{rank}) " + (f"export FAKE_NVML='{host}';" if host is not None else "")
            script += (f"export CUDA_VISIBLE_DEVICES='{value}';;\n" if value is not None else ";;\n")
        script += f"esac\nexec {self.program} doctor \"$@\"\n"
        start = self.folder / "start.sh"
        start.write_text("#!/bin/sh\n" + script)
        start.chmod(0o755)
        command = mpirun(ranks, *words)
        command[command.index(YOLODIST)] = str(start)
        return run(command, self.folder, env=environment(**more))

    def on_cards(self, *visible, words=(), **more):
        """The answer for ranks that see `visible` of the fake driver's cards."""
        answer = self.doctor(len(visible), "--json", *words, visible=visible, LD_LIBRARY_PATH=FAKE_DRIVER, **more)
        return answer, json.loads(answer.stdout)

    def test_it_has_a_row_a_rank(self):
        answer = self.doctor(2, "--device", "cpu")
        self.expect(answer, 0)
        self.assertIn("2 ranks on 1 host, started by mpirun", answer.stdout)
        rows = [line.split() for line in answer.stdout.splitlines() if line.split()[:1] in (["0"], ["1"])]
        self.assertEqual([row[0] for row in rows], ["0", "1"])
        self.assertTrue(all(row[2] == "cpu" for row in rows))
        self.assertIn("8.00 MiB over 2 ranks in", answer.stdout)
        self.assertIn("Training can run here.", answer.stdout)

    def test_json_is_one_document(self):
        answer = self.doctor(2, "--device", "cpu", "--json")
        self.expect(answer, 0)
        document = json.loads(answer.stdout)
        self.assertEqual(document["schema"], 1)
        self.assertTrue(document["can_train"])
        self.assertEqual([rank["rank"] for rank in document["ranks"]], [0, 1])
        for rank in document["ranks"]:
            self.assertGreaterEqual(rank["allowed_cores"], 1)
            self.assertGreater(rank["memory_available_bytes"], 0)
            self.assertIsNone(rank["device"])
        self.assertLess(abs(document["ranks"][1]["clock_ahead_seconds"]), 1)
        self.assertGreater(document["ranks"][1]["bytes_per_second"], 0)
        self.assertEqual(document["all_reduce"]["bytes"], 8 << 20)
        self.assertGreater(document["all_reduce"]["bytes_per_second"], 0)

    def test_alone_it_is_as_before(self):
        answer = run([self.program, "doctor", "--device", "cpu", "--json"], self.folder, env=environment())
        self.expect(answer, 0)
        document = json.loads(answer.stdout)
        self.assertNotIn("ranks", document)
        self.assertIn("worker", [check["name"] for check in document["checks"]])

    def test_a_worker_that_does_not_start_is_named(self):
        self.install('[ "$OMPI_COMM_WORLD_RANK" = 1 ] && { echo "libtorch.so: not found"; exit 127; }\n' + STARTS)
        answer = self.doctor(2, "--device", "cpu")
        self.expect(answer, 69)
        self.assertRegex(answer.stdout, r"bad +worker +rank 1 on \S+: .*libtorch.so: not found")
        self.assertIn("Training cannot run here.", answer.stdout)

    def test_each_rank_gets_its_own_card(self):
        for visible, uuids in (
                (("0,1", "0,1"), ["GPU-0000-card", "GPU-1000-card"]),
                (((("only-0"), "0"), ("only-2", "0")), ["GPU-0000-card", "GPU-2000-card"]),
                ((None, None), ["GPU-0000-card", "GPU-1000-card"]),
                (("GPU-2,GPU-1000-card",) * 2, ["GPU-2000-card", "GPU-1000-card"]),
                ((("cut", "MIG-5555-first"), ("cut", "MIG-5555-second")), ["MIG-5555-first", "MIG-5555-second"]),
                ((("unlike", "0,1"),) * 2, ["GPU-aaaa1111-card", "GPU-aaaa2222-card"])):
            with self.subTest(visible=visible):
                # As under mpirun inside sbatch, where these are those of mpirun's daemon.
                answer, document = self.on_cards(*visible, SLURM_LOCALID="0", SLURM_PROCID="0")
                self.expect(answer, 0)
                self.assertEqual([rank["device"]["uuid"] for rank in document["ranks"]], uuids)

    def test_no_card_is_the_cpu(self):
        answer, document = self.on_cards("NoDevFiles", "")
        self.expect(answer, 0)
        self.assertEqual([rank["device"] for rank in document["ranks"]], [None, None])

    def test_a_card_each_is_warned_of(self):
        _, document = self.on_cards("0", "1")
        self.assertIn("one GPU each", " ".join(check["text"] for check in document["checks"]))

    def test_what_cannot_go_well_is_not_fit(self):
        for visible, text in ((("1", "1"), "ranks 0 and 1 on"), (("0,1",) * 3, "3 ranks on this host, but 2 devices"),
                              (("0,1", ""), "rank 0 has a GPU, but rank 1")):
            with self.subTest(visible=visible):
                answer, document = self.on_cards(*visible)
                self.expect(answer, 69)
                bad = [check for check in document["checks"] if check["level"] == "bad"]
                self.assertEqual([check["name"] for check in bad], ["devices"])
                self.assertIn(text, bad[0]["text"])

    def test_plan_has_each_ranks_own_card(self):
        answer = run([self.program, "plan", "--model", "yolov5n", "--batch", "4", "--json"], self.folder,
                     env=environment(LD_LIBRARY_PATH=FAKE_DRIVER, FAKE_NVML="unlike", CUDA_VISIBLE_DEVICES="1,0"))
        self.expect(answer, 0)
        self.assertEqual([rank["card"] for rank in json.loads(answer.stdout)["ranks"]], ["A100-80GB", "T4"])

    def test_a_silent_rank_is_named_in_time(self):
        for silent, says in ((1, 0), (0, 1)):
            with self.subTest(silent=silent):
                self.install(f'if [ "$OMPI_COMM_WORLD_RANK" = {silent} ]; then kill -STOP $PPID; '
                             "while kill -0 $PPID 2>/dev/null; do sleep 0.2; done; fi\n" + STARTS)
                begin = time.monotonic()
                answer = self.doctor(2, "--device", "cpu", "--timeout", "4")
                self.expect(answer, 76)
                self.assertLess(time.monotonic() - begin, 60)
                self.assertIn(f"rank {silent}", answer.stderr)
                self.assertIn("does not answer within 4 s", answer.stderr)
                self.assertEqual(answer.stderr.count("does not answer"), 1, f"said by rank {says} alone")


# A worker that writes down what it was told and sees, and goes.
LISTENER = """
import json, os, socket, sys
link = socket.socket(fileno=int(sys.argv[sys.argv.index("--link-fd") + 1]))
text = b""
while not text.endswith(b"\\n"):
    text += link.recv(65536)
start = json.loads(text)
kept = {name: start[name] for name in ("device", "device_pci", "device_uuid")}
with open(f"told-{start['rank']}.json", "w") as file:
    json.dump({**kept, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}, file)
sys.exit(65)
"""


class Start(product.ProductTest):
    """What the launchers of a training tell their workers, with unlike cards."""

    def told(self, visible):
        (self.folder / "listener.py").write_text(LISTENER)
        variables = environment(LD_LIBRARY_PATH=FAKE_DRIVER, FAKE_NVML="unlike", SLURM_LOCALID="0")
        if visible is not None:
            variables["CUDA_VISIBLE_DEVICES"] = visible
        answer = run(mpirun(2, "train", "--data", product.SAMPLE, "--cfg", "yolov5n", "--max-restarts", "0", "--project",
                            "runs", "--worker-prefix", f"{sys.executable} listener.py"), self.folder, env=variables)
        self.expect(answer, 65)
        return [json.loads((self.folder / f"told-{rank}.json").read_text()) for rank in range(2)]

    def test_each_worker_is_told_its_own_card(self):
        told = self.told(None)
        self.assertEqual([worker["device_uuid"] for worker in told], ["GPU-aaaa1111-card", "GPU-aaaa2222-card"])
        self.assertEqual([worker["device_pci"] for worker in told], ["00000000:65:00.0", "00000000:17:00.0"])
        self.assertEqual([worker["visible"] for worker in told], [None, None])

    def test_a_worker_sees_cards_by_uuid(self):
        # CUDA may number them otherwise than nvidia-smi.
        told = self.told("1,0")
        self.assertEqual([worker["device_uuid"] for worker in told], ["GPU-aaaa2222-card", "GPU-aaaa1111-card"])
        self.assertEqual([worker["visible"] for worker in told], ["GPU-aaaa2222-card,GPU-aaaa1111-card"] * 2)


class Refusals(product.ProductTest):
    """SLURM steps that MPI cannot use, without SLURM."""

    def task(self, number, srun):
        folder = self.folder / "path"
        folder.mkdir(exist_ok=True)
        (folder / "srun").write_text(f"#!/bin/sh\ntouch {self.folder}/asked\n{srun}")
        (folder / "srun").chmod(0o755)
        step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4",
                "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_PROCID": str(number), "SLURM_MPI_TYPE": "none"}
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(LAUNCH_VARIABLES) or name.startswith("OMPI_MCA_")}
        path = f"{folder}:{kept['PATH']}"
        return run([YOLODIST, "doctor"], self.folder, env={**kept, **step, "PATH": path})

    def asked(self):
        return (self.folder / "asked").exists()

    def test_srun_without_pmix(self):
        answer = self.task(0, "printf 'MPI plugin types are...\\n\\tnone\\n\\tpmi2\\n\\tpmix\\n'\n")
        self.expect(answer, 64)
        self.assertEqual(len(answer.stderr.splitlines() + answer.stdout.splitlines()), 1)
        text = answer.stderr + answer.stdout
        self.assertIn("srun started 4 tasks with --mpi=none", text)
        if "Open MPI" in text:
            self.assertIn("srun --mpi=list: none, pmi2, pmix", text)
            self.assertIn("mpirun --bind-to none --map-by ppr:2:node -np 4 yolodist", text)

    def test_one_task_speaks_and_asks(self):
        answer = self.task(1, "")
        self.expect(answer, 64)
        self.assertEqual(answer.stderr + answer.stdout, "")
        self.assertFalse(self.asked())

    def test_an_srun_that_hangs_is_given_up(self):
        begin = time.monotonic()
        answer = self.task(0, "exec sleep 60\n")
        self.expect(answer, 64)
        self.assertTrue(self.asked())
        self.assertLess(time.monotonic() - begin, 30)
        self.assertIn("srun --mpi=list shows what there is", answer.stderr + answer.stdout)


if __name__ == "__main__":
    product.main()
