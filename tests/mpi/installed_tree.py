# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""An installed tree that was moved works by its path, read-only, for a user who is not root: as on a cluster's NFS."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from ordinary_user import OrdinaryUserTest, libtorch_root  # noqa: E402
from product import BIN, QUICK, SOURCE  # noqa: E402


def make_read_only(tree):
    for folder, _, files in os.walk(tree):
        for name in files:
            path = pathlib.Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        os.chmod(folder, 0o555)


class InstalledTree(OrdinaryUserTest):
    def setUp(self):
        super().setUp()
        self.need_readable(libtorch_root(BIN / "yolodist-worker"))
        first = self.folder / "first"
        self.expect(product.run(["cmake", "--install", BIN.parent, "--prefix", first], self.folder), 0)
        self.tree = self.folder / "moved elsewhere/yolodist-1"
        self.tree.parent.mkdir()
        first.rename(self.tree)
        self.addCleanup(subprocess.run, ["chmod", "-R", "u+w", str(self.tree)], check=True)

    def test_a_moved_tree_trains(self):
        for name in ["share/yolodist/models/yolov5n.yaml", "share/yolodist/cards.yaml", "share/doc/yolodist/LICENSE",
                     "share/doc/yolodist/installing.md"]:
            self.assertTrue((self.tree / name).is_file(), name)
        make_read_only(self.tree)
        program = self.tree / "bin/yolodist"
        process = self.as_user([program, "--version"])
        self.expect(process, 0)
        self.assertIn("yolodist ", process.stdout)
        process = self.as_user([program, "plan", "--cfg", "yolov5n", "--img", "64", "--batch", "2", "--device", "cpu"])
        self.expect(process, 0)
        # Nothing of the source tree is named: the model and the sample are those of the installed tree.
        words = list(QUICK)
        words[words.index("--data") + 1] = self.tree / "share/yolodist/sample/sample.yaml"
        process = self.as_user([program, *words, "--max-iterations", "1"])
        self.expect(process, 0)
        self.assertTrue((self.home / "runs/train/exp/weights/last.pt").exists())
        self.assertNotIn(str(SOURCE / "share"), process.stdout + process.stderr)

    def test_libtorch_is_found_by_a_link_beside_the_programs(self):
        link = self.tree / "lib/yolodist/libtorch"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(libtorch_root(BIN / "yolodist-worker"))
        process = self.as_user(["ldd", self.tree / "bin/yolodist-worker"])
        found = [line.strip() for line in process.stdout.splitlines() if "libtorch_cpu.so" in line or "libnccl.so" in line]
        self.assertEqual(len(found), 2)
        for line in found:
            self.assertIn("moved elsewhere/yolodist-1/", line)
        self.assertNotIn("not found", process.stdout)


if __name__ == "__main__":
    product.main()
