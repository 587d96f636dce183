# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Copy-paste, AutoAnchor and image weights of the peer, with every random number that matters on record."""
import logging
import random
import re
import types

import numpy as np
import torch
from yolov5.utils import autoanchor, dataloaders
from yolov5.utils.augmentations import copy_paste as peer_copy_paste
from yolov5.utils.general import labels_to_class_weights, labels_to_image_weights

from . import formula
from .pictures import HYP, SIZE, STRONG, Recorder, pixels, seed

P5_PX = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]]
P6_PX = [[19, 27, 44, 40, 38, 94], [96, 68, 86, 152, 180, 137], [140, 301, 303, 264, 238, 542],
         [436, 615, 739, 380, 925, 792]]


def polygon_rows(stream, count):
    """`count` polygons of 3 to 12 corners around centres, as rows of a label file; they stay inside the picture."""
    u = formula.uniform(stream, 40 * count).reshape(count, 40)
    rows = []
    for r in u:
        corners = 3 + int(10 * r[0])
        x, y, w, h = 0.2 + 0.6 * r[1], 0.2 + 0.6 * r[2], 0.02 + 0.15 * r[3], 0.02 + 0.15 * r[4]
        angles = 2 * np.pi * (np.arange(corners) + 0.8 * r[5:5 + corners]) / corners
        points = np.stack([x + w * np.cos(angles), y + h * np.sin(angles)], 1).reshape(-1)
        rows.append(" ".join([str(int(3 * r[20]))] + [f"{p:.6f}" for p in points]))
    return rows


def copy_paste(folder, pictures):
    """Mosaics of pictures with polygons, some of which are pasted."""
    labels = pictures.root / "labels" / "train"
    kept = {file: file.read_text() for file in labels.glob("*.txt")}
    texts = {}
    for n, file in enumerate(sorted(kept)):
        texts[file.stem] = "\n".join(polygon_rows(200 + n, 3 + n % 5)) + "\n"
        file.write_text(texts[file.stem])
    data = pictures.dataset(augment=True, hyp=dict(HYP))
    pieces = {}
    rows = []
    for index, hyp, share in ((1, HYP, 0.5), (7, STRONG, 1.0), (12, HYP, 0.05)):
        data.hyp = {**hyp, "copy_paste": share}
        seed(500 + index)
        recorder = Recorder()
        chosen, stages = [], []
        sample = random.sample
        random.sample = lambda items, k: chosen.append(sample(items, k)) or chosen[-1]

        def watched(image, boxes, segments, p):
            count = len(boxes)
            image, boxes, segments = peer_copy_paste(image, boxes, segments, p=p)
            stages.append({"before": count, "boxes": formula.shortest(np.asarray(boxes, np.float32)),
                           "last_segments": [formula.shortest(np.asarray(s[:3], np.float32)) for s in segments[count:]],
                           "pixels": pixels(image, f"canvas_{index}", pieces)})
            return image, boxes, segments

        dataloaders.copy_paste = watched
        try:
            with recorder.active():
                out, boxes = data.load_mosaic(index)
        finally:
            random.sample, dataloaders.copy_paste = sample, peer_copy_paste
        rows.append({"picture": index, "share": share, "objects": [int(c) for c in chosen[0]],
                     "draws": recorder.mosaic(), "canvas": stages[0], "boxes": formula.shortest(boxes),
                     "pixels": pixels(out, f"pasted_{index}", pieces)})
    for file, text in kept.items():
        file.write_text(text)
    folder.write("copy_paste", {"imgsz": SIZE, "grid": 8, "labels": texts, "mosaic": rows}, pieces)


def label_set(stream, picture_count, smallest, largest):
    """Sizes of pictures, and label sides as fractions, log-uniform in pixels at 640."""
    u = formula.uniform(stream, 2 * picture_count)
    shapes = np.stack([300 + (1700 * u[::2]).astype(int), 300 + (900 * u[1::2]).astype(int)], 1)
    labels = []
    for n, (w, h) in enumerate(shapes):
        r = formula.uniform(stream + 3000 + n, 24).reshape(12, 2)[:1 + n % 12]
        width = smallest * (largest / smallest) ** r[:, :1]
        sides = np.concatenate([width, width * 3 ** (2 * r[:, 1:] - 1)], 1)
        rows = np.zeros((len(sides), 5), np.float32)
        rows[:, 1:3] = 0.5
        rows[:, 3:] = np.minimum(sides / 640 * max(w, h) / np.array([w, h]), 1.0)
        labels.append(rows)
    return shapes, labels


def fitness(wh, anchors, anchor_t):
    ratio = wh[:, None] / np.asarray(anchors, np.float64)[None]
    best = np.minimum(ratio, 1 / ratio).min(2).max(1)
    return float((best * (best > 1 / anchor_t)).mean())


def anchors(folder):
    rows = []
    for name, levels, strides, size, anchor_t, smallest, largest, stream in (
            ("fits", P5_PX, [8, 16, 32], 640, 4.0, 12, 400, 300), ("small", P5_PX, [8, 16, 32], 640, 4.0, 1.2, 12, 310),
            ("p6", P6_PX, [8, 16, 32, 64], 1280, 3.3744, 3, 90, 320)):
        shapes, labels = label_set(stream, 60, smallest, largest)
        dataset = types.SimpleNamespace(shapes=shapes, labels=labels)
        stride = torch.tensor(strides, dtype=torch.float32)
        detect = types.SimpleNamespace(stride=stride, anchors=torch.tensor(levels, dtype=torch.float32)
                                       .view(len(levels), -1, 2) / stride.view(-1, 1, 1))
        messages, jitter = [], []
        handler = logging.Handler()
        handler.emit = lambda record: messages.append(record.getMessage())
        level = autoanchor.LOGGER.level
        autoanchor.LOGGER.addHandler(handler)
        autoanchor.LOGGER.setLevel(logging.INFO)
        seed(stream)
        uniform = np.random.uniform

        def watched(*a, **k):
            value = uniform(*a, **k)
            if not jitter:
                jitter.append(value)
            return value

        np.random.uniform = watched
        before = detect.anchors.clone()
        try:
            autoanchor.check_anchors(dataset, types.SimpleNamespace(model=[detect]), thr=anchor_t, imgsz=size)
            start = autoanchor.kmean_anchors(dataset, n=before.numel() // 2, img_size=size, thr=anchor_t, gen=0,
                                             verbose=False)
        finally:
            np.random.uniform = uniform
            autoanchor.LOGGER.removeHandler(handler)
            autoanchor.LOGGER.setLevel(level)
        text = next(m for m in messages if "anchors/target" in m)
        aat, bpr = re.search(r"([0-9.]+) anchors/target, ([0-9.]+) Best", text).groups()
        found = None
        if not torch.equal(before, detect.anchors):
            found = (detect.anchors * stride.view(-1, 1, 1)).view(-1, 2).numpy()
        wh = np.concatenate([l[:, 3:5] * s for s, l in zip(size * shapes / shapes.max(1, keepdims=True), labels)])
        wh = wh[(wh >= 2.0).any(1)]
        rows.append({"name": name, "shapes": shapes.tolist(), "labels": [formula.shortest(l[:, 3:5]) for l in labels],
                     "anchors_px": [[float(x) for x in level] for level in levels], "anchor_t": anchor_t, "imgsz": size,
                     "jitter": jitter[0].reshape(-1).tolist(), "anchors_per_target": aat, "best_possible_recall": bpr,
                     "found": None if found is None else found.astype(float).tolist(),
                     "found_fitness": None if found is None else fitness(wh, found, anchor_t),
                     "start_fitness": fitness(wh, start, anchor_t), "usable_labels": len(wh)})
    folder.write("anchors", {"cases": rows})


class GivenRandom(random.Random):
    def __init__(self, values):
        super().__init__(0)
        self.values = list(values)

    def random(self):
        return self.values.pop(0)


def image_weights(folder):
    classes = 5
    u = formula.uniform(400, 30 * 8).reshape(30, 8)
    rows = [[int(4.3 * x ** 2) for x in r[1:1 + int(6 * r[0])]] for r in u]  # class 4 does not occur
    labels = [np.array([[c, 0.5, 0.5, 0.1, 0.1] for c in row], np.float32).reshape(-1, 5) for row in rows]
    weights = labels_to_class_weights(labels, classes) * classes
    cases = []
    for maps in (np.zeros(classes), np.array([0.9, 0.5, 0.25, 0.0, 0.4])):
        needs = weights.numpy() * (1 - maps) ** 2 / classes
        of_images = labels_to_image_weights(labels, nc=classes, class_weights=needs)
        uniforms = formula.uniform(401, 30)
        picked = GivenRandom(uniforms).choices(range(30), weights=of_images, k=30)
        cases.append({"maps": maps.tolist(), "image_weights": of_images.tolist(), "uniforms": uniforms.tolist(),
                      "picked": picked})
    folder.write("image_weights", {"classes": classes, "labels": rows, "class_weights": formula.shortest(weights),
                                   "cases": cases})
