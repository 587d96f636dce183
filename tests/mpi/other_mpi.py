# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user builds the launcher with an MPI of their own, from PyPI's packages in a prefix, and trains with it.

The launcher is built from this source tree into one build folder, configured anew for each MPI: that is what a user does
who changes modules, and only the room launcher/mpi is compiled again. The first build takes minutes of a core where the
compiler cache does not know its objects.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from ordinary_user import NOBODY, OrdinaryUserTest, libtorch_root  # noqa: E402
from product import BIN, QUICK, SOURCE, mpirun  # noqa: E402

BUILD_LIMIT_S = 900
MOST_CACHE_BYTES = 1 << 30
EPOCH = [*QUICK, "--epochs", "1"]
# What each package's starter is called, and how --version names the MPI.
PACKAGES = {"openmpi": ("openmpi>=5,<6", ["mpirun", "--bind-to", "none", "-np", "2"], "Open MPI v5."),
            "mpich": ("mpich", ["mpiexec", "-n", "2"], "MPICH ")}


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class OtherMpi(OrdinaryUserTest):
    def setUp(self):
        super().setUp()
        self.need_readable(SOURCE, SOURCE / "launcher", libtorch_root(BIN / "yolodist-worker"))
        self.lend_compiler_cache()

    def lend_compiler_cache(self):
        """What root's build has just compiled is lent to the other user as a copy."""
        if not self.identity or shutil.which("ccache") is None:
            return
        said = product.run(["ccache", "--get-config", "cache_dir"], self.folder)
        cache = pathlib.Path(said.stdout.strip())
        copy = self.folder / "ccache"
        if said.returncode == 0 and cache.is_dir() and size_of(cache) < MOST_CACHE_BYTES:
            # Files may go while others compile.
            subprocess.run(["cp", "-r", str(cache), str(copy)], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(copy)], check=True)
            self.environment["CCACHE_DIR"] = str(copy)

    def pip(self):
        """A Python with pip that the user can run; root's own may lie in root's home."""
        for python in (sys.executable, "/usr/bin/python3"):
            if self.as_user(["sh", "-c", f"{python} -m pip --version"]).returncode == 0:
                return [python, "-m", "pip"]
        raise unittest.SkipTest(f"no Python with pip for user {NOBODY}")

    def install_mpi(self, name):
        """Installs PyPI's package without root; returns its prefix."""
        folder = self.home / name
        process = self.as_user([*self.pip(), "install", "--prefix", folder, "--no-deps", "--only-binary", ":all:",
                                "--disable-pip-version-check", "--no-input", PACKAGES[name][0]], timeout=240)
        if process.returncode != 0:
            self.skipTest(f"pip cannot fetch {name}: {process.stderr.strip().splitlines()[-1:]}")
        return next(folder.rglob("bin/mpicc")).parent.parent

    def build(self, name, mpi):
        """Configures and builds the launcher alone; returns the bin folder of the installed tree, with a worker."""
        build, installed = self.home / "build", self.home / f"yolodist-{name}"
        configured = self.as_user(["cmake", "-G", "Ninja", "-S", SOURCE, "-B", build, "-U", "MPI*", f"-DMPI_HOME={mpi}",
                                   "-DCMAKE_BUILD_TYPE=Release", "-DYOLODIST_BUILD_WORKER=OFF", "-DYOLODIST_BUILD_TESTS=OFF"])
        self.expect(configured, 0)
        self.expect(self.as_user(["cmake", "--build", build, "--target", "yolodist"], BUILD_LIMIT_S), 0)
        self.expect(self.as_user(["cmake", "--install", build, "--prefix", installed]), 0)
        # The worker knows no MPI: that of the whole build does.
        worker = installed / "bin/yolodist-worker"
        shutil.copy(BIN / "yolodist-worker", worker)
        worker.chmod(0o755)
        return installed / "bin"

    def train(self, name, programs, mpi, expected):
        _, starter, version = PACKAGES[name]
        # Open MPI 5 counts one slot a core; one core is enough for this.
        more = {"PATH": self.programs_of(mpi / "bin"), "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
        said = self.as_user([programs / "yolodist", "--version"])
        self.expect(said, 0)
        self.assertIn(version, said.stdout)

        self.expect(self.as_user([*starter, programs / "yolodist", *EPOCH, "--name", name], **more), 0)
        run = self.home / "runs/train" / name
        self.assertTrue((run / "logs/rank-1.log").exists())
        # Two summands give the same sum in either order: bit for bit.
        self.assertEqual(product.losses(run), product.losses(expected))
        self.assertEqual(product.results(run), product.results(expected))

        by_itself = self.as_user([programs / "yolodist", *QUICK, "--ranks", "2", "--max-iterations", "1", "--net-if",
                                  "lo", "--name", f"{name}-ranks"], **more)
        self.expect(by_itself, 0)
        self.assertTrue((self.home / f"runs/train/{name}-ranks/logs/rank-1.log").exists())

    def test_openmpi_5_and_mpich_of_a_prefix_build_and_train_alike(self):
        prefixes = {name: self.install_mpi(name) for name in PACKAGES}
        self.expect(product.run(mpirun(2, *EPOCH), self.folder), 0)
        expected = self.folder / "runs/train/exp"
        self.assertEqual(len(product.losses(expected)), 3)
        for name, mpi in prefixes.items():
            with self.subTest(mpi=name):
                self.train(name, self.build(name, mpi), mpi, expected)


if __name__ == "__main__":
    product.main()
