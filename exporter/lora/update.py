"""What a LoRA adds to one parameter: low-rank factors in a file, multiplied when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoraUpdate:
    """The change alpha / rank * up @ down of a linear layer or convolution (arXiv 2106.09685).

    down (rank, in[, h, w]), up (out, rank[, 1, 1]) for a kernel of h x w; or, in LoCon's Tucker form, down
    (rank, in[, 1, 1]), mid (rank, rank, h, w), up (out, rank[, 1, 1]). `module` is as the file spells it.
    """

    module: str
    down: FileWeight
    up: FileWeight
    mid: FileWeight | None
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.type.shape[0]

    def values(self, scale: float) -> np.ndarray:
        """The change times `scale` as a new float32 array of (out, in * h * w), computed in float32.

        The factors' values may not be finite; then neither is the result.
        """
        # A file's NaN or infinity must not print warnings: the caller looks for them.
        with np.errstate(invalid="ignore", over="ignore"):
            down = _read_matrix(self.down)
            if self.mid is not None:
                # mid(p, q, h, w) is a convolution from channel q to p: LyCORIS, lycoris/modules/locon.py.
                down = np.einsum("pqhw,qi->pihw", self.mid.as_dtype(DType.FLOAT32).read(), down, optimize=True)
            change: np.ndarray = _read_matrix(self.up) @ down.reshape(self.rank, -1)
            change *= np.float32(scale * self.alpha / self.rank)
        return change


def factors_fit(down: Shape, up: Shape, mid: Shape | None, weight: Shape) -> bool:
    """Whether factors of these shapes make a change of a weight's shape.

    A linear layer (out, in) counts as a 1x1 convolution, on either side.
    """
    if any(len(shape) not in (2, 4) for shape in (down, up, weight)):
        return False
    out_channels, in_channels, *kernel = _as_kernel(weight)
    rank = down[0]
    if mid is None:
        wanted_down = (rank, in_channels, *kernel)
    else:
        wanted_down = (rank, in_channels, 1, 1)
        if mid != (rank, rank, *kernel):
            return False
    return rank > 0 and _as_kernel(down) == wanted_down and _as_kernel(up) == (out_channels, rank, 1, 1)


def _as_kernel(shape: Shape) -> Shape:
    return (*shape, 1, 1) if len(shape) == 2 else shape


def _read_matrix(factor: FileWeight) -> np.ndarray:
    rows = factor.type.shape[0]
    return factor.as_type(TensorType(DType.FLOAT32, (rows, factor.type.size // rows))).read()
