# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""What tools/check_gpu.sh, bench_train.py, bench_memory.py and gpu_report.py do before and after a card is measured.

    gpu_scripts_test.py FAKE_NVML [unittest arguments]    the stand-in for the driver's library
"""
import argparse
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import bench_memory  # noqa: E402
import bench_train  # noqa: E402
import gpu_report  # noqa: E402
import nvml  # noqa: E402

FAKE_NVML = sys.argv.pop(1)
CHECKS = ["doctor", "parity", "nccl", "training", "out_of_memory", "memory", "speed"]
MIB = 2**20


def check_gpu(*words, **environment):
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run([ROOT / "tools/check_gpu.sh", *words], cwd=folder, text=True, capture_output=True, timeout=50,
                                 check=False, env={**os.environ, **environment})
        return process, sorted(path.name for path in Path(folder).iterdir())


class CheckGpu(unittest.TestCase):
    def test_dry_run_lists_every_check_with_a_command_that_is_there(self):
        for words in ([], ["--quick"], ["--device", "cpu"], ["--device", "cpu", "--quick"]):
            with self.subTest(words=words):
                process, left = check_gpu("--dry-run", *words)
                self.assertEqual((process.returncode, left), (0, []), process.stderr)
                self.assertEqual(re.findall(r"^(\w+) \(at most \d+ s\)$", process.stdout, re.M), CHECKS)
                self.assertEqual(len(re.findall(r"^  needs    \S", process.stdout, re.M)), len(CHECKS))
                commands = re.findall(r"^  command  (.*)$", process.stdout, re.M)
                self.assertEqual(len(commands), len(CHECKS))
                for command in commands:
                    self.check_command(command.split())

    def check_command(self, words):
        built = "".join((ROOT / "tests" / room / "CMakeLists.txt").read_text() for room in ("gpu", "benchmark")) + "yolodist"
        for word in filter(lambda word: word.startswith("/"), words):
            if word.startswith(f"{ROOT}/build/"):
                self.assertRegex(built, rf"\b{Path(word).name}\b", f"{word} is a program of the build")
            else:
                self.assertTrue(Path(word).exists(), word)
        if words[0].endswith("python3") and "--" in " ".join(words):
            self.assert_options(words[1], [word for word in words[2:] if word.startswith("--")])

    def assert_options(self, script, options):
        text = Path(script).read_text()
        for option in options:
            self.assertIn(f'"{option}"', text, f"{script} takes {option}")

    def test_only_lists_those_that_are_named(self):
        process, _ = check_gpu("--dry-run", "--only", "nccl,speed")
        self.assertEqual(re.findall(r"^(\w+) \(", process.stdout, re.M), ["nccl", "speed"])

    def test_a_check_that_it_does_not_have_is_refused(self):
        for names in ("parrity", "nccl,parrity", ",", "*"):
            for words in (["--dry-run"], ["--device", "cpu"]):
                process, left = check_gpu("--only", names, *words)
                self.assertEqual((process.returncode, left), (64, []), names)
                self.assertIn(" ".join(CHECKS), process.stderr)

    def test_without_a_card_it_ends_with_69_and_says_why(self):
        process, left = check_gpu(CUDA_VISIBLE_DEVICES="99")
        self.assertEqual((process.returncode, left), (69, []), process.stdout + process.stderr)
        self.assertRegex(process.stderr, r"no usable card on \S+: (no NVIDIA driver|the driver knows \d+ cards)")
        self.assertIn("--device cpu", process.stderr)

    def test_an_option_that_it_does_not_have_is_refused(self):
        self.assertEqual(check_gpu("--fast")[0].returncode, 64)
        self.assertEqual(check_gpu("--device", "tpu")[0].returncode, 64)


class Nvml(unittest.TestCase):
    def setUp(self):
        os.environ.pop("FAKE_NVML", None)

    def test_reads_a_card_by_number_and_by_uuid(self):
        for which in ("1", "GPU-1000-card"):
            card = nvml.Card(which, FAKE_NVML)
            self.assertEqual((card.name(), card.driver()), ("Card 1", "580.65.06"))
            self.assertEqual(card.total_bytes(), 2 << 30)
            self.assertGreaterEqual(card.used_bytes(), 0)

    def test_says_what_is_missing(self):
        with self.assertRaisesRegex(nvml.NoCard, "none has the number 7"):
            nvml.Card("7", FAKE_NVML)
        with self.assertRaisesRegex(nvml.NoCard, "no NVIDIA driver"):
            nvml.Card("0", "libnvidia-ml-that-is-not-there.so.1")
        with self.assertRaisesRegex(nvml.NoCard, "answers 6"):
            nvml.Card("GPU-of-another-host", FAKE_NVML)


def side(images_per_s, device=600 * MIB):
    return {"images_per_s": images_per_s, "first_step_s": 4.0, "allocator_bytes": 500 * MIB, "device_bytes": device}


class BenchTrain(unittest.TestCase):
    def test_pace_is_the_median_after_warm_up(self):
        self.assertEqual(bench_train.pace([9, 9, 1, 2, 30], 2), 2)
        self.assertIsNone(bench_train.pace([9, 9], 2))

    def test_a_side_is_the_medians_of_its_good_rounds(self):
        found = bench_train.summary([side(10), {"error": "exit 71: no memory"}, side(30), side(20)])
        self.assertEqual((found["images_per_s"], found["rounds"]), (20, 3))
        self.assertIsNone(bench_train.summary([{"error": "exit 1"}]))
        self.assertIsNone(bench_train.summary([]))
        self.assertIsNone(bench_train.summary([{**side(1), "allocator_bytes": None}])["allocator_bytes"])

    def test_the_table_has_a_row_a_case_and_says_what_is_not_known(self):
        both = {"model": "yolov5n", "imgsz": 640, "batch": 16, "ours": side(120), "peer": side(100, device=800 * MIB)}
        alone = {**both, "imgsz": 1280, "peer": None}
        head, rule, first, second = bench_train.table([both, alone])
        self.assertEqual(first, "| yolov5n | 640 | 16 | 120 / 100 | 1.20 | 600 / 800 | 0.75 | 500 / 500 | 1.00 | 4.0 / 4.0 | 1.00 |")
        self.assertEqual(second, "| yolov5n | 1280 | 16 | 120 / - | - | 600 / - | - | 500 / - | - | 4.0 / - | - |")
        self.assertEqual({line.count("|") for line in (head, rule, first, second)}, {12})

    def test_a_batch_is_for_all_sides_or_for_its_own(self):
        self.assertEqual([bench_train.batch_of([8], [640, 1280], s) for s in (640, 1280)], [8, 8])
        self.assertEqual([bench_train.batch_of([16, 4], [640, 1280], s) for s in (640, 1280)], [16, 4])

    def test_the_data_are_the_sample_repeated(self):
        with tempfile.TemporaryDirectory() as folder:
            yaml = bench_train.make_data(Path(folder), 40)
            pictures = list(Path(folder).glob("images/train/*.jpg"))
            self.assertEqual(len(pictures), 48)
            self.assertEqual(len(list(Path(folder).glob("labels/train/*.txt"))), 48)
            self.assertIn(f"path: {folder}", yaml.read_text())

    def test_what_a_round_found_is_kept_before_the_next(self):
        options = argparse.Namespace(models=["yolov5n"], imgs=[64], batches=[4], warmup=1, iterations=2, rounds=2, peer=None)
        kept = []
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(
                bench_train, "train_ours", side_effect=[side(10), side(30)]), redirect_stdout(io.StringIO()):
            cases = bench_train.measure(options, Path(folder), None, lambda cases: kept.append(cases[0]["ours"]["images_per_s"]))
        self.assertEqual(kept, [10, 20])
        self.assertEqual((len(cases), cases[0]["ours"]["rounds"], "yaml" in cases[0]), (1, 2, False))

    def test_a_training_ends_with_the_measurement(self):
        program = ("import bench_train, os\nbench_train.end_on_signals()\n"
                   "bench_train.run_watched(['sh', '-c', 'echo pid $$; exec sleep 300'], None, 300, '.', dict(os.environ),"
                   " lambda text, _: print(text, flush=True))")
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number), subprocess.Popen([sys.executable, "-B", "-c", program], cwd=ROOT / "tools",
                                                               text=True, stdout=subprocess.PIPE) as process:
                training = int(process.stdout.readline().split()[1])
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=30), 128 + number)
                self.assertFalse(Path(f"/proc/{training}").exists())

    def test_memory_of_this_process_is_found(self):
        self.assertGreater(bench_train.tree_bytes(os.getpid()), MIB)


def card_case(measured_mib, planned_mib, **card):
    planned = {"device_bytes": 1000 * MIB, "context_bytes": 450 * MIB, "nccl_bytes": 0, "workspace_bytes": 300 * MIB,
               "fragmentation_bytes": 30 * MIB}
    return {"model": "yolov5n", "imgsz": 640, "batch": 2, "optimizer": "SGD", "recompute": "none", "precision": "fp16",
            "measured_bytes": measured_mib * MIB, "predicted_bytes": planned_mib * MIB,
            "error": planned_mib / measured_mib - 1,
            "card": {"name": "Card 1", "planned": planned, "reserved_bytes": (measured_mib + 20) * MIB,
                     "context_bytes": 400 * MIB, "nccl_bytes": 10 * MIB, "used_bytes": (measured_mib + 500) * MIB, **card}}


class BenchMemory(unittest.TestCase):
    def test_a_plan_on_a_card_may_be_exceeded_by_its_workspace_and_may_be_a_tenth_too_high(self):
        self.assertFalse(bench_memory.is_miss(card_case(500, 510)))
        self.assertFalse(bench_memory.is_miss(card_case(700, 450)))
        self.assertTrue(bench_memory.is_miss(card_case(760, 450)))
        self.assertTrue(bench_memory.is_miss(card_case(400, 450)))

    def test_a_plan_on_the_cpu_is_held_more_closely(self):
        def case(error):
            return {"error": error}
        self.assertEqual([bench_memory.is_miss(case(e)) for e in (0, 0.02, 0.04, -0.01)], [False, False, True, True])

    def test_what_lies_outside_of_the_allocator_is_told_beside_the_defaults(self):
        rows = {row["what"]: row for row in bench_memory.calibration([card_case(500, 450), card_case(300, 310)])}
        self.assertEqual((rows["context"]["stated_mib"], rows["context"]["most_mib"]), (450, 400))
        self.assertEqual(rows["workspace in the allocator"]["most_mib"], 50)
        outside = rows["workspace outside of the allocator"]
        self.assertEqual((outside["least_mib"], outside["most_mib"]), (70, 70))  # 500 - 400 - 10 - 20
        self.assertEqual(rows["fragmentation"]["most_mib"], 20)
        unknown = bench_memory.calibration([card_case(500, 450, used_bytes=None)])
        self.assertIn("not known", bench_memory.calibration_table(unknown)[-1])


class Report(unittest.TestCase):
    RESULTS = "doctor\tpassed\t2\tdriver\t\nnccl\tskipped\t9\tcollectives\tnot supported here: NCCL refuses\nspeed\tfailed\t3\timg/s\texit 1: a | b\n"

    def test_a_reason_may_hold_a_carriage_return(self):
        checks = gpu_report.read_results("speed\tfailed\t3\timg/s\texit 1: 10%\r20%\x0b\nnccl\tpassed\t1\tall\t\n")
        self.assertEqual([check["name"] for check in checks], ["speed", "nccl"])
        self.assertEqual(checks[0]["reason"], "exit 1: 10%\r20%\x0b")

    def test_says_what_passed_failed_and_was_skipped_and_why(self):
        checks = gpu_report.read_results(self.RESULTS)
        self.assertEqual(gpu_report.counts(checks), {"passed": 1, "failed": 1, "skipped": 1})
        text = gpu_report.report_markdown({"card": "Tesla T4", "device": "cuda", "versions": ["yolodist 0.1.0"], "checks": checks,
                                           "speed": {"markdown": ["| a |"]}})
        self.assertTrue(text.startswith("# Tesla T4\n"))
        self.assertIn("| nccl | skipped | 9 s | collectives | not supported here: NCCL refuses |", text)
        self.assertIn("exit 1: a / b |", text)
        self.assertIn("## Speed\n\n| a |", text)
        self.assertNotIn("in the card's place", text)
        self.assertIn("in the card's place", gpu_report.report_markdown(
            {"card": "cpu", "device": "cpu", "versions": [], "checks": checks}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
