#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Fails on source files of more than 500 lines, unless they are listed here with a reason.

usage: check_sizes.py [ROOT]
"""
import os
import sys
from pathlib import Path

MOST_LINES = 500
SUFFIXES = (".h", ".cpp", ".py", ".sh", ".cmake", ".txt")
# Built, fetched, or data; from the root.
SKIPPED_FOLDERS = (".git", ".deps", ".cache", "build", "runs", "share", "tests/golden/data")
# path: why it is longer. An entry that is no longer needed fails too.
ALLOWED = {}


def sources(root):
    for folder, folders, files in os.walk(root):
        below = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if (below / name).as_posix() not in SKIPPED_FOLDERS)
        for name in sorted(files):
            if name.endswith(SUFFIXES):
                yield Path(folder, name)


def check(root, allowed):
    problems = []
    lines_of = {}
    for file in sources(root):
        path = file.relative_to(root).as_posix()
        with open(file, "rb") as content:
            lines_of[path] = sum(1 for _ in content)
    for path, lines in lines_of.items():
        if lines > MOST_LINES and path not in allowed:
            problems.append(f"{path}: {lines} lines, at most {MOST_LINES}. Split it, or list it with a reason in tools/check_sizes.py")
    for path, reason in allowed.items():
        if lines_of.get(path, 0) <= MOST_LINES:
            problems.append(f"{path}: is listed in tools/check_sizes.py and need not be")
        if not reason:
            problems.append(f"{path}: is listed in tools/check_sizes.py without a reason")
    return problems, lines_of


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    problems, lines_of = check(root, ALLOWED)
    for problem in problems:
        print(problem)
    if not lines_of:
        print(f"{root}: no sources found")
        return 1
    longest = max(lines_of, key=lines_of.get)
    print(f"check_sizes: {len(lines_of)} files, the longest is {longest} with {lines_of[longest]} lines, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
