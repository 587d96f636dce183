#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Speed, memory and time to the first step of training on this machine's first card, or its CPU, beside PyPI yolov5
where a Python has it. One rank, the shipped sample, from scratch, default augmentation, no validation.

usage: bench_train.py [--device cuda|cpu] [--models NAME …] [--imgs PX …] [--batches N …] [--iterations N] [--rounds N]
                      [--json FILE] [--markdown FILE]

YOLODIST_PYTHON_PEER names a Python in which `yolov5` 7.0.14 runs; without, `python3` is tried. The two train in turn,
round by round, each in a process of its own; what is compared are medians. img/s is the median over iterations after
warm-up. On cards both train in mixed precision, which is the default of both. The device's peak is what the driver
counts (on the CPU: the memory of all processes of a training, shared pages divided), less what was used before.
FILE holds what is measured after each round. Ends 1 when a training of yolodist fails, 69 without the device.
"""
import argparse
import json
import math
import os
import pathlib
import pty
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import nvml  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "share/yolodist/sample"
PEER_VERSION = "7.0.14"
UNAVAILABLE = 69


# ---------------------------------------------------------------- pure functions
def pace(seconds, warmup):
    """The median of what comes after warm-up; None where nothing does."""
    return statistics.median(seconds[warmup:]) if len(seconds) > warmup else None


def median_of(rounds, key):
    values = [found[key] for found in rounds if found.get(key) is not None]
    return statistics.median(values) if values else None


def summary(rounds):
    """Medians over the rounds of one side; None where no round came through."""
    good = [found for found in rounds if "error" not in found]
    if not good:
        return None
    return {key: median_of(good, key)
            for key in ("images_per_s", "first_step_s", "allocator_bytes", "device_bytes")} | {"rounds": len(good)}


def ratio(ours, peer, key):
    if not ours or not peer or not ours.get(key) or not peer.get(key):
        return None
    return ours[key] / peer[key]


def table(cases):
    """A row a case: yolodist, the peer, and yolodist / peer."""
    def number(value, form):
        return "-" if value is None else form.format(value)

    def triple(case, key, form, scale=1):
        sides = [case[side] and case[side].get(key) for side in ("ours", "peer")]
        cells = [number(value / scale if value is not None else None, form) for value in sides]
        return f"{' / '.join(cells)} | {number(ratio(case['ours'], case['peer'], key), '{:.2f}')}"

    lines = ["| model | side | batch | img/s | ratio | device peak, MiB | ratio | allocator peak, MiB | ratio | first step, s | ratio |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for case in cases:
        lines.append(f"| {case['model']} | {case['imgsz']} | {case['batch']} | {triple(case, 'images_per_s', '{:.3g}')} | "
                     f"{triple(case, 'device_bytes', '{:.0f}', 2**20)} | "
                     f"{triple(case, 'allocator_bytes', '{:.0f}', 2**20)} | {triple(case, 'first_step_s', '{:.1f}')} |")
    return lines


def batch_of(batches, sides, side):
    """One batch for all sides, or one each."""
    return batches[0] if len(batches) == 1 else batches[sides.index(side)]


# ---------------------------------------------------------------- data
def make_data(folder, pictures):
    """A writable copy of the sample, repeated until it has so many training pictures: an epoch is never over."""
    for split in ("train", "val"):
        images = sorted((SAMPLE / "images" / split).iterdir())
        copies = math.ceil(pictures / len(images)) if split == "train" else 1
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for copy in range(copies):
            for image in images:
                label = SAMPLE / "labels" / split / (image.stem + ".txt")
                shutil.copyfile(image, folder / "images" / split / f"{copy}_{image.name}")
                shutil.copyfile(label, folder / "labels" / split / f"{copy}_{label.name}")
    yaml = folder / "data.yaml"
    yaml.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: [vehicle]\n", encoding="utf-8")
    return yaml


# ---------------------------------------------------------------- memory
def tree_bytes(pid):
    """Memory of a process and all below it, shared pages divided among those that share them."""
    parents = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                pass
    tree, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in tree} - tree
        tree |= more
        grown = bool(more)
    total = 0
    for one in tree:
        try:
            text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) << 10
        except (OSError, AttributeError):
            pass
    return total


class MemoryWatch(threading.Thread):
    """The highest use of the device while a process runs."""

    def __init__(self, pid, card, before_bytes):
        super().__init__(daemon=True)
        self.pid, self.card, self.before, self.peak = pid, card, before_bytes, 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.02 if self.card else 0.5):
            used = self.card.used_bytes() - self.before if self.card else tree_bytes(self.pid)
            self.peak = max(self.peak, used)


def run_watched(command, card, limit_s, folder, environment, on_line):
    """Runs on a terminal of its own; on_line(text, seconds since the start) for all that it says. Returns the exit code,
    the peak of the device, and the end of what it said."""
    before = card.used_bytes() if card else 0
    leader, follower = pty.openpty()
    start = time.time()
    process = subprocess.Popen(list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower,
                               env={**environment, "YOLODIST_BENCH_START": repr(start)}, start_new_session=True)
    os.close(follower)
    watch = MemoryWatch(process.pid, card, before)
    timer = threading.Timer(limit_s, lambda: os.killpg(process.pid, signal.SIGKILL))
    said = ""
    try:
        watch.start()
        timer.start()
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # nobody has the terminal any more
                break
            if not piece:
                break
            text = piece.decode(errors="replace")
            on_line(text, time.time() - start)
            said = (said + text)[-4000:]
        code = process.wait()
    finally:
        timer.cancel()
        try:
            os.killpg(process.pid, signal.SIGKILL)  # loader processes of a training that ended in the middle
        except ProcessLookupError:
            pass
        process.wait()
        watch.ended.set()
        watch.join()
        os.close(leader)
    return code, watch.peak, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said)


def end_on_signals():
    """A training has a session of its own and would outlive this process: an exception ends it on the way out. Said
    for SIGINT, too, which a shell has its background jobs ignore."""
    def leave(number, _):
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, leave)


# ---------------------------------------------------------------- the two sides
def train_ours(options, case, folder, card):
    run = folder / "runs" / "exp"
    first = []

    def note(text, seconds):
        if not first and re.search(r"\| [1-9]\d*/\d+ \[", text):
            first.append(seconds)

    command = [options.yolodist, "train", "--data", case["yaml"], "--cfg", case["model"], "--img", case["imgsz"],
               "--batch", case["batch"], "--epochs", 300, "--max-iterations", case["count"], "--noval", "--nosave",
               "--noplots", "--noautoanchor", "--workers", options.workers, "--project", folder / "runs", "--name", "exp",
               "--exist-ok", "--device", options.device]
    command += ["--threads", options.threads] if options.threads else []
    shutil.rmtree(folder / "runs", ignore_errors=True)
    code, peak, said = run_watched(command, card, options.limit, folder, dict(os.environ), note)
    if code != 0:
        return {"error": f"exit {code}: {said[-1500:]}"}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["type"] == "iteration"]
    step_s = pace([row["global_batch"] / row["images_per_s"] for row in rows], options.warmup)
    return {"images_per_s": case["batch"] / step_s, "first_step_s": first[0] if first else None, "device_bytes": peak,
            "allocator_bytes": max(row["ranks"][0]["peak_bytes"] for row in rows)}


def train_peer(options, case, folder, card):
    answer = folder / "peer.json"
    answer.unlink(missing_ok=True)
    spec = {"answer": str(answer), "yaml": str(case["yaml"]), "model": case["model"], "imgsz": case["imgsz"],
            "batch": case["batch"], "count": case["count"], "workers": options.workers, "device": options.device,
            "project": str(folder / "peer-runs")}
    environment = dict(os.environ)
    if options.threads:
        environment["OMP_NUM_THREADS"] = str(options.threads)
    else:
        environment.pop("OMP_NUM_THREADS", None)
    shutil.rmtree(folder / "peer-runs", ignore_errors=True)
    command = [options.peer, pathlib.Path(__file__).resolve(), "--as-peer", json.dumps(spec)]
    code, peak, said = run_watched(command, card, options.limit, folder, environment, lambda *_: None)
    if code != 0 or not answer.exists():
        return {"error": f"exit {code}: {said[-1500:]}"}
    found = json.loads(answer.read_text())
    step_s = pace(found["step_s"], options.warmup)
    return {"images_per_s": case["batch"] / step_s, "first_step_s": found["first_step_s"], "device_bytes": peak,
            "allocator_bytes": found["allocator_bytes"]}


def be_the_peer(spec):
    """Runs in the peer's Python: its own training, with callbacks that take times and end it."""
    import torch
    import yolov5
    import yolov5.train as train
    from yolov5.utils.callbacks import Callbacks

    on_card = spec["device"] != "cpu"
    begun, found = [], {}

    def begin():
        begun.append(time.time())
        if len(begun) > spec["count"]:
            found["step_s"] = [after - before for before, after in zip(begun, begun[1:])]
            found["allocator_bytes"] = torch.cuda.max_memory_allocated() if on_card else None
            pathlib.Path(spec["answer"]).write_text(json.dumps(found))
            sys.stdout.flush()
            os._exit(0)

    def end(*_):
        if "first_step_s" not in found:
            if on_card:
                torch.cuda.synchronize()
            found["first_step_s"] = time.time() - float(os.environ["YOLODIST_BENCH_START"])

    callbacks = Callbacks()
    callbacks.register_action("on_train_batch_start", callback=begin)
    callbacks.register_action("on_train_batch_end", callback=end)
    # Its self-check of mixed precision fetches a picture and weights, and without a network turns mixed precision off.
    train.check_amp = lambda model: on_card
    models = pathlib.Path(yolov5.__file__).parent / "models"
    yaml = next(path for path in (models / f"{spec['model']}.yaml", models / "hub" / f"{spec['model']}.yaml") if path.exists())
    sys.argv = sys.argv[:1]
    options = train.parse_opt(known=True)
    for name, value in {"weights": "", "cfg": str(yaml), "data": spec["yaml"], "imgsz": spec["imgsz"],
                        "batch_size": spec["batch"], "epochs": 300, "device": "0" if on_card else "cpu", "noplots": True,
                        "noval": True, "nosave": True, "noautoanchor": True, "workers": spec["workers"],
                        "project": spec["project"], "name": "exp"}.items():
        setattr(options, name, value)
    train.main(options, callbacks)


def find_peer():
    """The Python that has the peer, and why there is none otherwise."""
    python = os.environ.get("YOLODIST_PYTHON_PEER") or shutil.which("python3") or sys.executable
    ask = "import importlib.metadata as m; print(m.version('yolov5'))"
    process = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    if process.returncode != 0:
        return None, f"{python} has no yolov5 (pip install yolov5=={PEER_VERSION}; YOLODIST_PYTHON_PEER names another Python)"
    version = process.stdout.strip()
    return python, "" if version == PEER_VERSION else f"yolov5 is {version}, not {PEER_VERSION}"


# ---------------------------------------------------------------- all cases
def say_round(case, round_number, side, found):
    text = found["error"].splitlines()[-1] if "error" in found else \
        f"{found['images_per_s']:.3g} img/s, device peak {found['device_bytes'] / 2**20:.0f} MiB, first step {found['first_step_s']:.1f} s"
    print(f"{case['model']} {case['imgsz']} batch {case['batch']}, round {round_number + 1}, {side}: {text}", flush=True)


def finished_case(case, rounds):
    found = {**{key: value for key, value in case.items() if key != "yaml"}, "all_rounds": rounds,
             "ours": summary(rounds["ours"]), "peer": summary(rounds["peer"])}
    return found | {"ratio": ratio(found["ours"], found["peer"], "images_per_s")}


def measure(options, folder, card, on_round):
    """All cases; on_round gets those so far after each training."""
    cases = []
    for model in options.models:
        for side in options.imgs:
            batch = batch_of(options.batches, options.imgs, side)
            count = options.warmup + options.iterations
            data = folder / f"data-{batch}"
            yaml = data / "data.yaml" if data.exists() else make_data(data, batch * (count + 2))
            case = {"model": model, "imgsz": side, "batch": batch, "count": count, "yaml": yaml}
            rounds = {"ours": [], "peer": []}
            for number in range(options.rounds):
                for side_name, train in (("ours", train_ours), ("peer", train_peer)):
                    if side_name == "peer" and not options.peer:
                        continue
                    found = train(options, case, folder, card)
                    say_round(case, number, side_name, found)
                    rounds[side_name].append(found)
                    on_round([*cases, finished_case(case, rounds)])
            cases.append(finished_case(case, rounds))
    return cases


def write_whole(file, text):
    """Never half a file, whenever this process ends."""
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def parse():
    parser = argparse.ArgumentParser(description="Speed and memory of training, beside PyPI yolov5.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", nargs="+", default=["yolov5n", "yolov5s"])
    parser.add_argument("--imgs", nargs="+", type=int, default=[640, 1280])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 4], help="one for all sides, or one each")
    parser.add_argument("--iterations", type=int, default=40, help="measured of each training")
    parser.add_argument("--warmup", type=int, default=8, help="iterations before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="compute threads of both; 0 = their own choice")
    parser.add_argument("--workers", type=int, default=8, help="loader workers of both, at most")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one training")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--yolodist", type=pathlib.Path,
                        default=next((p for p in (ROOT / "build/release/bin/yolodist", ROOT / "bin/yolodist") if p.exists()),
                                     ROOT / "build/release/bin/yolodist"))
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if len(options.batches) not in (1, len(options.imgs)):
        parser.error("--batches takes one number for all sides, or one a side")
    return options


def main():
    options = parse()
    if options.as_peer:
        be_the_peer(json.loads(options.as_peer))
        return 1  # it ends itself
    end_on_signals()
    card = None
    document = {"schema": 1, "device": options.device, "card": "cpu"}
    if options.device == "cuda":
        # One card, and the same one for CUDA and the driver.
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        try:
            card = nvml.Card(os.environ["CUDA_VISIBLE_DEVICES"])
            document |= {"card": card.name(), "driver": card.driver(), "card_bytes": card.total_bytes()}
        except nvml.NoCard as error:
            print(f"no card to measure: {error}", file=sys.stderr)
            return UNAVAILABLE
    version = subprocess.run([options.yolodist, "--version"], capture_output=True, text=True, check=False)
    if version.returncode != 0:
        print(f"{options.yolodist} does not start: {version.stderr.strip()}", file=sys.stderr)
        return 1
    document["versions"] = version.stdout.split("\n")
    options.peer, note = (None, "left out") if options.no_peer else find_peer()
    document["peer"] = {"python": options.peer, "note": note}
    if note:
        print(f"peer: {note}")

    def keep(cases, complete=False):
        end = (f" Peer: {note}." if note else "") + ("" if complete else " Not all of it: the measurement did not end.")
        document.update(cases=cases, complete=complete, markdown=[
            f"{document['card']}: yolodist / yolov5 {PEER_VERSION}, and their ratio; medians of {options.rounds} rounds of "
            f"{options.iterations} iterations.{end}", "", *table(cases)])
        if options.json:
            write_whole(options.json, json.dumps(document, indent=1) + "\n")
        if options.markdown:
            write_whole(options.markdown, "\n".join(document["markdown"]) + "\n")

    with tempfile.TemporaryDirectory(prefix="yolodist-bench-") as holder:
        keep(measure(options, pathlib.Path(holder).resolve(), card, keep), complete=True)
    print("\n".join(document["markdown"]))
    return 1 if any(case["ours"] is None for case in document["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
