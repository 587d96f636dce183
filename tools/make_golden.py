#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/data from the Python peer (yolov5 7.0.14 from PyPI, torch 2.11).

    PEER_VENV/bin/python tools/make_golden.py [--only builder,loss] [--out tests/golden/data]

It calls the installed peer and records what goes in and what comes out; nothing of the peer is copied. The files are
committed, so this is needed only to make them anew. tests/golden/README.md describes them."""
import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import cv2  # noqa: E402
import torch  # noqa: E402

from golden import formula, measures, network, pictures, training, training_data, validation, weights  # noqa: E402


def main():
    parts = {"builder": network.builder, "forward": network.forward, "blocks": network.blocks,
             "assignment": network.assignment, "loss": network.loss, "schedule": measures.schedule, "ema": measures.ema,
             "evaluation": measures.evaluation, "confusion": measures.confusion, "data": pictures.data,
             "trace": training.trace, "gradients": training.gradients, "weights": weights.weights,
             "copy_paste": training_data.copy_paste, "anchors": training_data.anchors,
             "image_weights": training_data.image_weights, "validation": validation.validation}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(parts), help="parts, separated by commas")
    parser.add_argument("--out", default=ROOT / "tests/golden/data", type=pathlib.Path)
    parser.add_argument("--sample", default=ROOT / "share/yolodist/sample", type=pathlib.Path)
    parser.add_argument("--weights", help="an official yolov5n.pt, for the part `weights`")
    parser.add_argument("--validation-data", help="a data set of COCO's classes, DIR with DIR/DIR.yaml, for the part `validation`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)
    folder = formula.Folder(arguments.out, "tools/make_golden.py")
    sample = None
    for name in arguments.only.split(","):
        if name not in parts:
            parser.error(f"unknown part {name}; there are {', '.join(parts)}")
        print(name, flush=True)
        if name in ("data", "trace", "copy_paste"):
            sample = sample or pictures.Pictures(arguments.sample)
            sample.class_count = 3  # of the formula's targets in the trace
            parts[name](folder, sample)
        elif name == "validation":
            if arguments.weights and arguments.validation_data:
                parts[name](folder, arguments.weights, arguments.validation_data)
            else:
                print("   left out: it needs --weights and --validation-data")
        elif name == "weights":
            if arguments.weights:
                parts[name](folder, arguments.weights, arguments.sample)
            else:
                print("   left out: it needs --weights")
        else:
            parts[name](folder)


if __name__ == "__main__":
    main()
