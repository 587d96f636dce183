#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Holds the dependency rules between rooms: reads every #include of common/, launcher/, worker/ and tests/.

usage: check_layers.py [ROOT]     ends 1 and names file, line and rule for each include that breaks one
"""
import re
import sys
from pathlib import Path

COMMON = ("common/base", "common/config", "common/model_spec", "common/plan", "common/protocol", "common/run")
WORKER = ("worker/libtorch", "worker/link", "worker/comm", "worker/data", "worker/ops", "worker/model", "worker/loss",
          "worker/memory", "worker/parallel", "worker/optim", "worker/compress", "worker/eval", "worker/checkpoint",
          "worker/telemetry", "worker/pictures", "worker/export", "worker/train")
LAUNCHER = ("launcher/mpi", "launcher/device", "launcher/workers", "launcher/cli", "launcher/supervise")

# What each room may include, besides itself.
ROOMS = {
    "common/base": (),
    "common/config": ("common/base",),
    # Both read yaml, with one way to name file and line.
    "common/model_spec": ("common/base", "common/config"),
    "common/plan": COMMON[:3],
    "common/run": COMMON[:4],
    # A worker's failure report travels as it is stored.
    "common/protocol": COMMON[:4] + ("common/run",),

    "launcher/mpi": COMMON,
    "launcher/device": COMMON,
    "launcher/workers": COMMON,
    "launcher/cli": COMMON,
    "launcher/supervise": COMMON + ("launcher/mpi", "launcher/device", "launcher/workers"),
    "launcher/commands": COMMON + LAUNCHER,

    "worker/libtorch": (),
    "worker/link": COMMON,
    "worker/comm": COMMON + ("worker/link",),
    "worker/data": COMMON,
    "worker/memory": COMMON + ("worker/libtorch",),
    "worker/telemetry": COMMON,
    # Draws samples, labels and measures; a room of its own, so that telemetry needs no OpenCV.
    "worker/pictures": COMMON + ("worker/data", "worker/eval"),
    "worker/ops": COMMON + ("worker/libtorch", "worker/comm", "worker/memory"),
    "worker/model": COMMON + ("worker/ops", "worker/memory"),
    "worker/loss": COMMON + ("worker/model",),
    # The groups and the EMA are made of a model's named parameters.
    "worker/optim": COMMON + ("worker/comm", "worker/model", "worker/memory"),
    "worker/parallel": COMMON + ("worker/libtorch", "worker/comm", "worker/model", "worker/optim", "worker/memory"),
    # Matching takes the labels of a sample as the loader made them.
    "worker/eval": COMMON + ("worker/comm", "worker/loss", "worker/data"),
    "worker/compress": COMMON + ("worker/model", "worker/optim"),
    "worker/checkpoint": COMMON + ("worker/libtorch", "worker/model", "worker/optim", "worker/memory"),
    "worker/export": COMMON + ("worker/model", "worker/checkpoint"),
    "worker/train": COMMON + WORKER,
    "worker/commands": COMMON + WORKER,
}

TORCH = r"(torch|ATen|c10|caffe2)/"
# (pattern of an outside header, its name, where it may be included). A place is a folder or a file.
OUTSIDE = (
    (r"torch/torch\.h$", "torch/torch.h (46 s a file)", ()),
    (r"torch/csrc/distributed/", "c10d", ()),
    # torch::autograd::Function and grad are public, although they lie there.
    (r"torch/csrc/(?!autograd/(custom_function|autograd)\.h$)|caffe2/|c10/cuda/|c10/core/CPUAllocator\.h$",
     "what is internal to LibTorch",
     ("worker/libtorch", "tests")),
    (TORCH, "LibTorch",
     ("worker/libtorch", "worker/ops", "worker/model", "worker/loss", "worker/memory", "worker/parallel", "worker/optim",
      "worker/compress", "worker/checkpoint", "worker/export", "worker/train", "worker/commands", "tests")),
    (r"mpi\.h$", "MPI", ("launcher/mpi", "tests/mpi", "tests/support")),
    (r"nccl\.h$", "NCCL", ("worker/comm/nccl_session.h", "worker/train/place.cpp", "tests/gpu", "tests/support", "tests/unit/worker/comm_nccl")),
    (r"cuda(_runtime)?(_api)?\.h$", "CUDA", ("worker/comm/nccl_session.h", "worker/memory/meter.cpp", "worker/train/place.cpp", "worker/train/upload.cpp", "tests/gpu", "tests/support",
      "tests/unit/worker/comm_nccl")),
    (r"nvml\.h$", "NVML", ("launcher/device",)),
    (r"yaml-cpp/", "yaml-cpp", ("common/config", "common/model_spec", "tests")),
    (r"opencv2/", "OpenCV", ("worker/data", "worker/pictures", "tests")),
    (r"boost/", "Boost", ("launcher", "tests")),
    (r"(spdlog|fmt)/", "spdlog or fmt", ("common/base/log.cpp",)),
)

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def room_of(path):
    """"worker/comm" for "worker/comm/x.h"; None outside the rooms."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in ("common", "launcher", "worker") else None


def lies_in(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def problem_of(path, header, is_quoted):
    """What is wrong with `path` including `header`, or None."""
    for pattern, name, places in OUTSIDE:
        if re.match(pattern, header):
            return None if lies_in(path, places) else f"{name} is allowed in {', '.join(places) or 'no file'}"
    room, other = room_of(path), room_of(header)
    if room is None:
        return None
    # generated/ is what CMake writes into the build folder.
    if is_quoted and other is None and not header.startswith("generated/"):
        return "a header of the project is included by its path from the repository root"
    if other is None or other == room:
        return None
    if other not in ROOMS[room]:
        return f"{room} may include {', '.join(ROOMS[room]) or 'no other room'}"
    return None


def check(root):
    problems = []
    count = 0
    for top in ("common", "launcher", "worker", "tests"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cpp"):
                continue
            path = file.relative_to(root).as_posix()
            count += 1
            room = room_of(path)
            if top != "tests" and room not in ROOMS:
                problems.append(f"{path}: {room or 'a file outside a room'} is not in the table of tools/check_layers.py")
                continue
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                found = INCLUDE.match(line)
                if found:
                    problem = problem_of(path, found[2], found[1] == '"')
                    if problem:
                        problems.append(f"{path}:{number}: includes {found[2]}; {problem}")
    return problems, count


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    problems, count = check(root)
    for problem in problems:
        print(problem)
    if count == 0:
        print(f"{root}: no sources found")
        return 1
    print(f"check_layers: {count} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
