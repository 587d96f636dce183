# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md and README.md say of every option what the programs do.

Holds the tables of YOLOv5's flags to the built parser. Needs $YOLODIST_BIN and $YOLODIST_SOURCE_DIR; skipped (77) where
the launcher was not built.
"""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(os.environ["YOLODIST_SOURCE_DIR"])
PROGRAM = Path(os.environ["YOLODIST_BIN"]) / "yolodist"
COMMANDS = ("train", "val", "detect")
USAGE = 64
RATINGS = {"same", "differs", "refused"}

# The flags of YOLOv5's scripts, aliases of one in one word. Source: the --help of release v7.0.
PEER = {
    "train": """weights cfg data hyp epochs batch-size imgsz/img/img-size rect resume nosave noval noautoanchor noplots
        evolve bucket cache image-weights device multi-scale single-cls optimizer sync-bn workers project name exist-ok quad
        cos-lr label-smoothing patience freeze save-period seed local_rank entity upload_dataset bbox_interval
        artifact_alias""",
    "val": """data weights batch-size imgsz/img/img-size conf-thres iou-thres max-det task device workers single-cls augment
        verbose save-txt save-hybrid save-conf save-json project name exist-ok half dnn""",
    "detect": """weights source data imgsz/img/img-size conf-thres iou-thres max-det device view-img save-txt save-conf
        save-crop nosave classes agnostic-nms augment visualize update project name exist-ok line-thickness hide-labels
        hide-conf half dnn vid-stride""",
    "export": """data weights imgsz/img/img-size batch-size device half inplace keras optimize int8 dynamic simplify opset
        verbose workspace nms agnostic-nms topk-per-class topk-all iou-thres conf-thres include""",
}
# Flags of YOLOv5's master branch that the release has not; its tables may name them.
MASTER = {"train": "evolve_population resume_evolve", "val": "", "detect": "", "export": ""}


def peer_flags(script):
    """Every way to write a flag of the script."""
    return {name for word in PEER[script].split() for name in word.split("/")}


def run(*words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def known_options(command):
    """name -> placeholder of its value ('' = takes none), of what --help lists; aliases too."""
    code, text, _ = run(command, "--help")
    assert code == 0, f"{command} --help ended with {code}"
    options = {}
    name = None
    for line in text.splitlines():
        found = re.match(r"  --([\w-]+)(?: (.*))?$", line)
        if found:
            name = found[1]
            value = re.match(r"((?:\[[^\]]*\]|'[^']*'|[A-Z|a-z0-9,]+)(?: \.\.\.)?)(?:  | \(=|$)", (found[2] or ""))
            options[name] = value[1] if value and not (found[2] or "").startswith(" ") else ""
            line = found[2] or ""
        if name:
            for also in re.findall(r"\(also ([^)]*)\)", line):
                for alias in re.findall(r"--([\w-]+)", also):
                    options[alias] = options[name]
    return options


def table(script):
    """flag -> rating, of the table under `## SCRIPT.py` of docs/compatibility.md."""
    text = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    sections = [part for part in parts if part.startswith(f"{script}.py\n")]
    assert len(sections) == 1, f"docs/compatibility.md has {len(sections)} sections {script}.py"
    flags = {}
    for line in sections[0].splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if line.startswith("| `--"):
            for flag in re.findall(r"`--([\w-]+)`", cells[0]):
                assert flag not in flags, f"{script}.py: --{flag} stands twice"
                flags[flag] = cells[1]
    return flags


def example(placeholder):
    """A word that such an option takes."""
    if not placeholder:
        return []
    return ["1"] if re.match(r"(N|X|PX|STEPS)\b", placeholder) else ["ram" if "ram" in placeholder else "word"]


class Compatibility(unittest.TestCase):
    def test_every_flag_of_yolov5_stands_in_its_table_and_no_other(self):
        for script in PEER:
            allowed = peer_flags(script) | set(MASTER[script].split())
            flags = set(table(script))
            self.assertFalse(peer_flags(script) - flags, f"{script}.py: not in the table")
            self.assertFalse(flags - allowed, f"{script}.py: no flags of YOLOv5")

    def test_every_flag_has_one_of_three_ratings(self):
        for script in PEER:
            for flag, rating in table(script).items():
                with self.subTest(script=script, flag=flag):
                    self.assertIn(rating, RATINGS)

    def test_what_is_the_same_or_differs_is_listed_and_taken(self):
        for command in COMMANDS:
            known = known_options(command)
            for flag, rating in table(command).items():
                if rating == "refused":
                    continue
                with self.subTest(command=command, flag=flag):
                    self.assertIn(flag, known, "not in --help")
                    # Parsed before --help is answered.
                    code, _, error = run(command, f"--{flag}", *example(known[flag]), "--help")
                    self.assertEqual(code, 0, error)

    def test_what_is_refused_is_refused_by_name(self):
        for command in COMMANDS:
            for flag, rating in table(command).items():
                if rating != "refused":
                    continue
                with self.subTest(command=command, flag=flag):
                    self.assertNotIn(flag, known_options(command))
                    code, _, error = run(command, f"--{flag}", "--help")
                    self.assertEqual(code, USAGE, error)
                    self.assertIn(f"--{flag} is not supported", error)

    def test_what_is_listed_and_has_a_name_of_yolov5_is_not_called_refused(self):
        for command in COMMANDS:
            flags = table(command)
            for name in sorted(set(known_options(command)) & peer_flags(command)):
                with self.subTest(command=command, flag=name):
                    self.assertIn(flags.get(name), {"same", "differs"})

    def test_export_is_refused_as_a_command(self):
        code, _, error = run("export", "--weights", "yolov5n.pt")
        self.assertEqual(code, USAGE)
        self.assertIn("export", error)
        self.assertEqual(set(table("export").values()), {"refused"})


# Where README.md has the options of a command.
README_SECTIONS = {
    "train": "Options", "val": "Validate: `yolodist val`", "detect": "Detect: `yolodist detect`",
    "plan": "Plan: `yolodist plan`", "monitor": "Watch a run: `yolodist monitor`",
    "slurm": "On a cluster: `yolodist slurm`",
    "diagnose": "What happened: `yolodist diagnose`", "doctor": "Can this host train: `yolodist doctor`",
}


class Readme(unittest.TestCase):
    def section(self, command):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        head = README_SECTIONS[command] + "\n"
        parts = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(head)]
        self.assertEqual(len(parts), 1, f"README.md has {len(parts)} sections {head}")
        return parts[0]

    def test_it_names_every_option(self):
        for command in README_SECTIONS:
            named = set(re.findall(r"--([a-z][\w-]*)", self.section(command)))
            self.assertFalse(set(known_options(command)) - {"help", "version"} - named, f"{command}: not in README.md")

    def test_its_tables_have_no_option_that_is_not_there(self):
        for command in README_SECTIONS:
            rows = [line.split(" | ")[0] for line in self.section(command).splitlines() if line.startswith("| `--")]
            listed = {option for row in rows for option in re.findall(r"--([a-z][\w-]*)", row)}
            self.assertTrue(listed)
            self.assertFalse(listed - set(known_options(command)), f"{command}: not in --help")


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} was not built")
        sys.exit(77)
    unittest.main()
