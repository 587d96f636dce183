# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Several hosts on one machine, for tests: each a network namespace and a host name of its own, joined by a bridge.

All see the same files and processes, as hosts with a shared file system do; their links can be cut. Needs root. Only
processes inside these namespaces are ended, and only these namespaces are removed. Python's standard library only.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

NAME = re.compile(r"ydt(\d+)h\d+|ydt(\d+)sw")  # ydt<process id of the test>h<number>, and the bridge
RUN_NETNS = pathlib.Path("/run/netns")
# Enters the network of a host and takes on its name; the names of all lie bound over /etc/hosts. (`ip netns exec`
# would mount a bare /sys, in which SLURM's slurmd finds no cgroup tree.) MPI keeps to the hosts' network.
ON_HOST = """#!/bin/bash
host=$1; shift
export OMPI_MCA_oob_tcp_if_include=eth0 OMPI_MCA_btl_tcp_if_include=eth0
exec nsenter --net=/run/netns/"$host" unshare --uts --mount bash -c \
  'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"' "$host" {names} "$@"
"""
# What Open MPI takes for ssh: HOST COMMAND…, the command as text for a shell.
AGENT = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
host=$1; shift
exec {on_host} "$host" bash -c "cd / && $*"
"""


class Unavailable(Exception):
    """This machine cannot do that; the text says why."""


def install(programs, packages, seconds=300):
    """Debian's `packages`, where one of `programs` is missing. No service is started. Raises Unavailable."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{', '.join(missing)} missing, and this is not root on Debian")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:  # 101: do not start what is installed
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        policy.chmod(0o755)
    try:
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=120", *words], timeout=seconds, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                  env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode != 0:
            raise Unavailable(f"apt-get install {' '.join(packages)}: {done.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"apt-get took longer than {seconds} s") from error
    finally:
        if is_ours:
            policy.unlink()


def _ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, timeout=20, capture_output=True, text=True)


def _pids(namespace):
    return [int(word) for word in _ip("netns", "pids", namespace, check=False).stdout.split()]


def is_running(pid):
    """Zombies do not count."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _remove(namespace):
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _pids(namespace):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 2
        while _pids(namespace) and time.monotonic() < end:
            time.sleep(0.05)
    _ip("netns", "del", namespace, check=False)


def _remove_leftovers():
    """Of tests that were killed."""
    for entry in RUN_NETNS.glob("ydt*"):
        found = NAME.fullmatch(entry.name)
        if found and not is_running(int(found[1] or found[2])):
            _remove(entry.name)


class Hosts:
    """`count` hosts, until close(). `folder` is for its scripts, and has to stay until then."""

    def __init__(self, folder, count=2):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        install(["ip", "nsenter", "unshare"], ["iproute2", "util-linux"])
        _remove_leftovers()
        self.folder = pathlib.Path(folder)
        self.bridge = f"ydt{os.getpid()}sw"
        self.names = [f"ydt{os.getpid()}h{i + 1}" for i in range(count)]
        # Never routed: there is no way out of these namespaces.
        self.addresses = [f"10.77.0.{i + 1}" for i in range(count)]
        lines = ["127.0.0.1 localhost", *(" ".join(pair) for pair in zip(self.addresses, self.names))]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.on_host = self._script("on_host", ON_HOST.format(names=self.folder / "hosts"))
        self.agent = self._script("agent", AGENT.format(on_host=self.on_host))
        try:
            self._set_up()
        except subprocess.CalledProcessError as error:
            self.close()
            raise Unavailable(f"no network namespaces here: {error.stderr.strip()}") from error

    def _script(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def _set_up(self):
        _ip("netns", "add", self.bridge)
        _ip("-n", self.bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.bridge, "link", "set", "bridge", "up")
        for name, address in zip(self.names, self.addresses):
            _ip("netns", "add", name)
            _ip("-n", self.bridge, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self.bridge, "link", "set", name, "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                _ip("-n", name, "link", "set", link, "up")
        # A mount namespace is needed, too.
        subprocess.run(self.command(self.names[0], "true"), check=True, timeout=20, capture_output=True, text=True)

    def close(self):
        """Ends what still runs there."""
        for name in (*self.names, self.bridge):
            if (RUN_NETNS / name).exists():
                _remove(name)

    def command(self, host, *words):
        """The command line that runs `words` on `host`, in the current folder."""
        return [self.on_host, host, *map(str, words)]

    def mpirun(self, slots, *words):
        """The command line that starts a rank for each item of `slots`, the hosts in the order of ranks, by mpirun on
        the first host."""
        counted = [f"{host}:{slots.count(host)}" for host in dict.fromkeys(slots)]
        return self.command(self.names[0], "mpirun", "--mca", "plm_rsh_agent", self.agent, "--host", ",".join(counted),
                            "-np", len(slots), "--bind-to", "none", *words)

    def add_network(self, interfaces, addresses):
        """A second network between two hosts: the name of its interface and the address, with its bits, on each."""
        first, second = self.names
        _ip("link", "add", interfaces[0], "netns", first, "type", "veth", "peer", "name", interfaces[1], "netns", second)
        for host, interface, address in zip(self.names, interfaces, addresses):
            _ip("-n", host, "address", "add", address, "dev", interface)
            _ip("-n", host, "link", "set", interface, "up")

    def sent_bytes(self, host, interface):
        """That have left the host there."""
        shown = _ip("-n", host, "-s", "-j", "link", "show", "dev", interface).stdout
        return json.loads(shown)[0]["stats64"]["tx"]["bytes"]

    def cut(self, host):
        _ip("-n", self.bridge, "link", "set", host, "down")

    def mend(self, host):
        _ip("-n", self.bridge, "link", "set", host, "up")

    def processes(self, host, name=None):
        """Process ids of what runs there, sorted; only of that `name` if there is one."""
        return sorted(pid for pid in _pids(host) if is_running(pid) and (name is None or _name_of(pid) == name))
