# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""The peer's part of to_yolov5_test.sh: `make` saves checkpoints as its train.py does, `compare` and `trained` hold the
converted ones to what went in."""
import copy
import logging
import pathlib
import sys

import torch
import yaml
import yolov5.models.yolo as yolo
from yolov5.models.experimental import attempt_load

logging.disable(logging.INFO)
torch.set_num_threads(1)
action, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def make():
    torch.manual_seed(0)
    model = yolo.DetectionModel(str(pathlib.Path(yolo.__file__).parent / "yolov5n.yaml"), ch=3, nc=3)
    model.names, model.nc, model.hyp = {0: "cat", 1: "dog", 2: "päivä"}, 3, {"box": 0.05}
    model.class_weights = torch.rand(3, dtype=torch.float64)
    for value in model.state_dict().values():
        if value.is_floating_point() and value.dim() == 1:
            value.add_(torch.rand_like(value))
    average = copy.deepcopy(model)
    with torch.no_grad():
        for value in average.state_dict().values():
            if value.is_floating_point() and value.dim() > 3:
                value.mul_(0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint = {"epoch": 3, "best_fitness": torch.rand(1).double().numpy(), "model": model.half(), "ema": average.half(),
                  "updates": 12, "optimizer": optimizer.state_dict(), "opt": {"epochs": 5, "path": pathlib.Path("x")},
                  "git": {"remote": None, "branch": None, "commit": None}, "date": "2026-11-25"}
    for protocol in (2, 4):
        torch.save(checkpoint, folder / f"protocol{protocol}.pt", pickle_protocol=protocol)


def ours(name):
    return torch.load(folder / name, weights_only=True)


def expect_equal(ours_state, theirs):
    assert list(ours_state) == list(theirs), set(ours_state) ^ set(theirs)
    for name, value in theirs.items():
        assert ours_state[name].dtype == (torch.float32 if value.is_floating_point() else torch.int64), name
        assert torch.equal(ours_state[name].to(value.dtype), value), name


def compare():
    for protocol in (2, 4):
        theirs = torch.load(folder / f"protocol{protocol}.pt", weights_only=False)
        read = ours(f"protocol{protocol}-ours.pt")
        expect_equal(read["model"], theirs["model"].state_dict())
        expect_equal(read["ema"], theirs["ema"].state_dict())
        assert read["names"] == ["cat", "dog", "päivä"] and read["nc"] == 3 and read["strides"] == [8, 16, 32]
        assert read["epoch"] == 3 and read["official"] is True and read["model_name"] == "yolov5n"
        definition = yaml.safe_load(read["model_yaml"])
        assert definition == {**theirs["model"].yaml}, (definition, theirs["model"].yaml)
    back = torch.load(folder / "back.pt", weights_only=False)
    assert type(back["model"]) is yolo.DetectionModel and back["epoch"] == -1 and back["ema"] is None
    assert back["model"].names == {0: "cat", 1: "dog", 2: "päivä"} and back["model"].yaml_file == "yolov5n.yaml"
    for name, value in theirs["ema"].state_dict().items():
        assert torch.equal(back["model"].state_dict()[name], value), name
        assert back["model"].state_dict()[name].dtype == value.dtype, name
    pictures = torch.rand(1, 3, 96, 128)
    expected = theirs["ema"].float().eval()(pictures)
    got = attempt_load(str(folder / "back.pt"), device=torch.device("cpu"), fuse=False)(pictures)
    assert torch.equal(got[0], expected[0])
    fused = attempt_load(str(folder / "back.pt"), device=torch.device("cpu"))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    assert torch.allclose(fused(pictures)[0], expected[0], rtol=1e-3, atol=1e-3)


def trained():
    read = ours("last.pt")
    model = yolo.DetectionModel(yaml.safe_load(read["model_yaml"]), ch=3)
    model.load_state_dict(read["ema"], strict=True)
    pictures = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        expected = model.float().eval()(pictures)[1]
        got = attempt_load(str(folder / "last-yolov5.pt"), device=torch.device("cpu"), fuse=False)(pictures)[1]
    for level, (a, b) in enumerate(zip(expected, got)):
        scale, off = a.abs().max().item(), (a - b).abs().max().item()
        print(f"level {level}: up to {scale:.3g}, off by {off:.3g}")
        # fp16 keeps 11 bits, so each weight is off by up to 2^-11 of itself; some sixty layers in a row.
        assert 0 < off < 60 * 2**-11 * scale


with torch.no_grad():
    {"make": make, "compare": compare, "trained": trained}[action]()
