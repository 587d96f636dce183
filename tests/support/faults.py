# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs that are killed, stopped and watched, for tests. Python's standard library only."""

import os
import pathlib
import signal
import subprocess
import time

import product
from product import QUICK

# A checkpoint a step, so that little is done again.
RESUMABLE = [*QUICK, "--epochs", "4", "--checkpoint-every", "1", "--accumulate", "1"]


def start(command, folder):
    """In a session of its own, so that all of it can be killed at once."""
    with open(folder / "output.txt", "a", encoding="utf-8") as output:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                start_new_session=True)


def processes_of_session(session):
    """Process ids and names of what still runs in a session."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if int(rest[3]) == session and rest[0] != "Z":
            found[int(entry.name)] = name
    return found


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class FaultTest(product.ProductTest):
    def setUp(self):
        super().setUp()
        self.sessions = []
        self.addCleanup(self.end_sessions)

    def end_sessions(self):
        for session in self.sessions:
            for pid in processes_of_session(session):
                os.kill(pid, signal.SIGKILL)

    def begin(self, command):
        process = start(command, self.folder)
        self.sessions.append(process.pid)
        return process

    def wait_for(self, condition, seconds, what):
        """As wait_until, and a failure shows what the job has said."""
        try:
            return wait_until(condition, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()[-3000:]}") from None

    def output(self):
        return (self.folder / "output.txt").read_text()

    def workers(self, process):
        return sorted(pid for pid, name in processes_of_session(process.pid).items() if name == "yolodist-worker")

    def launchers(self, process):
        return sorted(pid for pid, name in processes_of_session(process.pid).items()
                      if name == "yolodist" and (pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
                      != "1")
