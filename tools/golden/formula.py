# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that C++ can make again, and the golden files (tests/golden/README.md says what is in them)."""
import hashlib
import json
import pathlib

import numpy as np
import torch

_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)


def uniform(stream, count):
    """`count` numbers in [0, 1), number i a function of (stream, i): SplitMix64's finalizer over
    stream * 0xD1342543DE82EF95 + (i + 1) * 0x9E3779B97F4A7C15, its upper 53 bits times 2^-53."""
    with np.errstate(over="ignore"):
        z = np.uint64(stream) * np.uint64(0xD1342543DE82EF95)
        z = z + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) & _MASK
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tensor(stream, shape, dtype=torch.float64):
    """A tensor filled in row-major order with uniform(stream, …)."""
    count = int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(uniform(stream, count).reshape(shape)).to(dtype)


ENTRY_STREAM = 1000  # + position in the state dict


def fill_weights(model):
    """Every floating entry of the state dict but anchors, by its position e: convolutions (2u-1)/sqrt(fan_in),
    Detect biases u-0.5, BN weight 0.5+u, bias u-0.5, mean 0.2*(u-0.5), variance 0.5+u; counters 0."""
    with torch.no_grad():
        for e, (name, value) in enumerate(model.state_dict().items()):
            u = tensor(ENTRY_STREAM + e, tuple(value.shape))
            if name.endswith("num_batches_tracked"):
                value.zero_()
            elif name.endswith("anchors"):
                continue
            elif name.endswith("running_mean"):
                value.copy_(0.2 * (u - 0.5))
            elif name.endswith("running_var") or name.endswith("bn.weight"):
                value.copy_(0.5 + u)
            elif name.endswith("bias"):
                value.copy_(u - 0.5)
            else:
                value.copy_((2 * u - 1) / np.sqrt(float(np.prod(value.shape[1:]))))


def summary(values, keep=200):
    """Shape, sums and every step-th value (row-major) of a tensor."""
    flat = values.detach().reshape(-1).to(torch.float64).numpy()
    step = max(1, flat.size // keep)
    while step > 1 and (step % 2 == 0 or step % 5 == 0):  # do not always hit the same column
        step += 1
    return {"shape": list(values.shape), "sum": float(flat.sum()), "sum_sq": float((flat * flat).sum()),
            "step": step, "values": shortest(values.detach().reshape(-1)[::step])}


def shortest(values):
    """Numbers as the shortest text that reads back: float32 read as double and cast gives the same float32."""
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype == np.float32:
        numbers = [float(str(x)) for x in array.reshape(-1)]
        assert all(np.float32(n) == x or np.isnan(x) for n, x in zip(numbers, array.reshape(-1)))
        return np.array(numbers, dtype=np.float64).reshape(array.shape).tolist()
    return array.tolist()


def sums(values):
    flat = values.detach().to(torch.float64).reshape(-1)
    return [float(flat.sum()), float((flat * flat).sum())]


class Folder:
    """Where the files go. Binary pieces of a file stand in NAME.bin, little-endian, found by offset and count."""

    def __init__(self, path, command):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.command = command

    def write(self, name, content, pieces=None):
        import yolov5
        head = {"schema": 1, "peer": "yolov5 " + yolov5.__version__, "torch": torch.__version__,
                "numpy": np.__version__, "command": self.command, "seed": 0}
        if pieces:
            blob = b""
            index = {}
            for key, array in pieces.items():
                array = np.ascontiguousarray(array)
                assert array.dtype in (np.float32, np.float64, np.uint8), array.dtype
                index[key] = {"dtype": str(array.dtype), "shape": list(array.shape), "offset": len(blob)}
                blob += array.tobytes()
                blob += b"\0" * (-len(blob) % 8)
            (self.path / (name + ".bin")).write_bytes(blob)
            head["binary"] = index
        text = json.dumps({**head, **content}, separators=(",", ":"), allow_nan=False)
        text = text.replace('],"', '],\n"').replace('},{', '},\n{')
        (self.path / (name + ".json")).write_text(text + "\n")
        print(f"{name}.json: {len(text)} bytes" + (f", .bin {len(blob)} bytes" if pieces else ""))


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
