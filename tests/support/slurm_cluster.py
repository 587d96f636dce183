# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""A SLURM cluster on the hosts of hosts.py, for tests: one slurmd a host, the controller on the first, munge for all.

Everything lies in one folder; nothing of /etc is read or changed. Needs root and Debian's packages, which it installs
where they are missing. Python's standard library only.
"""

import os
import pathlib
import re
import signal
import subprocess
import time

from faults import wait_until
from hosts import Unavailable, install, is_running

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch"]
PACKAGES = ["slurm-wlm", "slurm-wlm-basic-plugins", "munge"]

# Times are short, so that tests need not wait: a node that does not answer is down after SlurmdTimeout. OverTimeLimit,
# because on a busy machine a job may need longer to save than the tenth of a short limit that it keeps for that. `main`
# takes its nodes from jobs of `low`, which are warned with the signal that they asked for. TmpFS apart for each node, or
# the PMIx plugins of two nodes of one machine get into each other's way.
CONFIGURATION = """\
ClusterName=ydt
SlurmctldHost={names[0]}({addresses[0]})
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort=27817
SlurmdPort=27818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
TmpFS={folder}/tmp.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
KillWait=5
OverTimeLimit=1
MinJobAge=600
MailProg=/bin/true
GresTypes=gpu
NodeName={nodes} CPUs=8 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes={nodes} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
"""


def _read_pid(path):
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


class SlurmCluster:
    """Until close(). `folder` is empty and short: sockets lie there."""

    def __init__(self, hosts, folder):
        install(PROGRAMS, PACKAGES)
        self.hosts, self.folder = hosts, pathlib.Path(folder)
        self.folder.chmod(0o755)
        self.pid_files = [self.folder / "munge" / "pid"]
        self._write_configuration()
        try:
            self._start()
        except (subprocess.SubprocessError, AssertionError) as error:
            logs = "".join(path.read_text(encoding="utf-8", errors="replace")[-1500:]
                           for path in self.folder.glob("*.log"))
            self.close()
            raise Unavailable(f"SLURM does not start here: {error}\n{logs}") from error

    def _write_configuration(self):
        munge = self.folder / "munge"
        for name in ("state", "munge", *(f"{kind}.{host}" for kind in ("spool", "tmp") for host in self.hosts.names)):
            (self.folder / name).mkdir(mode=0o755 if name == "munge" else 0o700)
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o600)
        for i in range(2):  # a device file is all that SLURM looks for; this is /dev/null by another name
            os.mknod(self.folder / f"gpu{i}", 0o666 | 0o020000, os.makedev(1, 3))
        self.configuration = self.folder / "slurm.conf"
        self.configuration.write_text(CONFIGURATION.format(
            folder=self.folder, names=self.hosts.names, addresses=self.hosts.addresses,
            nodes=",".join(self.hosts.names)), encoding="utf-8")
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-1]\n", encoding="utf-8")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n", encoding="utf-8")

    def _start(self):
        munge, first = self.folder / "munge", self.hosts.names[0]
        daemons = [["munged", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                    f"--log-file={self.folder}/munged.log", f"--seed-file={munge}/seed", "--num-threads=2", "--force"],
                   self.hosts.command(first, "slurmctld", "-c")]
        self.pid_files.append(self.folder / "slurmctld.pid")
        for name in self.hosts.names:
            daemons.append(self.hosts.command(name, "slurmd", "-N", name))
            self.pid_files.append(self.folder / f"slurmd.{name}.pid")
        for daemon in daemons:  # each goes into the background by itself
            subprocess.run(daemon, env=self.environment(), check=True, timeout=20, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_idle()

    def close(self):
        """Cancels all jobs and ends the daemons, each by its process id."""
        if _read_pid(self.folder / "slurmctld.pid"):
            self.cancel_all()
        pids = [pid for pid in map(_read_pid, self.pid_files) if pid]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in filter(is_running, pids):
                os.kill(pid, number)
            end = time.monotonic() + 5
            while any(map(is_running, pids)) and time.monotonic() < end:
                time.sleep(0.05)

    def cancel_all(self):
        """Ends all jobs, and waits until the nodes are free again, or not for ever."""
        self.run("scancel", "-u", "root", check=False)
        try:
            self.wait_idle()
        except AssertionError:
            pass

    def environment(self, **more):
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), **more}

    def command(self, *words):
        """The command line that runs `words` on the first host; with environment()."""
        return self.hosts.command(self.hosts.names[0], *words)

    def run(self, *words, cwd=None, timeout=60, check=True, **variables):
        """What a user types on the first host, run to its end."""
        done = subprocess.run(self.command(*words), env=self.environment(**variables), cwd=cwd, timeout=timeout,
                              text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def submit(self, *words, cwd, **variables):
        """sbatch with these words; the number of the job."""
        return self.run("sbatch", "--parsable", *words, cwd=cwd, **variables).stdout.strip()

    def job(self, number):
        """What `scontrol show job` says of it."""
        text = self.run("scontrol", "--oneliner", "show", "job", number).stdout
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def wait_job(self, number, condition, seconds, what):
        """Until `condition` holds of what job() says; that."""
        def look():
            job = self.job(number)
            return job if condition(job) else None
        return wait_until(look, seconds, f"job {number} {what}")

    def wait_state(self, number, *states, seconds=60):
        return self.wait_job(number, lambda job: job["JobState"] in states, seconds, " or ".join(states))

    def wait_requeued(self, number, restarts=1, seconds=60):
        """Until it waits to run again, or does."""
        self.wait_job(number, lambda job: int(job["Restarts"]) >= restarts
                      and job["JobState"] in ("PENDING", "RUNNING"), seconds, f"requeued {restarts} times")

    def run_time_s(self, number):
        """Seconds since the job was started."""
        hours, minutes, seconds = map(int, self.job(number)["RunTime"].split(":"))
        return (hours * 60 + minutes) * 60 + seconds

    def pmix_socket(self, host, number):
        """A file that is there while the job's first step runs on `host`."""
        return self.folder / f"spool.{host}" / f"stepd.slurm.pmix.{number}.0"

    def start_now(self, number):
        """A requeued job waits two minutes before it may start; not this one, once nothing of it runs any more (its
        PMIx servers have files by the number of the job). Not in the second in which it ended: then slurmd refuses it."""
        def is_over():
            return (not any(self.pmix_socket(host, number).exists() for host in self.hosts.names)
                    and not any(self.folder.glob(f"tmp.*/spmix_appdir_*_{number}.*")))
        wait_until(is_over, 60, f"the end of job {number}'s steps")
        self.run("scontrol", "update", f"JobId={number}", "StartTime=now+2", check=False)

    def wait_idle(self, seconds=40):
        """Until all nodes are free."""
        def idle():
            states = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%t", check=False).stdout.split()
            return states == ["idle"] * len(self.hosts.names)
        wait_until(idle, seconds, "all nodes idle")
