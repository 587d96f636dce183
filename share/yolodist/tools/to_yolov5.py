#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint of yolodist into one that YOLOv5's own detect.py, val.py, export.py and train.py take.

    python3 to_yolov5.py runs/train/exp/weights/best.pt             writes best-yolov5.pt beside it
    python3 to_yolov5.py last.pt -o out.pt --yolov5 ~/yolov5        for a checkout of the repository

Needs a Python with torch and YOLOv5: the package of PyPI (pip install yolov5), or a checkout given by --yolov5. YOLOv5 keeps
its models as pickled Python objects, so the file is for the code base that it was made with: one made with a checkout is
read by checkouts and by the package, one made with the package by the package only."""
import argparse
import datetime
import importlib
import logging
import os
import pathlib
import sys
import tempfile

USAGE, DATA, MISSING, STORAGE = 64, 65, 69, 74  # the exit codes of yolodist


def fail(code, message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(USAGE, f"{message}. {self.prog} --help lists all options.")


def import_yolov5(checkout):
    """YOLOv5's module models.yolo, and what to call the code base."""
    if checkout:
        root = pathlib.Path(checkout).expanduser().resolve()
        if not (root / "models" / "yolo.py").is_file():
            fail(USAGE, f"{root} is no checkout of YOLOv5: it has no models/yolo.py")
        sys.path.insert(0, str(root))
        name, label = "models.yolo", f"the checkout {root}"
    else:
        name, label = "yolov5.models.yolo", "the package yolov5"
    try:
        return importlib.import_module(name), label
    except ImportError as error:
        fail(MISSING, f"{label} cannot be imported by {sys.executable}: {error}. "
                      "Use the Python that runs YOLOv5, or name a checkout with --yolov5.")


def read_checkpoint(torch, path):
    if not path.is_file():
        fail(DATA, f"{path} does not exist")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all kinds of them; the first line says which
        if "weights" in str(error).lower() and "only" in str(error).lower():
            fail(DATA, f"{path} holds pickled Python objects, so it is no checkpoint of yolodist. A file of YOLOv5 itself "
                       "needs no conversion.")
        fail(DATA, f"{path} is no checkpoint of yolodist, or is damaged: {str(error).splitlines()[0]}")
    if not isinstance(data, dict) or data.get("schema") != 1 or not isinstance(data.get("model"), dict):
        fail(DATA, f"{path} is no checkpoint of yolodist")
    if not data.get("model_yaml"):
        fail(DATA, f"{path} does not say which model it is of: it was not written by a training run")
    return data


def build_model(torch, yolo, data, path):
    """YOLOv5's model object, filled with the checkpoint's averaged weights."""
    import yaml
    definition = yaml.safe_load(data["model_yaml"])
    names = list(data.get("names") or [])
    try:
        model = yolo.DetectionModel(definition, ch=3)
        model.load_state_dict({name: value.float() if value.is_floating_point() else value
                               for name, value in (data.get("ema") or data["model"]).items()}, strict=True)
    except (RuntimeError, NameError, KeyError, AttributeError) as error:
        fail(DATA, f"{path} is of a model that this YOLOv5 does not build: {str(error).splitlines()[0]}")
    count = model.yaml["nc"]
    if len(names) != count:
        names = [f"class{i}" for i in range(count)]
    model.names = dict(enumerate(names))
    model.nc = count
    if data.get("model_name"):
        model.yaml_file = f"{data['model_name']}.yaml"
    model.hyp = scaled_hyp(data, model)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model.eval()


def scaled_hyp(data, model):
    """The gains as YOLOv5 keeps them with a model: scaled to its levels, classes and picture side."""
    hyp = dict(data.get("hyp") or {})
    levels = model.model[-1].nl
    side = (data.get("options") or {}).get("imgsz", 640)
    for key, factor in (("box", 3 / levels), ("cls", model.nc / 80 * 3 / levels), ("obj", (side / 640) ** 2 * 3 / levels)):
        if key in hyp:
            hyp[key] *= factor
    return hyp


def fits_half(torch, model):
    """Whether no weight leaves the range of fp16, in which YOLOv5 stores them."""
    return all(bool(torch.isfinite(value.half()).eq(torch.isfinite(value)).all())
               for value in model.state_dict().values() if value.is_floating_point())


def write(torch, checkpoint, out):
    """Whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(checkpoint, file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, out)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="last.pt, best.pt or epochN.pt of a run of yolodist")
    parser.add_argument("-o", "--out", type=pathlib.Path, help="the file to write (default: NAME-yolov5.pt beside it)")
    parser.add_argument("--yolov5", metavar="PATH", help="a checkout of YOLOv5 (default: the package of PyPI)")
    arguments = parser.parse_args()
    path = arguments.checkpoint
    out = arguments.out or path.with_name(f"{path.stem}-yolov5.pt")
    if out.resolve() == path.resolve():
        fail(USAGE, f"{out} would replace the checkpoint itself; give another name with --out")

    try:
        import torch
    except ImportError:
        fail(MISSING, f"{sys.executable} cannot import torch. Use the Python that runs YOLOv5.")
    data = read_checkpoint(torch, path)
    yolo, label = import_yolov5(arguments.yolov5)
    logging.disable(logging.INFO)  # the table of layers
    model = build_model(torch, yolo, data, path)
    is_half = fits_half(torch, model)
    checkpoint = {"epoch": -1, "best_fitness": None, "model": model.half() if is_half else model, "ema": None,
                  "updates": None, "optimizer": None, "opt": {**(data.get("options") or {}), "hyp": data.get("hyp")},
                  "git": {"remote": None, "branch": None, "commit": None},
                  "date": datetime.datetime.now().isoformat()}
    try:
        write(torch, checkpoint, out)
    except OSError as error:
        fail(STORAGE, f"{out} cannot be written: {error.strerror or error}")
    print(f"{out}: {model.nc} classes, {'fp16' if is_half else 'fp32, since fp16 does not hold its weights'}, for {label}")


if __name__ == "__main__":
    main()
