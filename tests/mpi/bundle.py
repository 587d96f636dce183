# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""tools/bundle.sh: what it packs starts, and trains, where there is nothing but a C library and LibTorch.

    bundle.py [--whole] [unittest arguments]    --whole: the archive itself, in a root that debootstrap made (minutes)
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import product  # noqa: E402
from ordinary_user import NOBODY, OrdinaryUserTest, libtorch_root  # noqa: E402
from product import BIN, QUICK, SOURCE  # noqa: E402

WHOLE = "--whole" in sys.argv
if WHOLE:
    sys.argv.remove("--whole")
MOST_BYTES = 64 << 20
# Of the C library and the compiler; nothing else lies in the bare root.
NODE_LIBRARIES = ["libc.so.6", "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1",
                  "libresolv.so.2", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"]
# What the wrappers of --with-mpi call.
NODE_PROGRAMS = ["sh", "readlink", "dirname"]
# Its own mount namespace: nothing is left mounted whatever happens.
ENTER = """
set -e
root=$1 libtorch=$2; shift 2
mkdir -p "$root/proc" "$root/sys" "$root/dev/shm" "$root/libtorch" "$root/tmp"
chmod 1777 "$root/tmp"
mount --bind "$libtorch" "$root/libtorch"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
for device in null zero urandom; do
  [ -e "$root/dev/$device" ] || : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
exec chroot --userspec=%d:%d "$root" "$@"
""" % (NOBODY, NOBODY)


def library_folder():
    """Where the C library lies."""
    text = subprocess.run(["ldd", "/bin/sh"], check=True, text=True, stdout=subprocess.PIPE).stdout
    line = next(line for line in text.splitlines() if "libc.so.6" in line)
    return pathlib.Path(line.split("=>")[1].split("(")[0].strip()).resolve().parent


def make_bare_root(root):
    libraries = root / "lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    for name in NODE_LIBRARIES:
        shutil.copy(library_folder() / name, libraries / name)
    (root / "lib64").mkdir()
    (root / "lib64/ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    (root / "bin").mkdir()
    for name in NODE_PROGRAMS:
        program = root / "bin" / name
        shutil.copy(shutil.which(name), program)
        for line in subprocess.run(["ldd", program], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines():
            words = line.split()
            if "=>" in words and words[0] not in NODE_LIBRARIES:
                shutil.copy(words[2], libraries / words[0])
    (root / "etc").mkdir()


def readme_lines():
    """The README's way for a machine that has a GPU and a Python with torch: untar, point at it, run."""
    lines = (SOURCE / "README.md").read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("tar xf yolodist-"))
    if lines[first - 1] != "```" or lines[first + 3] != "```":
        raise AssertionError(f"README.md:{first + 1}: not three lines by themselves")
    return lines[first:first + 3]


class Bundle(OrdinaryUserTest):
    def setUp(self):
        super().setUp()
        if shutil.which("patchelf") is None:
            self.skipTest("patchelf is not installed; tools/setup.sh does")
        if os.uname().machine != "x86_64":
            self.skipTest("the bare root is made for x86_64 only")

    def bundle(self, *words):
        """Makes a bundle; returns what tools/bundle.sh said of it."""
        process = product.run([SOURCE / "tools/bundle.sh", "--build", BIN.parent, "--output", self.folder, *words],
                              self.folder, timeout=600)
        self.expect(process, 0)
        return process.stdout

    def packed(self, with_mpi):
        ending = "-x86_64-mpi" if with_mpi else "-x86_64"
        return next(path for path in self.folder.iterdir() if path.is_dir() and path.name.endswith(ending))

    def place(self, packed, root):
        """The bundle in a root, pointed at the LibTorch that will lie there in /libtorch."""
        shutil.move(packed, root / "yolodist")
        (root / "yolodist/lib/yolodist/libtorch").symlink_to("/libtorch")
        scratch = root / "scratch"
        scratch.mkdir()
        os.chown(scratch, NOBODY, NOBODY)

    def inside(self, root, *command):
        """Runs in the root as NOBODY, with a bare environment."""
        if os.geteuid() != 0 or product.run(["unshare", "--mount", "true"], self.folder).returncode != 0:
            self.skipTest("mounts in a namespace need root")
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"cd {root}/scratch; {ENTER}", "enter", root,
                 libtorch_root(BIN / "yolodist-worker")]
        return product.run([*enter, *command], self.folder, timeout=300,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OMP_NUM_THREADS": "1", "HOME": "/scratch",
                                "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_btl_tcp_if_include": "lo",
                                "OMPI_MCA_oob_tcp_if_include": "lo",
                                "OMPI_MCA_btl_vader_single_copy_mechanism": "none"})

    def trains_in(self, root):
        words = [*QUICK, "--project", "/scratch/runs", "--max-iterations", "2"]
        words[words.index("--data") + 1] = "/yolodist/share/yolodist/sample/sample.yaml"
        process = self.inside(root, "/yolodist/bin/yolodist", "--version")
        self.expect(process, 0)
        self.assertIn("MPI      Open MPI", process.stdout)
        starts = {"mpirun": ["/yolodist/bin/mpirun", "--bind-to", "none", "-np", "2", "/yolodist/bin/yolodist", *words],
                  "ranks": ["/yolodist/bin/yolodist", *words, "--ranks", "2"],
                  "alone": ["/yolodist/bin/yolodist", *words]}
        for name, command in starts.items():
            with self.subTest(start=name):
                process = self.inside(root, *command, "--name", name)
                self.expect(process, 0)
                self.assertNotIn("cannot open shared object", process.stdout + process.stderr)
                self.assertTrue((root / f"scratch/runs/{name}/weights/last.pt").exists())
                self.assertEqual((root / f"scratch/runs/{name}/logs/rank-1.log").exists(), name != "alone")

    @unittest.skipIf(WHOLE, "the short tests")
    def test_with_mpi_trains_in_a_root_of_the_c_library_and_libtorch(self):
        root = self.folder / "root"
        make_bare_root(root)
        self.bundle("--with-mpi", "--folder")
        self.place(self.packed(with_mpi=True), root)
        self.trains_in(root)

    @unittest.skipIf(WHOLE, "the short tests")
    def test_without_mpi_only_mpi_is_looked_for_outside(self):
        said = self.bundle("--folder")
        self.assertIn("Open MPI v4", said)
        packed = self.packed(with_mpi=False)
        process = self.as_user(["ldd", packed / "bin/yolodist"])
        outside = [line.split()[0] for line in process.stdout.splitlines() if "=> /" in line and str(packed) not in line]
        own = [name for name in outside if name not in NODE_LIBRARIES]
        self.assertIn("libmpi.so.40", own)
        self.assertFalse(any(name.startswith(("libboost", "libyaml")) for name in own), own)
        self.assertEqual(list(packed.rglob("libmpi*")) + list(packed.rglob("libtorch*")), [])

    @unittest.skipIf(WHOLE, "the short tests")
    def test_with_tests_it_checks_a_machine_that_has_only_python_and_libtorch(self):
        if not (BIN.parent / "tests/gpu_parity_test").exists():
            self.skipTest("tests/gpu is not built here")
        self.bundle("--with-mpi", "--with-tests", "--folder")
        packed = next(path for path in self.folder.iterdir() if path.name.endswith("-x86_64-mpi-tests"))
        (packed / "lib/yolodist/libtorch").symlink_to(libtorch_root(BIN / "yolodist-worker"))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("YOLODIST_", "LD_"))}
        check = [packed / "tools/check_gpu.sh", "--device", "cpu", "--quick", "--only", "doctor,nccl,memory,speed",
                 "--output", "checked"]
        process = product.run(check, self.folder, timeout=300, env=own)
        self.expect(process, 0)
        report = json.loads((self.folder / "checked/report.json").read_text())
        self.assertEqual(report["counts"], {"passed": 4, "failed": 0, "skipped": 0})
        self.assertEqual(product.run([packed / "tools/check_gpu.sh"], self.folder, env={**own, "CUDA_VISIBLE_DEVICES": "99"}
                                     ).returncode, 69)

    @unittest.skipIf(WHOLE, "the short tests")
    def test_a_build_that_is_not_there_is_refused(self):
        process = product.run([SOURCE / "tools/bundle.sh", "--build", self.folder, "--output", self.folder], self.folder)
        self.expect(process, 1)
        self.assertIn("yolodist is not built", process.stderr)

    @unittest.skipIf(WHOLE, "the short tests")
    def test_a_library_that_is_not_there_is_refused(self):
        ldd = self.folder / "tools/ldd"
        ldd.parent.mkdir()
        ldd.write_text(f"#!/bin/sh\n{shutil.which('ldd')} \"$@\" | sed -E 's/(libopencv_core[.]so[^ ]*) => .*/\\1 => not found/'\n")
        ldd.chmod(0o755)
        output = self.folder / "output"
        process = product.run([SOURCE / "tools/bundle.sh", "--folder", "--build", BIN.parent, "--output", output], self.folder,
                              env={**os.environ, "PATH": f"{ldd.parent}:{os.environ['PATH']}"})
        self.expect(process, 1)
        self.assertRegex(process.stderr, r"error: libopencv_core[.]so\S+, which \S+ needs, is not found")
        self.assertEqual(list(output.iterdir()), [])

    @unittest.skipUnless(WHOLE, "only with --whole")
    def test_the_archive_is_small_and_trains_in_bare_debian(self):
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            self.skipTest("needs root and debootstrap")
        root = self.folder / "root"
        # Of what is packed it has libstdc++ at most.
        process = product.run(["debootstrap", "--variant=minbase", "bookworm", root], self.folder, timeout=900)
        if process.returncode != 0:
            self.skipTest(f"debootstrap failed: {process.stdout[-500:]}")
        print(self.bundle("--with-mpi"))
        archive = next(self.folder.glob("*-mpi.tar.xz"))
        self.assertLess(archive.stat().st_size, MOST_BYTES)
        self.follow_the_readme(archive, root)
        (root / "yolodist").symlink_to("scratch/" + archive.name.removesuffix(".tar.xz"))
        self.trains_in(root)

    def follow_the_readme(self, archive, root):
        """Its three lines as they stand there, the last one made short."""
        untar, link, train = readme_lines()
        scratch = root / "scratch"
        scratch.mkdir()
        shutil.move(archive, scratch)
        # A Python whose torch lies where LibTorch will in the root.
        stand_in = self.folder / "python/torch/__init__.py"
        stand_in.parent.mkdir(parents=True)
        stand_in.write_text("__file__ = '/libtorch/torch/__init__.py'\n")
        for line in (untar, link):
            self.expect(product.run(["sh", "-c", line], scratch, timeout=100,
                                    env={**os.environ, "PYTHONPATH": str(stand_in.parents[1])}), 0)
        os.chown(scratch, NOBODY, NOBODY)
        short = "--imgsz 64 --max-iterations 2 --noplots --threads 1 --workers 1 --device cpu"
        process = self.inside(root, "sh", "-c", f"cd /scratch && {train} {short}")
        self.expect(process, 0)
        self.assertTrue((scratch / "runs/train/exp/weights/last.pt").exists())


if __name__ == "__main__":
    product.main()
