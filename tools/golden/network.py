# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Builder, forward pass, target assignment and loss of the peer."""
import contextlib
import hashlib
import math
import pathlib

import numpy as np
import torch
import yaml
import yolov5.models.yolo as yolo
import yolov5.utils.loss as loss_module
from yolov5.utils.loss import ComputeLoss
from yolov5.utils.metrics import bbox_iou

from . import formula

MODELS = {"yolov5n": "yolov5n.yaml", "yolov5s": "yolov5s.yaml", "yolov5m": "yolov5m.yaml", "yolov5l": "yolov5l.yaml",
          "yolov5x": "yolov5x.yaml", "yolov5n6": "hub/yolov5n6.yaml", "yolov5s6": "hub/yolov5s6.yaml",
          "yolov5m6": "hub/yolov5m6.yaml", "yolov5l6": "hub/yolov5l6.yaml", "yolov5x6": "hub/yolov5x6.yaml"}
LOW = {"lr0": 0.01, "lrf": 0.01, "momentum": 0.937, "weight_decay": 0.0005, "warmup_epochs": 3.0,
       "warmup_momentum": 0.8, "warmup_bias_lr": 0.1, "box": 0.05, "cls": 0.5, "cls_pw": 1.0, "obj": 1.0,
       "obj_pw": 1.0, "anchor_t": 4.0, "fl_gamma": 0.0, "label_smoothing": 0.0}


def build(name, nc=80):
    return yolo.DetectionModel(str(pathlib.Path(yolo.__file__).parent / MODELS[name]), ch=3, nc=nc)


def state_lines(model):
    return [name + " " + ("x".join(map(str, value.shape)) or "scalar") for name, value in model.state_dict().items()]


def builder(folder):
    rows = []
    for name, nc in [(m, 80) for m in MODELS] + [("yolov5s", 1), ("yolov5s", 20), ("yolov5l6", 1), ("yolov5l6", 20)]:
        model = build(name, nc)
        lines = state_lines(model)
        row = {"name": name, "nc": nc, "parameters": sum(p.numel() for p in model.parameters()),
               "layer_parameters": [sum(p.numel() for p in layer.parameters()) for layer in model.model],
               "entry_count": len(lines), "entries_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
               "strides": model.stride.tolist(), "anchors_grid": formula.shortest(model.model[-1].anchors)}
        if name in ("yolov5n", "yolov5n6"):
            row["entries"] = lines
        rows.append(row)
        print("  ", name, nc, row["parameters"])
    folder.write("builder", {"models": rows})


def forward_case(name, batch, height, width, model=None):
    model = (model or build(name)).double()
    formula.fill_weights(model)
    weights = whole(model)
    images = formula.tensor(1, (batch, 3, height, width))
    model.eval()
    with torch.no_grad():
        decoded, _ = model(images)
    model.train()
    raw = model(images)
    # A scalar that weighs every output differently, for gradients: sum of raw * (u - 0.5), level l from stream 2 + l.
    scalar = sum((r * (formula.tensor(2 + l, tuple(r.shape)) - 0.5)).sum() for l, r in enumerate(raw))
    scalar.backward()
    state = model.state_dict()
    return {"model": name, "nc": model.yaml["nc"], "batch": batch, "height": height, "width": width, "weights": weights,
            "eval": formula.summary(decoded), "train": [formula.summary(r) for r in raw], "scalar": float(scalar),
            "running": {k: formula.sums(v) for k, v in state.items() if "running_" in k},
            "gradients": {k: formula.sums(p.grad) for k, p in model.named_parameters()}}


def forward(folder):
    for key, case in {"forward_n": ("yolov5n", 2, 64, 64), "forward_n_96x64": ("yolov5n", 2, 96, 64),
                      "forward_n6": ("yolov5n6", 2, 128, 128)}.items():
        folder.write(key, forward_case(*case))


# One of each block that the shipped models do not have, with an activation of its own.
BLOCKS = """
nc: 4
depth_multiple: 1.0
width_multiple: 0.5
activation: nn.LeakyReLU(0.1)
anchors:
  - [10,13, 16,30]
  - [40,50, 80,90]
backbone:
  - [-1, 1, Focus, [64, 3]]
  - [-1, 1, DWConv, [128, 3, 2]]
  - [-1, 2, Bottleneck, [128]]
  - [-1, 2, BottleneckCSP, [128]]
  - [-1, 1, GhostConv, [256, 3, 2]]
  - [-1, 1, GhostBottleneck, [256, 3, 1]]
  - [-1, 1, GhostBottleneck, [512, 3, 2]]
  - [-1, 3, C3Ghost, [512]]
  - [-1, 1, SPP, [512, [5, 9, 13]]]
head:
  - [-1, 2, Conv, [512, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]
  - [[-1, 5], 1, Concat, [1]]
  - [-1, 3, C3, [256, False, 2]]
  - [-1, 1, Conv, [64, 3, 1, None, 2, 2, False]]
  - [-1, 1, DWConv, [64, 3, 1, 2]]
  - [-1, 1, Bottleneck, [64, False, 1, 0.25]]
  - [[15, 9], 1, Detect, [nc, anchors]]
"""


def blocks(folder):
    default = yolo.Conv.default_act
    try:
        model = yolo.DetectionModel(yaml.safe_load(BLOCKS), ch=3)
        folder.write("forward_blocks", {**forward_case("blocks", 2, 64, 96, model), "yaml": BLOCKS})
    finally:
        yolo.Conv.default_act = default


class Head(torch.nn.Module):
    """What ComputeLoss asks of a model: the last module's anchors and counts, and hyp."""

    def __init__(self, anchors_px, strides, nc, hyp):
        super().__init__()
        detect = torch.nn.Module()
        strides = torch.tensor(strides, dtype=torch.float32)
        detect.anchors = torch.tensor(anchors_px, dtype=torch.float32).view(len(strides), -1, 2) / strides.view(-1, 1, 1)
        detect.nl, detect.na, detect.nc, detect.stride = len(strides), detect.anchors.shape[1], nc, strides
        self.model = torch.nn.ModuleList([detect])
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.hyp = hyp


P5 = ([[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]], [8, 16, 32])
P6 = ([[19, 27, 44, 40, 38, 94], [96, 68, 86, 152, 180, 137], [140, 301, 303, 264, 238, 542],
       [436, 615, 739, 380, 925, 792]], [8, 16, 32, 64])


def edge_targets(height, width, batch):
    """Boxes on the edges of the rules, then random ones; rows [image, class, x, y, w, h] as float32."""
    rows = []
    nx, ny = width / 8, height / 8
    for x, y in [(3, 4), (3.5, 4), (3, 4.5), (3.5, 4.5), (3.2, 4.7), (1, 1), (0, 0), (0.3, 0.4), (nx, ny), (nx - 1, 2),
                 (nx - 0.4, ny - 0.4), (nx - 1.5, 0.5), (2.25, ny - 1)]:
        rows.append([0, 1, x / nx, y / ny, 16 / width, 24 / height])
    for factor in (4.0, 3.9999, 4.0001, 0.25, 0.2501, 0.2499):  # of P3's first anchor
        rows.append([1 % batch, 2, 0.4, 0.6, 10 * factor / width, 13 / height])
    rows.append([1 % batch, 0, 0.5, 0.5, 1.0, 1.0])
    rows.append([1 % batch, 0, 0.5, 0.5, 0.001, 0.001])
    u = formula.uniform(50, 16 * 6).reshape(16, 6)
    for r in u:
        rows.append([int(r[0] * batch), int(r[1] * 3), r[2], r[3], 0.02 + 0.6 * r[4] ** 2, 0.02 + 0.6 * r[5] ** 2])
    return torch.tensor(rows, dtype=torch.float32)


def assignment(folder):
    cases = []
    for key, (anchors, strides), height, width in (("p5", P5, 160, 192), ("p6", P6, 256, 320)):
        compute = ComputeLoss(Head(anchors, strides, 3, LOW))
        shapes = [(2, 3, height // s, width // s, 8) for s in strides]
        targets = edge_targets(height, width, 2)
        tcls, tbox, indices, anchor_wh = compute.build_targets([torch.zeros(s) for s in shapes], targets)
        cases.append({"name": key, "anchors_px": anchors, "strides": strides, "anchor_t": LOW["anchor_t"],
                      "height": height, "width": width, "batch": 2, "targets": formula.shortest(targets),
                      "levels": [{"image": i[0].tolist(), "anchor": i[1].tolist(), "gj": i[2].tolist(),
                                  "gi": i[3].tolist(), "class": c.tolist(), "box": formula.shortest(b),
                                  "anchor_wh": formula.shortest(a)}
                                 for c, b, i, a in zip(tcls, tbox, indices, anchor_wh)]})
    folder.write("assignment", {"cases": cases})


class _Torch64:
    """torch, but the loss's three accumulators are double: the peer makes them float32 whatever the predictions are."""

    def __getattr__(self, name):
        return getattr(torch, name)

    @staticmethod
    def zeros(*args, **kwargs):
        kwargs.setdefault("dtype", torch.float64)
        return torch.zeros(*args, **kwargs)


@contextlib.contextmanager
def double_accumulators(wanted=True):
    if wanted:
        loss_module.torch = _Torch64()
    try:
        yield
    finally:
        loss_module.torch = torch


def loss_targets(kind, nc):
    u = formula.uniform(60, 14 * 6).reshape(14, 6)
    rows = [[int(r[0] * 2), int(r[1] * nc), r[2], r[3], 0.05 + 0.9 * r[4] ** 2, 0.05 + 0.9 * r[5] ** 2] for r in u]
    if kind == "collide":  # the same cell and anchor several times: the last one written counts
        rows = [[0, int(i % nc), 0.51 + 0.01 * i, 0.52, 0.15 + 0.02 * i, 0.3] for i in range(4)] + rows[:4]
    if kind == "small":  # nothing for the largest stride
        rows = [[i % 2, int(i % nc), 0.1 + 0.15 * i, 0.3, 0.06, 0.07] for i in range(5)]
    if kind == "one":
        rows = rows[:1]
    return torch.tensor(rows if kind != "none" else np.zeros((0, 6)), dtype=torch.float32).view(-1, 6)


def loss(folder):
    cases = []
    for key, net, nc, kind, change in (
            ("nc80", P5, 80, "random", {}), ("nc1", P5, 1, "random", {}),
            ("label_smoothing", P5, 80, "random", {"label_smoothing": 0.1}),
            ("focal", P5, 80, "random", {"fl_gamma": 1.5}),
            ("positive_weights", P5, 20, "random", {"cls_pw": 0.5, "obj_pw": 0.75}),
            ("no_targets", P5, 80, "none", {}), ("empty_level", P5, 80, "small", {}), ("one_target", P5, 2, "one", {}),
            ("same_cell", P5, 3, "collide", {}), ("p6", P6, 3, "random", {"cls": 0.375, "box": 0.0375, "obj": 3.0})):
        anchors, strides = net
        hyp = {**LOW, **change}
        height, width = (64, 96) if net is P5 else (128, 192)
        targets = loss_targets(kind, nc)
        case = {"name": key, "nc": nc, "anchors_px": anchors, "strides": strides, "batch": 2, "height": height,
                "width": width, "hyp": hyp, "targets": formula.shortest(targets)}
        for precision, dtype in (("fp64", torch.float64), ("fp32", torch.float32)):
            compute = ComputeLoss(Head(anchors, strides, nc, hyp))
            # Predictions: 4 * (u - 0.5), level l from stream 10 + l.
            raw = [(4 * (formula.tensor(10 + l, (2, 3, height // s, width // s, nc + 5)) - 0.5)).to(dtype)
                   .requires_grad_() for l, s in enumerate(strides)]
            with double_accumulators(dtype is torch.float64):
                total, items = compute(raw, targets)
            total.backward()
            case[precision] = {"total": float(total), "box": float(items[0]), "obj": float(items[1]),
                               "cls": float(items[2]), "gradients": [formula.summary(r.grad, 60) for r in raw]}
            # A level's gradient by column: x, y, w, h, objectness, all classes together.
            case[precision]["column_sum_sq"] = [
                [float((g * g).sum()) for g in r.grad.double().split([1, 1, 1, 1, 1, nc], 4)] for r in raw]
        cases.append(case)
    boxes = [[0.5, 0.5, 2, 2, 0.5, 0.5, 2, 2], [0.3, 0.6, 1.5, 2.5, 0.5, 0.5, 2, 2], [0, 0, 1, 1, 5, 5, 2, 4]]
    boxes += (formula.uniform(70, 40 * 8).reshape(40, 8) * [1, 1, 3, 3, 1, 1, 3, 3] + [0, 0, 0.05, 0.05] * 2).tolist()
    both = torch.tensor(boxes, dtype=torch.float64)
    ciou = {"boxes": boxes}
    for precision, b in (("fp64", both), ("fp32", both.float())):
        p = b[:, :4].clone().requires_grad_()
        value = bbox_iou(p, b[:, 4:], CIoU=True).squeeze()
        value.sum().backward()
        ciou[precision] = {"ciou": formula.shortest(value), "gradient": formula.shortest(p.grad)}
    folder.write("loss", {"cases": cases, "ciou": ciou})


def whole(model):
    """Sum and sum of squares of all parameters, then of all BN statistics."""
    state = model.state_dict()
    parameters = [formula.sums(p) for p in model.parameters()]
    statistics = [formula.sums(v) for k, v in state.items() if "running_" in k]
    return [math.fsum(s[i] for s in part) for part in (parameters, statistics) for i in (0, 1)]
