# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""What the peer's val.py and detect.py say of official weights on a small data set."""
import hashlib
import pathlib
import shutil
import tempfile

SIDE, BATCH = 640, 8
# The task `speed` is the peer's way to square pictures; its main() sets these thresholds with it.
CASES = {"val": {"conf_thres": 0.001, "iou_thres": 0.6}, "speed": {"conf_thres": 0.25, "iou_thres": 0.45}}


def copied(data, folder):
    """The data set where the peer may write beside it, with a yaml that it can resolve."""
    target = folder / data.name
    shutil.copytree(data, target)
    yaml = target / f"{data.name}.yaml"
    lines = [f"path: {target}" if line.startswith("path:") else line for line in yaml.read_text().splitlines()]
    yaml.write_text("\n".join(lines) + "\n")
    return yaml


def measured(yaml, weights, task, folder):
    from yolov5 import val
    result = val.run(data=str(yaml), weights=str(weights), batch_size=BATCH, imgsz=SIDE, task=task, device="cpu",
                     workers=0, half=False, plots=False, project=str(folder), name=task, **CASES[task])[0]
    return {"batch": BATCH, "imgsz": SIDE, **CASES[task], **dict(zip(("P", "R", "mAP50", "mAP50-95"), map(float, result)))}


def found(yaml, weights, folder):
    """class, x, y, w, h, confidence of every detection by picture, the least confident first."""
    from yolov5 import detect
    detect.run(weights=str(weights), source=str(yaml.parent / "images/val"), imgsz=(SIDE, SIDE), device="cpu",
               conf_thres=0.25, iou_thres=0.45, save_txt=True, save_conf=True, nosave=True, project=str(folder),
               name="detect")
    return {file.stem: [[float(word) for word in line.split()] for line in file.read_text().splitlines()]
            for file in sorted((folder / "detect/labels").iterdir())}


def validation(folder, weights, data):
    weights, data = pathlib.Path(weights), pathlib.Path(data)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        yaml = copied(data, scratch)
        document = {"weights": weights.name, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
                    "data": data.name, "val": [{"task": task, **measured(yaml, weights, task, scratch)} for task in CASES],
                    "detect": found(yaml, weights, scratch)}
    folder.write("validation", document)
