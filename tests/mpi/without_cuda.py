#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""The programs where CUDA is missing, broken, or not the one of the build: they start, say what is missing, end with 69.

    without_cuda.py FAKE_DRIVER      the folder of the stand-in for libnvidia-ml.so.1
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import product  # noqa: E402
from product import BIN, QUICK, YOLODIST, mpirun, run  # noqa: E402

FAKE_DRIVER = sys.argv.pop(1)
WORKER = BIN / "yolodist-worker"
DRIVER_LIBRARIES = ("libcuda.so", "libnvidia-")
NO_DEVICE = 69


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")}
    return {**kept, "YOLODIST_SHARE": str(product.SOURCE / "share/yolodist"), **more}


def libraries(program):
    """What the loader brings in, by what each library needs in turn."""
    text = subprocess.run(["ldd", program], check=True, text=True, stdout=subprocess.PIPE, env=environment()).stdout
    return [line.split()[0].rpartition("/")[2] for line in text.splitlines() if line.strip()]


def needed(program):
    """What the program itself names; what its MPI needs in turn is the site's."""
    text = subprocess.run(["readelf", "-d", program], check=True, text=True, stdout=subprocess.PIPE).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


def training(device):
    words = list(QUICK)
    words[words.index("--device") + 1] = device
    return words


class Programs(product.ProductTest):
    def test_the_worker_needs_no_driver_to_start(self):
        names = libraries(WORKER)
        self.assertTrue(any(name.startswith("libtorch_cuda.so") for name in names))
        self.assertEqual([name for name in names if name.startswith(DRIVER_LIBRARIES)], [])

    def test_the_launcher_needs_no_libtorch_and_no_cuda(self):
        names = needed(YOLODIST)
        self.assertIn("libc.so.6", names)
        self.assertEqual([name for name in names if re.match(r"lib(torch|c10|cuda|cudart|nccl|nvidia)", name)], [])

    def test_both_start(self):
        self.expect(run([YOLODIST, "--version"], self.folder, env=environment()), 0)
        process = run([WORKER], self.folder, env=environment(LD_BIND_NOW="1"))
        self.expect(process, 64)
        self.assertIn("is started by yolodist", process.stderr)


class NoDriver(product.ProductTest):
    """The driver's library is not there: a file that is none comes first, so that it does not count what a machine has."""

    def setUp(self):
        super().setUp()
        (self.folder / "libnvidia-ml.so.1").write_text("")
        self.environment = environment(LD_LIBRARY_PATH=str(self.folder))

    def test_cuda_is_refused_with_what_is_missing(self):
        for command in ([YOLODIST, *training("cuda")], [YOLODIST, *training("0"), "--ranks", "1"],
                        mpirun(2, *training("cuda"))):
            with self.subTest(command=command[:3]):
                process = run(command, self.folder, env=self.environment)
                self.expect(process, NO_DEVICE)
                said = process.stdout + process.stderr
                self.assertIn("libnvidia-ml.so.1", said)
                self.assertIn("--device cpu", said)
                self.assertEqual(said.count("there is no device"), 1, said)
                self.assertFalse((self.folder / "runs").exists(), "nothing is begun")

    def test_doctor_says_it_too(self):
        process = run([YOLODIST, "doctor", "--device", "cuda"], self.folder, env=self.environment)
        self.expect(process, NO_DEVICE)
        self.assertRegex(process.stdout, r"bad +driver +.*libnvidia-ml.so.1")

    def test_without_device_the_cpu_is_taken(self):
        process = run([YOLODIST, "doctor", "--json"], self.folder, env=self.environment)
        document = json.loads(process.stdout)
        self.assertEqual(document["devices"], [])
        self.assertIn("libnvidia-ml.so.1", document["device_problem"])
        self.assertNotIn("bad", [check["level"] for check in document["checks"] if check["name"] in ("devices", "driver")])


class Refused(product.ProductTest):
    """The driver answers, but not for this build."""

    def start(self, command, **fake):
        return run(command, self.folder, env=environment(LD_LIBRARY_PATH=FAKE_DRIVER, **fake))

    def expect_refused(self, pieces, over_ranks=False, **fake):
        """Training and doctor, and if asked for both over two ranks, say all `pieces` and end with 69."""
        commands = [[YOLODIST, *training("cuda"), "--ranks", "2"], [YOLODIST, "doctor", "--device", "cuda"]]
        if over_ranks:
            commands += [mpirun(2, *training("cuda")), mpirun(2, "doctor", "--device", "cuda")]
        for command in commands:
            with self.subTest(command=[word for word in command if "bin/" not in word][:6]):
                process = self.start(command, **fake)
                self.expect(process, NO_DEVICE)
                for piece in pieces:
                    self.assertIn(piece, process.stdout + process.stderr)
                self.assertFalse((self.folder / "runs").exists(), "nothing is begun")

    def test_a_card_without_code_for_it(self):
        self.expect_refused(["compute capability 3.5", "has code for", "--device cpu"], over_ranks=True,
                            FAKE_NVML_CAPABILITIES="3.5")

    def test_another_card_of_the_host_is_named(self):
        process = self.start([YOLODIST, *training("cuda")], FAKE_NVML_CAPABILITIES="3.5 8.0")
        self.expect(process, NO_DEVICE)
        self.assertIn("GPU 0 (Card 0) has compute capability 3.5", process.stderr + process.stdout)
        self.assertIn("Use --device 1,2", process.stderr + process.stdout)

    def test_a_driver_that_is_too_old(self):
        self.expect_refused(["470.57.02", "11.4", "or newer", "--device cpu"], over_ranks=True,
                            FAKE_NVML_DRIVER="470.57.02", FAKE_NVML_CUDA="11040")

    def test_a_driver_of_two_versions(self):
        self.expect_refused(["version mismatch", "535.54.03"], FAKE_NVML_INIT="18", FAKE_NVML_DRIVER="535.54.03")

    def test_a_driver_that_is_not_loaded(self):
        self.expect_refused(["Driver Not Loaded"], FAKE_NVML_INIT="9")

    def test_a_driver_without_libcuda(self):
        self.expect_refused(["libcuda.so.1 is not found"], FAKE_NVML_CUDA="missing")

    def test_doctor_has_it_as_json(self):
        process = self.start([YOLODIST, "doctor", "--json"], FAKE_NVML_CAPABILITIES="3.5 8.0")
        self.expect(process, NO_DEVICE)
        document = json.loads(process.stdout)
        self.assertEqual([(device["capability"], device["runs"]) for device in document["devices"]],
                         [("3.5", False), ("8.0", True), ("8.0", True)])
        self.assertIn("8.0", document["versions"]["capabilities"])
        self.assertIn(document["least_driver"], (580, 525))

    def test_plan_says_it_and_plans(self):
        process = self.start([YOLODIST, "plan", "--model", "yolov5n", "--img", "64", "--batch", "2", "--ranks", "1",
                              "--device", "2", "--json"], FAKE_NVML_CAPABILITIES="3.5")
        self.expect(process, 0)
        self.assertEqual({card["runs"] for card in json.loads(process.stdout)["build"]["cards"]}, {False})


if __name__ == "__main__":
    product.main()
