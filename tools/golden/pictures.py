# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Letterbox, rect shapes, warp, mosaic, colour and whole samples of the peer, with every random number on record.

The records have the names of worker/data/draws.h."""
import contextlib
import logging
import pathlib
import random
import shutil
import tempfile

import cv2
import numpy as np
import torch
from yolov5.utils.augmentations import augment_hsv, letterbox, random_perspective
from yolov5.utils.dataloaders import LoadImagesAndLabels
from yolov5.utils.general import xywhn2xyxy

from . import formula

SIZE = 320
GRID = 8  # every GRID-th pixel in both directions is stored, for a look at near misses
HYP = {"hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4, "degrees": 0.0, "translate": 0.1, "scale": 0.5, "shear": 0.0,
       "perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "mosaic": 1.0, "mixup": 0.0, "copy_paste": 0.0}
STRONG = {**HYP, "degrees": 10.0, "translate": 0.2, "scale": 0.9, "shear": 5.0, "flipud": 0.5}


class Pictures:
    """A copy of the sample (the peer writes into its data folders)."""

    def __init__(self, source):
        logging.getLogger("yolov5").setLevel(logging.ERROR)
        self.temporary = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.temporary.name) / "sample"
        shutil.copytree(source, self.root)

    def dataset(self, split="train", size=SIZE, **options):
        return LoadImagesAndLabels(str(self.root / "images" / split), size, workers=0, **options)

    def name(self, path):
        return str(pathlib.Path(path).relative_to(self.root))


class Recorder:
    """Stands in for the peer's random sources, answers as they do and keeps the answers."""

    def __init__(self):
        self.calls = []

    def _keep(self, kind, value):
        self.calls.append((kind, value))
        return value

    @contextlib.contextmanager
    def active(self):
        kept = {name: getattr(random, name) for name in ("random", "uniform", "choices", "shuffle", "randint")}
        kept_np = {name: getattr(np.random, name) for name in ("uniform", "beta")}

        def shuffle(items):
            order = list(range(len(items)))
            kept["shuffle"](order)
            self._keep("shuffle", order)
            items[:] = [items[i] for i in order]

        random.random = lambda: self._keep("random", kept["random"]())
        random.uniform = lambda a, b: self._keep("uniform", kept["uniform"](a, b))
        random.choices = lambda items, k: self._keep("choices", kept["choices"](items, k=k))
        random.randint = lambda a, b: self._keep("randint", kept["randint"](a, b))
        random.shuffle = shuffle
        np.random.uniform = lambda a, b, n: self._keep("np.uniform", kept_np["uniform"](a, b, n))
        np.random.beta = lambda a, b: self._keep("np.beta", kept_np["beta"](a, b))
        try:
            yield self
        finally:
            for name, function in kept.items():
                setattr(random, name, function)
            for name, function in kept_np.items():
                setattr(np.random, name, function)

    def take(self, kind):
        got, value = self.calls.pop(0)
        assert got == kind, (got, kind)
        return value

    def warp(self):
        names = ("perspective_x", "perspective_y", "angle_degrees", "scale", "shear_x_degrees", "shear_y_degrees",
                 "translate_x", "translate_y")
        return {name: self.take("uniform") for name in names}

    def mosaic(self):
        centre = [int(self.take("uniform")), int(self.take("uniform"))]
        partners, order = self.take("choices"), self.take("shuffle")
        return {"centre_y_px": centre[0], "centre_x_px": centre[1], "partners": [int(p) for p in partners],
                "order": order, "warp": self.warp()}

    def colour(self, hyp):
        gains = self.take("np.uniform") * [hyp["hsv_h"], hyp["hsv_s"], hyp["hsv_v"]] + 1
        return dict(zip(("hue_gain", "saturation_gain", "value_gain"), gains.tolist()))

    def sample(self, hyp):
        draws = {"mosaic": self.take("random") < hyp["mosaic"], "mixup": False}
        if draws["mosaic"]:
            draws["first"] = self.mosaic()
            draws["mixup"] = self.take("random") < hyp["mixup"]
            if draws["mixup"]:
                draws["mixup_picture"] = self.take("randint")
                draws["second"] = self.mosaic()
                draws["mixup_ratio"] = float(self.take("np.beta"))
        else:
            draws["first"] = {"warp": self.warp()}
        draws.update(self.colour(hyp))
        draws["flip_up_down"] = self.take("random") < hyp["flipud"]
        draws["flip_left_right"] = self.take("random") < hyp["fliplr"]
        assert not self.calls, self.calls
        return draws


def seed(value):
    random.seed(value)
    np.random.seed(value)


def pixels(image, key, pieces):
    """Hash of HWC bytes; the grid goes into the binary file under `key`."""
    pieces[key] = np.ascontiguousarray(image[::GRID, ::GRID])
    return {"shape": list(image.shape), "sha256": formula.sha256(image), "grid": key,
            "mean": float(image.astype(np.float64).mean())}


def letterboxed(pictures, count, size):
    """The first pictures of the sample at size x size, loaded as for training (bilinear) but not augmented: uint8
    [count,3,size,size]; targets by formula."""
    data = pictures.dataset(size=size, augment=True, hyp=HYP)
    fitted = [letterbox(data.load_image(i)[0], size, auto=False)[0] for i in range(count)]
    images = torch.stack([torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1)[::-1])) for f in fitted])
    targets = []
    for k in range(count):
        u = formula.uniform(80 + k, 15).reshape(3, 5)
        rows = [[int(r[0] * pictures.class_count), 0.1 + 0.8 * r[1], 0.1 + 0.8 * r[2], 0.1 + 0.4 * r[3],
                 0.1 + 0.4 * r[4]] for r in u]
        targets.append(torch.tensor(rows, dtype=torch.float32))
    return images, targets, [pictures.name(f) for f in data.im_files[:count]]


def geometry():
    """letterbox on blank pictures: sizes, shape, may it grow -> gain, pad, where the picture lies."""
    rows = []
    for h, w, th, tw, grow in ((427, 640, 640, 640, True), (333, 500, 512, 672, False), (333, 500, 512, 672, True),
                               (100, 300, 64, 64, True), (301, 77, 320, 320, True), (640, 640, 640, 640, True),
                               (1000, 1500, 448, 672, False), (639, 480, 672, 512, False), (17, 320, 320, 320, True),
                               (213, 320, 320, 320, True), (214, 320, 224, 352, False)):
        out, ratio, pad = letterbox(np.zeros((h, w, 3), np.uint8), (th, tw), auto=False, scaleup=grow)
        ys, xs = np.where((out == 0).all(2))
        rows.append({"native": [h, w], "target": [th, tw], "scale_up": grow, "gain": ratio[0], "pad": list(pad),
                     "top": int(ys.min()), "left": int(xs.min()), "height": int(ys.max() - ys.min() + 1),
                     "width": int(xs.max() - xs.min() + 1)})
    return rows


def rect():
    """Order and shapes of batches for pictures of given sides (height, width)."""
    sides = [(60, 100), (66, 100), (70, 100), (75, 100), (120, 100), (130, 100), (140, 100), (150, 100), (90, 100),
             (95, 100), (105, 100), (110, 100), (40, 100), (45, 100), (98, 97), (97, 96), (33, 77), (100, 31)]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "images").mkdir()
        (root / "labels").mkdir()
        for n, (h, w) in enumerate(sides):
            cv2.imwrite(str(root / "images" / f"{n:02}.png"), np.full((h, w, 3), n, np.uint8))
            (root / "labels" / f"{n:02}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        cases = []
        for size, stride, pad, batch in ((640, 32, 0.5, 4), (1280, 64, 0.5, 4), (640, 32, 0.0, 5), (320, 32, 0.5, 1)):
            data = LoadImagesAndLabels(str(root / "images"), size, batch, rect=True, stride=stride, pad=pad, workers=0)
            cases.append({"imgsz": size, "stride": stride, "pad": pad, "batch": batch,
                          "order": [int(pathlib.Path(f).stem) for f in data.im_files],
                          "shapes": data.batch_shapes.tolist()})
    return {"sides": [list(s) for s in sides], "cases": cases}


def warp_rows(data, pieces):
    rows = []
    for key, hyp, border, index in (("low", HYP, 0, 0), ("strong", STRONG, 0, 3), ("border", STRONG, -SIZE // 4, 5),
                                    ("perspective", {**STRONG, "perspective": 0.0005}, 0, 7)):
        image, _, (h, w) = data.load_image(index)
        image, ratio, pad = letterbox(image, SIZE, auto=False, scaleup=True)
        labels = data.labels[index].copy()
        labels[:, 1:] = xywhn2xyxy(labels[:, 1:], ratio[0] * w, ratio[1] * h, padw=pad[0], padh=pad[1])
        seed(100 + index)
        recorder = Recorder()
        with recorder.active():
            out, boxes = random_perspective(image, labels.copy(), (), border=(border, border),
                                            **{k: hyp[k] for k in ("degrees", "translate", "scale", "shear", "perspective")})
        rows.append({"name": key, "picture": index, "border_px": -border, "perspective": bool(hyp["perspective"]),
                     "draws": recorder.warp(), "input_boxes": formula.shortest(labels), "boxes": formula.shortest(boxes),
                     "pixels": pixels(out, "warp_" + key, pieces)})
    return rows


def data(folder, pictures):
    pieces = {}
    train = pictures.dataset(augment=True, hyp=dict(HYP))
    letterboxes = []
    for index, augment, size in ((0, True, 320), (9, False, 320), (2, True, 256)):
        source = pictures.dataset(size=size, augment=augment, hyp=dict(HYP))
        image, native, resized = source.load_image(index)
        out, ratio, pad = letterbox(image, size, auto=False, scaleup=augment)
        letterboxes.append({"picture": index, "augment": augment, "size": size, "native": list(native),
                            "resized": list(resized), "pad": list(pad), "resized_sha256": formula.sha256(image),
                            "pixels": pixels(out, f"letterbox_{index}", pieces)})

    colours = []
    for index in (1, 4):
        image = train.load_image(index)[0].copy()
        before = formula.sha256(image)
        seed(index)
        recorder = Recorder()
        with recorder.active():
            augment_hsv(image, HYP["hsv_h"], HYP["hsv_s"], HYP["hsv_v"])
        colours.append({"picture": index, "input_sha256": before, "draws": recorder.colour(HYP),
                        "pixels": pixels(image, f"hsv_{index}", pieces)})

    mosaics = []
    for index in (2, 11):
        seed(index)
        recorder = Recorder()
        with recorder.active():
            out, boxes = train.load_mosaic(index)
        mosaics.append({"picture": index, "draws": recorder.mosaic(), "boxes": formula.shortest(boxes),
                        "pixels": pixels(out, f"mosaic_{index}", pieces)})

    samples = []
    for key, index, hyp in (("low", 3, HYP), ("strong", 6, STRONG), ("mixup", 8, {**STRONG, "mixup": 1.0}),
                            ("no_mosaic", 5, {**STRONG, "mosaic": 0.0}),
                            ("perspective", 12, {**STRONG, "perspective": 0.0005, "flipud": 1.0})):
        train.hyp = dict(hyp)
        seed(1000 + index)
        recorder = Recorder()
        with recorder.active():
            image, labels, _, _ = train[index]
        image = image.permute(1, 2, 0).numpy()
        samples.append({"name": key, "picture": index, "hyp": hyp, "draws": recorder.sample(hyp),
                        "targets": formula.shortest(labels[:, 1:]), "pixels": pixels(image, "sample_" + key, pieces)})

    validation = []
    val = pictures.dataset("val", batch_size=4, rect=True, pad=0.5, stride=32, augment=False)
    for n in (0, 5):
        image, labels, path, shapes = val[n]
        validation.append({"file": pictures.name(path), "native": list(shapes[0]), "gain": list(shapes[1][0]),
                           "pad": list(shapes[1][1]), "targets": formula.shortest(labels[:, 1:]),
                           "pixels": pixels(image.permute(1, 2, 0).numpy(), f"validation_{n}", pieces)})
    folder.write("data", {"imgsz": SIZE, "grid": GRID, "files": [pictures.name(f) for f in train.im_files],
                          "boxes_of_files": [len(labels) for labels in train.labels],
                          "geometry": geometry(), "rect": rect(), "letterbox": letterboxes, "hsv": colours,
                          "warp": warp_rows(train, pieces), "mosaic": mosaics, "samples": samples,
                          "validation": validation}, pieces)
