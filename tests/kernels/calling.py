"""Calls kernels of the built library as MindSpore does, through their C entry."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Node
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.types import TensorType
from coopdraw.kernels.cpu.selection import cpu_kernel

LEVELS = ("baseline", "avx2", "avx512")
"""Instruction sets; a machine that lacks one runs the next lower instead."""

STATUS = {name: code for code, name in enumerate(("ok", "count", "type", "shape", "attribute", "memory"))}
"""What a kernel returns, as in entry.h."""


class Library:
    """A copy of the library with settings of its own: it reads them once, at its first call."""

    def __init__(self, built: Path, folder: Path, level: str, threads: int) -> None:
        self._path = folder / f"{level}-{threads}.so"
        shutil.copy(built, self._path)
        self._functions = ctypes.CDLL(str(self._path))
        settings = {"COOPDRAW_CPU_LEVEL": level, "COOPDRAW_THREADS": str(threads)}
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            many = np.zeros(1 << 20, np.float32)  # enough work to start the threads
            self.call("coopdraw_linear_combination", [many, np.ones(1), many.copy()])
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def call(self, symbol: str, arrays: Sequence[np.ndarray]) -> int:
        """Runs a kernel on inputs, attributes and outputs (written in place); returns its status."""
        count = len(arrays)
        shapes = [(ctypes.c_int64 * max(array.ndim, 1))(*array.shape) for array in arrays]
        pointer = ctypes.POINTER(ctypes.c_int64)
        return int(
            getattr(self._functions, symbol)(
                count,
                (ctypes.c_void_p * count)(*[array.ctypes.data for array in arrays]),
                (ctypes.c_int * count)(*[array.ndim for array in arrays]),
                (pointer * count)(*[ctypes.cast(shape, pointer) for shape in shapes]),
                (ctypes.c_char_p * count)(*[array.dtype.name.encode() for array in arrays]),
                None,
                None,
            )
        )

    def run(self, operator: str, inputs: Sequence[np.ndarray], **attributes: Attribute) -> list[np.ndarray]:
        """Outputs of the operator's kernel; what it doesn't write stays nan."""
        node = make_node(operator, inputs, attributes)
        kernel = cpu_kernel(node)
        assert kernel is not None
        outputs = [unaligned(np.full(value.type.shape, np.nan, np.float32)) for value in node.outputs]
        arrays = [*(unaligned(array) for array in inputs), kernel.arguments, *outputs]
        assert self.call(kernel.symbol, arrays) == STATUS["ok"]
        return outputs


def make_node(operator: str, inputs: Sequence[np.ndarray], attributes: Mapping[str, Attribute]) -> Node:
    """A node of the operator with inputs of these types."""
    builder = GraphBuilder("kernel")
    values = [builder.input(f"x{index}", TensorType.of(array)) for index, array in enumerate(inputs)]
    outputs = builder.add_many(operator, *values, **dict(attributes))
    return builder.build(outputs).nodes[-1]


def reference(operator: str, inputs: Sequence[np.ndarray], **attributes: Attribute) -> list[np.ndarray]:
    """The operator's NumPy reference in float64."""
    return list(evaluate(operator, [array.astype(np.float64) for array in inputs], attributes))


def unaligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts 4 bytes behind a multiple of 64: kernels rely on no alignment but a float's own."""
    raw = np.empty(array.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + 4
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
