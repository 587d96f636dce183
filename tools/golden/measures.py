# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Schedule, EMA, suppression, matching, average precision and confusion matrix of the peer."""
import contextlib

import numpy as np
import torch
from yolov5.utils.general import non_max_suppression, one_cycle, scale_boxes
from yolov5.utils.metrics import ConfusionMatrix, ap_per_class, fitness
from yolov5.utils.torch_utils import ModelEMA
from yolov5.val import process_batch

from . import formula
from .network import LOW


def schedule(folder):
    """The peer's schedule lines run without a network: its loop is inside its train()."""
    cases = []
    for epochs, nb, cosine, batch in ((5, 40, False, 16), (5, 40, True, 16), (4, 10, False, 16), (6, 50, False, 24)):
        nbs, hyp = 64, LOW
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=hyp["lr0"], momentum=hyp["momentum"],
                                    nesterov=True)
        for _ in range(2):
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
        if cosine:
            lf = one_cycle(1, hyp["lrf"], epochs)
        else:
            lf = lambda x, epochs=epochs: (1 - x / epochs) * (1.0 - hyp["lrf"]) + hyp["lrf"]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lf)
        nw = max(round(hyp["warmup_epochs"] * nb), 100)
        accumulate = max(round(nbs / batch), 1)
        scheduler.last_epoch = -1
        last_step = -1
        columns = {k: [] for k in ("lr0", "lr1", "lr2", "momentum", "accumulate", "stepped")}
        epoch_lr = []
        for epoch in range(epochs):
            for i in range(nb):
                ni = i + nb * epoch
                if ni <= nw:
                    x = [0, nw]
                    accumulate = max(1, np.interp(ni, x, [1, nbs / batch]).round())
                    for j, group in enumerate(optimizer.param_groups):
                        group["lr"] = np.interp(ni, x, [hyp["warmup_bias_lr"] if j == 0 else 0.0,
                                                        group["initial_lr"] * lf(epoch)])
                        group["momentum"] = np.interp(ni, x, [hyp["warmup_momentum"], hyp["momentum"]])
                stepped = ni - last_step >= accumulate
                if stepped:
                    optimizer.step()
                    last_step = ni
                for j in range(3):
                    columns[f"lr{j}"].append(float(optimizer.param_groups[j]["lr"]))
                columns["momentum"].append(float(optimizer.param_groups[0]["momentum"]))
                columns["accumulate"].append(int(accumulate))
                columns["stepped"].append(int(stepped))
            epoch_lr.append([float(g["lr"]) for g in optimizer.param_groups])
            scheduler.step()
        cases.append({"epochs": epochs, "batches": nb, "cosine": cosine, "batch": batch, "hyp": hyp,
                      "warmup_iterations": nw, "columns": columns, "epoch_lr": epoch_lr,
                      "lf": [lf(x) for x in range(epochs + 1)]})
    folder.write("schedule", {"cases": cases})


def ema(folder):
    runs = []
    for precision, dtype in (("fp64", torch.float64), ("fp32", torch.float32)):
        model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2)).to(dtype)

        def fill(step):
            with torch.no_grad():
                for e, value in enumerate(model.state_dict().values()):
                    if value.is_floating_point():
                        value.copy_(formula.tensor(2000 + 10 * step + e, tuple(value.shape)) - 0.5)
                    else:
                        value.fill_(step)

        fill(0)
        average = ModelEMA(model)
        rows = []
        for step in range(1, 21):
            fill(step)
            average.update(model)
            rows.append({k: formula.shortest(v.reshape(-1)) for k, v in average.ema.state_dict().items()})
        runs.append({"precision": precision, "rows": rows})
    decay = ModelEMA(model).decay
    updates = [1, 2, 10, 100, 1000, 2000, 10000, 100000]
    folder.write("ema", {"updates": updates, "decays": [decay(u) for u in updates], "runs": runs})


def predictions(stream, rows, nc, levels):
    """Decoded rows around a few centres so that boxes overlap; objectness and classes in `levels` steps (0 = any)."""
    u = formula.uniform(stream, rows * (5 + nc)).reshape(rows, 5 + nc)
    p = u.copy()
    p[:, 0:2] = np.floor(u[:, 0:2] * 6) * 50 + 40 + 12 * (u[:, 2:4] - 0.5)
    p[:, 2:4] = 40 + 30 * u[:, 2:4]
    if levels:
        p[:, 4:] = (np.floor(u[:, 4:] * levels) + 1) / levels
    return torch.from_numpy(p).float()


@contextlib.contextmanager
def stable_argsort():
    """The peer's sort leaves the order of equal scores open (here a SIMD sort); we want the stable reading of it."""
    plain = torch.Tensor.argsort
    torch.Tensor.argsort = lambda self, descending=False: plain(self, stable=True, descending=descending)
    try:
        yield
    finally:
        torch.Tensor.argsort = plain


def evaluation(folder):
    suppression = []
    pieces = {}
    for key, rows, nc, levels, options in (
            ("plain", 300, 3, 0, {}), ("ties", 200, 3, 4, {}), ("one_class", 200, 1, 0, {}),
            ("best_class", 300, 3, 0, {"multi_label": False}), ("agnostic", 300, 3, 0, {"agnostic": True}),
            ("strict", 300, 3, 0, {"conf_thres": 0.25, "iou_thres": 0.45}), ("max_det", 300, 3, 0, {"max_det": 20}),
            ("many_classes", 400, 80, 0, {}), ("too_many", 14000, 3, 0, {}), ("nothing", 50, 3, 0, {"conf_thres": 1.0})):
        o = {"conf_thres": 0.001, "iou_thres": 0.6, "multi_label": True, "agnostic": False, "max_det": 300, **options}
        stream = 100 + len(suppression)
        x = predictions(stream, rows, nc, levels)
        with stable_argsort():
            found = non_max_suppression(x.clone()[None], o["conf_thres"], o["iou_thres"], agnostic=o["agnostic"],
                                        multi_label=o["multi_label"], max_det=o["max_det"])[0]
        pieces["nms_" + key] = found.numpy().astype(np.float32)
        suppression.append({"name": key, "stream": stream, "rows": rows, "nc": nc, "levels": levels, **o,
                            "input_sums": formula.sums(x)})

    iouv = torch.linspace(0.5, 0.95, 10)
    matching = []
    for key, stream, labels_count, detection_count, nc, jitter in (
            ("random", 200, 12, 40, 3, 20.0), ("close", 210, 30, 120, 2, 6.0), ("one_class", 220, 8, 60, 1, 10.0),
            ("no_detections", 230, 5, 0, 2, 1.0), ("no_labels", 240, 0, 7, 2, 1.0)):
        u = torch.from_numpy(formula.uniform(stream, labels_count * 5).reshape(-1, 5)).float()
        labels = torch.cat((torch.floor(u[:, :1] * nc), u[:, 1:3] * 200, u[:, 1:3] * 200 + 20 + u[:, 3:5] * 60), 1)
        v = torch.from_numpy(formula.uniform(stream + 1, detection_count * 8).reshape(-1, 8)).float()
        near = (v[:, 0] * max(labels_count, 1)).long()
        base = labels[near, 1:] if labels_count else v[:, 1:5] * 100
        boxes = base + (v[:, 1:5] - 0.5) * jitter
        scores = v[:, 5].sort(descending=True)[0]
        detections = torch.cat((boxes, scores[:, None], torch.floor(v[:, 6:7] * nc)), 1)
        correct = process_batch(detections, labels, iouv) if labels_count and detection_count else torch.zeros(
            detection_count, 10, dtype=torch.bool)
        pieces[f"match_{key}_labels"] = labels.numpy()
        pieces[f"match_{key}_detections"] = detections.numpy()
        matching.append({"name": key, "correct": [int(sum(1 << t for t in range(10) if row[t])) for row in correct]})

    # Two detections of one label, one detection of two labels, equal overlaps.
    hand = [([[0, 0, 0, 10, 10]], [[0, 0, 10, 9, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]),
            ([[0, 0, 0, 10, 10], [0, 0, 0, 10, 9]], [[0, 0, 10, 10, 0.9, 0]]),
            ([[0, 0, 0, 8, 10], [0, 2, 0, 10, 10]], [[0, 0, 10, 10, 0.9, 0], [0, 0, 8, 10, 0.8, 0]]),
            ([[0, 0, 0, 10, 10], [0, 0, 0, 10, 6]], [[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]),
            ([[1, 0, 0, 10, 10]], [[0, 0, 10, 10, 0.9, 0]])]
    for n, (labels, detections) in enumerate(hand):
        labels, detections = torch.tensor(labels).float(), torch.tensor(detections).float()
        pieces[f"match_hand{n}_labels"], pieces[f"match_hand{n}_detections"] = labels.numpy(), detections.numpy()
        matching.append({"name": f"hand{n}", "correct": [int(sum(1 << t for t in range(10) if row[t]))
                                                         for row in process_batch(detections, labels, iouv)]})

    scaling = []
    for native, shape, gain, pad in (((427, 640), (640, 640), 1.0, (0, 106.5)), ((333, 500), (512, 672), 1.0, (86, 89.5)),
                                     ((1000, 1500), (448, 672), 0.4266666666, (16.0, 10.5))):
        boxes = torch.from_numpy(formula.uniform(250, 24).reshape(6, 4)).float() * 700 - 30
        out = scale_boxes(shape, boxes.clone(), native, ((gain, gain), pad))
        scaling.append({"native": native, "gain": gain, "pad": pad, "boxes": formula.shortest(boxes),
                        "scaled": formula.shortest(out)})

    precision = []
    for key, stream, count, nc, labels_count, rate in (("random", 300, 300, 4, 120, 0.5), ("good", 310, 100, 2, 90, 0.95),
                                                       ("sparse", 320, 30, 9, 20, 0.6), ("wrong", 330, 20, 3, 10, 0.0),
                                                       ("single", 340, 1, 1, 1, 1.0)):
        u = formula.uniform(stream, count * 3).reshape(count, 3)
        conf = u[:, 0].astype(np.float32)
        pred_cls = np.floor(u[:, 1] * nc).astype(np.float32)
        good = np.where(u[:, 2] < rate, np.floor(u[:, 2] / max(rate, 1e-9) * 11), 0).astype(int)
        correct = np.arange(10)[None] < good[:, None]
        target_cls = np.floor(formula.uniform(stream + 1, labels_count) * nc).astype(np.float32)
        if key == "sparse":  # class 0 only predicted, class 3 only labelled
            target_cls[target_cls == 0] = 1
            pred_cls[pred_cls == 3] = 0
        for c in range(nc):  # not more true positives than labels
            for t in range(10):
                mine = np.where(correct[:, t] & (pred_cls == c))[0]
                correct[mine[int((target_cls == c).sum()):], t] = False
        case = {"name": key, "scores": formula.shortest(conf), "classes": pred_cls.astype(int).tolist(),
                "correct": [int(sum(1 << t for t in range(10) if row[t])) for row in correct],
                "targets": target_cls.astype(int).tolist()}
        if correct.any():
            tp, fp, p, r, f1, ap, classes = ap_per_class(correct, conf, pred_cls, target_cls, names={})
            means = [p.mean(), r.mean(), ap[:, 0].mean(), ap.mean(1).mean()]
            case.update({"tp": tp.tolist(), "fp": fp.tolist(), "p": p.tolist(), "r": r.tolist(), "f1": f1.tolist(),
                         "ap": ap.tolist(), "ap_classes": classes.tolist()})
        else:
            means = [0.0] * 4
        case["means"] = [float(m) for m in means]
        case["fitness"] = float(fitness(np.array([means]))[0])
        precision.append(case)
    folder.write("evaluation", {"nms": suppression, "matching": matching, "scaling": scaling,
                                "average_precision": precision, "iou_thresholds": [float(v) for v in iouv]}, pieces)


def confusion(folder):
    cases = []

    def add(name, nc, pictures):
        matrix = ConfusionMatrix(nc)
        for labels, detections in pictures:
            if len(detections):
                matrix.process_batch(detections, labels)
            else:
                matrix.process_batch(None, labels[:, 0])
        cases.append({"name": name, "nc": nc, "counts": matrix.matrix.astype(int).reshape(-1).tolist(),
                      "pictures": [{"labels": formula.shortest(labels.reshape(-1)),
                                    "detections": formula.shortest(detections.reshape(-1))}
                                   for labels, detections in pictures]})

    for case, (nc, jitter, count) in enumerate(((3, 25.0, 3), (1, 12.0, 2), (80, 12.0, 2))):
        pictures = []
        for picture in range(count):
            stream = 400 + 10 * case + 2 * picture
            u = torch.from_numpy(formula.uniform(stream, 50).reshape(-1, 5)).float()
            labels = torch.cat((torch.floor(u[:, :1] * nc), u[:, 1:3] * 200, u[:, 1:3] * 200 + 20 + u[:, 3:5] * 60), 1)
            v = torch.from_numpy(formula.uniform(stream + 1, 240).reshape(-1, 8)).float()
            near = (v[:, 0] * len(labels)).long()
            boxes = labels[near, 1:] + (v[:, 1:5] - 0.5) * jitter
            classes = torch.where(v[:, 6] < 0.7, labels[near, 0], torch.floor(v[:, 7] * nc))
            pictures.append((labels, torch.cat((boxes, v[:, 5:6].sort(0, descending=True)[0], classes[:, None]), 1)))
        add(f"random{nc}", nc, pictures)

    # No detections; nothing met; thresholds; equal overlaps of labels, of detections; a detection that loses its label.
    hand = {"no_detections": ([[0, 0, 0, 10, 10], [1, 5, 5, 9, 9]], []),
            "no_match": ([[0, 0, 0, 10, 10]], [[50, 50, 60, 60, 0.9, 0]]),
            "match_and_false_positive": ([[0, 0, 0, 10, 10]], [[0, 0, 10, 10, 0.9, 1], [50, 50, 60, 60, 0.8, 0]]),
            "low": ([[0, 0, 0, 10, 10]], [[0, 0, 10, 10, 0.25, 0], [0, 0, 10, 4.5, 0.9, 0]]),
            "equal_labels": ([[0, 0, 0, 10, 10], [1, 0, 0, 10, 10]], [[0, 0, 10, 10, 0.9, 0]]),
            "equal_detections": ([[0, 0, 0, 10, 10]], [[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 10, 0.8, 1]]),
            "loser": ([[0, 0, 0, 10, 9.5], [1, 0, 0, 10, 6]], [[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 9, 0.8, 1]])}
    for name, (labels, detections) in hand.items():
        add(name, 2, [(torch.tensor(labels).float(), torch.tensor(detections).float())])
    folder.write("confusion", {"cases": cases})
