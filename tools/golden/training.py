# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Whole small trainings of the peer, and the gradients of its loss."""
import numpy as np
import torch
from yolov5.utils.loss import ComputeLoss
from yolov5.utils.torch_utils import ModelEMA, smart_optimizer

from . import formula
from .network import LOW, build, double_accumulators, edge_targets, whole

SIZE, BATCH, NOMINAL = 64, 4, 64
DIRECTION_STREAM = 5000  # + position of a parameter among all parameters


def short(numbers):
    """13 digits: a hundred thousand times finer than what these numbers are held to."""
    return [float(f"{x:.13g}") for x in numbers]


def network_with_loss(name, nc, hyp, dtype):
    model = build(name, nc)
    formula.fill_weights(model)
    model.hyp, model.nc = hyp, nc
    compute = ComputeLoss(model)  # before .double(): its anchors stay float32, as yolodist's do
    model.to(dtype)
    formula.fill_weights(model)
    return model.train(), compute


def columns(optimizer, accumulate):
    return {"accumulate": float(accumulate), "lr": [float(g["lr"]) for g in optimizer.param_groups],
            "momentum": float(optimizer.param_groups[0]["momentum"])}


def training(name, images, targets, nc, forced=None, batches=2, epochs=10, first_epoch=0, iterations=20,
             dtype=torch.float64, warmup_bias_lr=LOW["warmup_bias_lr"]):
    """Batches [0...3] and [4...7] in turn, `batches` of them an epoch; begins with `first_epoch`, as if the epochs
    before had left the weights and the momentum buffers as they were made."""
    hyp = {**LOW, "cls": LOW["cls"] * nc / 80, "obj": LOW["obj"] * (SIZE / 640) ** 2,
           "warmup_bias_lr": warmup_bias_lr}
    full = forced or NOMINAL / BATCH
    accumulate = max(round(full), 1)
    hyp["weight_decay"] *= BATCH * accumulate / NOMINAL
    model, compute = network_with_loss("yolov5n", nc, hyp, dtype)
    optimizer = smart_optimizer(model, "SGD", hyp["lr0"], hyp["momentum"], hyp["weight_decay"])
    lf = lambda x: (1 - x / epochs) * (1.0 - hyp["lrf"]) + hyp["lrf"]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lf)
    ema = ModelEMA(model)
    nw = max(round(hyp["warmup_epochs"] * batches), 100)
    scheduler.last_epoch = -1
    for _ in range(first_epoch):
        optimizer.step()  # without gradients it does nothing
        scheduler.step()
    last_step, rows = first_epoch * batches - 1, []
    for ni in range(first_epoch * batches, first_epoch * batches + iterations):
        epoch, i = divmod(ni, batches)
        if i == 0:
            model.train()
            optimizer.zero_grad()
        if ni <= nw:
            x = [0, nw]
            accumulate = max(1, np.interp(ni, x, [1, full]).round())
            for j, group in enumerate(optimizer.param_groups):
                group["lr"] = np.interp(ni, x, [hyp["warmup_bias_lr"] if j == 0 else 0.0,
                                                group["initial_lr"] * lf(epoch)])
                group["momentum"] = np.interp(ni, x, [hyp["warmup_momentum"], hyp["momentum"]])
        part = range(ni % 2 * BATCH, (ni % 2 + 1) * BATCH)
        labels = torch.cat([torch.cat((torch.full((len(targets[k]), 1), float(n)), targets[k]), 1)
                            for n, k in enumerate(part)])
        with double_accumulators(dtype is torch.float64):
            total, items = compute(model(images[part.start:part.stop].to(dtype) / 255), labels)
        total.backward()
        norm, stepped = None, ni - last_step >= accumulate
        if stepped:
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0))
            optimizer.step()
            optimizer.zero_grad()
            ema.update(model)
            last_step = ni
        rows.append({"epoch": epoch, "iteration": ni, "box": float(items[0]), "obj": float(items[1]),
                     "cls": float(items[2]), "total": float(total), **columns(optimizer, accumulate),
                     "stepped": bool(stepped), "gradient_norm": norm, "model": whole(model), "ema": whole(ema.ema)})
        if i == batches - 1:
            scheduler.step()
    print("  ", name, rows[0]["total"], rows[-1]["total"], sum(r["stepped"] for r in rows), "steps")
    run = {"name": name, "accumulate": forced, "hyp": hyp, "rows": rows}
    final = {k: formula.sums(v) for k, v in model.state_dict().items()}
    return run, final


def trace(folder, pictures):
    from .pictures import letterboxed
    images, targets, files = letterboxed(pictures, 8, SIZE)
    nc = pictures.class_count
    shared = {"model": "yolov5n", "nc": nc, "imgsz": SIZE, "batch": BATCH, "epochs": 10, "nominal_batch": NOMINAL,
              "files": files, "pixel_sha256": [formula.sha256(im) for im in images],
              "targets": [formula.shortest(t) for t in targets]}
    runs = []
    for name, forced in (("accumulate_1", 1), ("natural", None)):
        run, final = training(name, images, targets, nc, forced)
        runs.append({**run, "final": final})
    folder.write("trace", {**shared, "runs": runs})

    # Accumulation of 8 over an epoch of 20 batches: from the first iteration, and from the last one of warm-up.
    # The first with calmer biases: with 0.1 a change of the weights by half a bit alone moves the peer's own losses
    # by 1e-7 to 3e-7 in 20 iterations, with 0.03 by 2e-8.
    warmup, _ = training("accumulate_8", images, targets, nc, 8, batches=20, warmup_bias_lr=0.03)
    after, final = training("accumulate_8_after_warmup", images, targets, nc, 8, batches=20, first_epoch=5)
    after["final"] = {k: short(v) for k, v in final.items()}
    single, _ = training("fp32", images, targets, nc, 1, iterations=6, dtype=torch.float32)
    folder.write("trace_more", {**shared, "runs": [{**warmup, "batches": 20}, {**after, "batches": 20},
                                                   {**single, "dtype": "float32"}]})


def gradients(folder):
    """Every parameter's gradient of the loss: norm, sum, and product with the direction (u - 0.5)."""
    cases = []
    for name, size in (("yolov5s", 64), ("yolov5m", 64), ("yolov5n6", 192)):
        nc, batch = 3, 2
        model, compute = network_with_loss(name, nc, LOW, torch.float64)
        targets = edge_targets(size, size, batch)  # some for each level
        with double_accumulators():
            total, items = compute(model(formula.tensor(1, (batch, 3, size, size))), targets)
        total.backward()
        rows = []
        for k, parameter in enumerate(model.parameters()):
            gradient = parameter.grad
            direction = formula.tensor(DIRECTION_STREAM + k, tuple(gradient.shape)) - 0.5
            rows.append(short([float(gradient.norm()), float(gradient.sum()), float((gradient * direction).sum())]))
        cases.append({"model": name, "nc": nc, "batch": batch, "imgsz": size, "hyp": LOW,
                      "targets": formula.shortest(targets), "total": float(total), "items": [float(x) for x in items],
                      "gradients": rows})
        print("  ", name, float(total), len(rows), "gradients, smallest norm", min(r[0] for r in rows))
    folder.write("gradients", {"cases": cases})
