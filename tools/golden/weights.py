# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""What the peer gets out of an official checkpoint file, and what that network says about a picture of the sample."""
import hashlib
import pathlib

import cv2
import torch

from . import formula

# A window of one picture as it is: no scaling, so that both sides have the same pixels.
PICTURE, TOP, LEFT, HEIGHT, WIDTH = "images/val/kit_street02_MOS74.jpg", 0, 320, 352, 640


def weights(folder, path, sample):
    from yolov5.models.experimental import attempt_load
    # In fp32 and not fused, as train.py takes it.
    model = attempt_load(str(path), device=torch.device("cpu"), fuse=False).float().eval()
    rows = [{"name": name, "shape": list(value.shape), "sums": formula.sums(value)}
            for name, value in model.state_dict().items() if not name.endswith("anchor_grid")]
    picture = cv2.imread(str(pathlib.Path(sample) / PICTURE))[TOP:TOP + HEIGHT, LEFT:LEFT + WIDTH, ::-1].copy()
    with torch.no_grad():
        images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        raw = model(images)[1]
    folder.write("weights", {"file": pathlib.Path(path).name, "sha256": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest(),
                             "nc": model.nc, "names": [model.names[i] for i in range(model.nc)],
                             "strides": model.stride.tolist(), "parameters": sum(p.numel() for p in model.parameters()),
                             "entries": rows, "picture": PICTURE, "window": [TOP, LEFT, HEIGHT, WIDTH],
                             "pixels": formula.sha256(picture), "raw": [formula.summary(r) for r in raw]})
