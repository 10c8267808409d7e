"""What each MindSpore primitive should compute: a Cell that has it in its graph, inputs, and the arrays it should give.

The arrays are written out in NumPy, or come from onnxruntime, or from MindSpore running the Cell eagerly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mindspore
import numpy as np
from graphs.mindir.importer_cells import Apply
from mindspore import Tensor, mint, nn, ops

functional = mint.nn.functional
Expected = Callable[..., "np.ndarray | Sequence[np.ndarray]"]

# float32 sums in another order: some units in the last place of values up to about 10.
FLOAT32 = 1e-5
# One or two roundings to float16 of values around 1.
FLOAT16 = 2e-3


@dataclass(frozen=True)
class Case:
    """`expected` gets the inputs; without it MindSpore runs the Cell in PyNative mode, on kernels of its own."""

    primitive: str
    cell: nn.Cell
    inputs: tuple[np.ndarray, ...]
    expected: Expected | None
    tolerance: float

    def results(self) -> list[np.ndarray]:
        if self.expected is None:
            return _run_eagerly(self.cell, self.inputs)
        found = self.expected(*self.inputs)
        return list(found) if isinstance(found, (tuple, list)) else [np.asarray(found)]


def _run_eagerly(cell: nn.Cell, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    try:
        found = cell(*map(Tensor, inputs))
    finally:
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return [tensor.asnumpy() for tensor in (found if isinstance(found, (tuple, list)) else (found,))]


def case(
    primitive: str, function: Any, inputs: Sequence[np.ndarray], expected: Expected | None, tolerance: float = FLOAT32
) -> Case:
    """`function` is a Cell, or what Apply takes."""
    is_cell = isinstance(function, nn.Cell) and not isinstance(function, ops.Primitive)
    return Case(primitive, function if is_cell else Apply(function), tuple(inputs), expected, tolerance)


_RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return _RNG.standard_normal(shape).astype(np.float32)


X, Y, POSITIVE = normal(2, 3, 4), normal(2, 3, 4), (np.abs(normal(2, 3, 4)) + 0.3).astype(np.float32)
HALF = normal(2, 3, 4).astype(np.float16)
INTEGERS = np.array([[-3, 0, 2], [5, -1, 7]], np.int32)
OTHER_INTEGERS = np.array([[-3, 1, 2], [4, -1, 8]], np.int32)
FLAGS, OTHER_FLAGS = normal(2, 3, 4) > 0, normal(2, 3, 4) > 0
INDICES = np.array([[2, 0], [1, 1]], np.int32)
IMAGE, KERNEL, GAMMA, BETA = normal(2, 8, 6, 6), normal(8, 8, 3, 3), normal(8), normal(8)
