# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Checks ours.pt of checkpoint_sample, and writes files with the text that checkpoint_sample prints for them."""
import json
import math
import sys
from pathlib import Path

import torch

folder = Path(sys.argv[1])
DTYPES = {torch.float32: "Float", torch.float64: "Double", torch.int64: "Long", torch.float16: "Half"}


def check_ours():
    data = torch.load(folder / "ours.pt", weights_only=True)
    assert list(data)[0] == "schema" and data["schema"] == 1, list(data)
    assert list(data["model"]) == ["model.0.conv.weight", "model.0.bn.num_batches_tracked",
                                   "model.0.bn.running_mean", "model.0.half"], list(data["model"])
    weight = data["model"]["model.0.conv.weight"]
    flat = torch.arange(0, 1 << 18, dtype=torch.float32)
    assert torch.equal(weight, flat[4:28].as_strided((2, 3, 2, 2), (12, 1, 6, 3))), weight
    assert weight.is_contiguous() and weight.untyped_storage().nbytes() == 96 and not weight.requires_grad
    assert data["model"]["model.0.bn.num_batches_tracked"].item() == 7
    assert data["model"]["model.0.bn.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(data["model"]["model.0.bn.running_mean"], torch.arange(3, dtype=torch.float64) / 3.0)
    assert data["model"]["model.0.half"].dtype == torch.float16
    assert torch.equal(data["ema"]["model.0.half"], torch.arange(3.0))
    assert torch.equal(data["optimizer"]["momentum"]["model.0.conv.weight"], flat[:2])
    assert data["optimizer"]["exp_avg"] == {}
    meta = {key: data[key] for key in ("epoch", "step", "best_fitness", "nothing", "done", "names", "empty")}
    assert meta == {"epoch": 3, "step": 1 << 53, "best_fitness": 0.1, "nothing": None, "done": False,
                    "names": ["bus", "päivä"], "empty": {}}, meta
    assert isinstance(data["epoch"], int) and data["done"] is False
    assert data["hyp"]["lr0"] == 0.01 and math.isinf(data["hyp"]["inf"])
    return data


def lines(what, tensors):
    return [f"{what} {name} {list(t.shape)} {DTYPES[t.dtype]} {float(t.detach().double().sum()):.17g}\n"
            for name, t in tensors.items()]


def write(name, value, text):
    torch.save(value, folder / f"{name}.pt")
    (folder / f"{name}.expected").write_text("".join(text), encoding="utf-8")


def meta_line(meta):
    return ["meta " + json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"]


ours = check_ours()
module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
with torch.no_grad():
    for parameter in module.parameters():
        parameter.copy_(torch.arange(parameter.numel()).view_as(parameter))
state = module.state_dict()
write("state_dict", state, lines("model", state) + meta_line({}))

buffer = torch.arange(100, dtype=torch.float64)
views = {"a": buffer[3:9].view(2, 3), "t": buffer[10:16].view(2, 3).t(), "p": torch.nn.Parameter(buffer[:4])}
write("buffer_views", views, lines("model", views) + meta_line({}))

write("wrapped", {"model": state, "ema": None, "epoch": 5, "names": {0: "bus"}, "shape": (1, 2),
                  "optimizer": torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9).state_dict()},
      lines("model", state) + meta_line({"ema": None, "epoch": 5, "names": {"0": "bus"}, "shape": [1, 2]}))

del ours["hyp"]["inf"]
write("saved_again", ours, lines("model", ours["model"]) + lines("ema", ours["ema"]) +
      lines("optimizer.momentum", ours["optimizer"]["momentum"]) +
      meta_line({key: ours[key] for key in ours if key not in ("schema", "model", "ema", "optimizer")}))

torch.save({"model": module}, folder / "module.pt")
