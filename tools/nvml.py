# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""A card as its driver sees it, by NVML. Python's standard library only."""

import ctypes


class NoCard(Exception):
    """Why there is no card to ask."""


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Card:
    """A card by its number, or by its UUID as CUDA_VISIBLE_DEVICES may have it. Raises NoCard."""

    def __init__(self, which="0", library="libnvidia-ml.so.1"):
        try:
            self._nvml = ctypes.CDLL(library)
        except OSError as error:
            raise NoCard(f"no NVIDIA driver ({error})") from error
        self._call("nvmlInit_v2")
        self._handle = ctypes.c_void_p()
        if str(which).isdigit():
            count = ctypes.c_uint()
            self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
            if int(which) >= count.value:
                raise NoCard(f"the driver knows {count.value} cards, none has the number {which}")
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(which)), ctypes.byref(self._handle))
        else:
            self._call("nvmlDeviceGetHandleByUUID", which.encode(), ctypes.byref(self._handle))

    def _call(self, name, *arguments):
        try:
            result = getattr(self._nvml, name)(*arguments)
        except AttributeError as error:
            raise NoCard(f"the driver has no {name}") from error
        if result != 0:
            raise NoCard(f"{name} answers {result}")

    def _text(self, name, *before):
        text = ctypes.create_string_buffer(96)
        self._call(name, *before, text, ctypes.c_uint(len(text)))
        return text.value.decode()

    def name(self):
        return self._text("nvmlDeviceGetName", self._handle)

    def driver(self):
        return self._text("nvmlSystemGetDriverVersion")

    def _memory(self):
        memory = _Memory()
        self._call("nvmlDeviceGetMemoryInfo", self._handle, ctypes.byref(memory))
        return memory

    def used_bytes(self):
        """Whoever holds it."""
        return self._memory().used

    def total_bytes(self):
        return self._memory().total
