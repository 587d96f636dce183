# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Runs programs as somebody who is not root, in a scratch folder that is theirs. Python's standard library only."""

import os
import pathlib
import subprocess
import unittest

import product

NOBODY = 65534


class OrdinaryUserTest(product.ProductTest):
    """`as_user` runs as this user, or as NOBODY where the tests run as root; self.home is theirs and only theirs."""

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        self.home.mkdir()
        # What the suite sets is for Debian's Open MPI and for root.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMPI_", "PRTE_", "PMIX_"))}
        self.environment = {**kept, "HOME": str(self.home), "TMPDIR": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}
        self.identity = {}
        if os.geteuid() == 0:
            self.identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self.home, NOBODY, NOBODY)

    def as_user(self, command, timeout=100, cwd=None, **environment):
        return product.run(command, cwd or self.home, timeout, env={**self.environment, **environment}, **self.identity)

    def need_readable(self, *paths):
        """Skips where the user cannot read one of the paths, which may lie in root's home."""
        for path in paths:
            if self.as_user(["test", "-r", path, "-a", "-x", path]).returncode != 0:
                raise unittest.SkipTest(f"user {NOBODY} cannot read {path}")

    def programs_of(self, folder):
        """PATH with a folder's programs first."""
        return f"{folder}:/usr/local/bin:/usr/bin:/bin"


def libtorch_root(worker):
    """The folder with torch/ and nvidia/ (or the unpacked zip) whose libraries a built or installed worker finds."""
    text = subprocess.run(["ldd", str(worker)], check=True, text=True, stdout=subprocess.PIPE).stdout
    line = next(line for line in text.splitlines() if "libtorch_cpu.so" in line)
    lib = pathlib.Path(line.split("=>")[1].split("(")[0].strip()).resolve().parent
    return lib.parent.parent if lib.parent.name == "torch" else lib.parent
