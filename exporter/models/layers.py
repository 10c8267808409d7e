"""The plain layers that every built-in model is made of.

They do what the layers of `mindspore.nn` do, without the checks that those run in Python at every call: tracing a model
of SDXL's size takes several times less time and memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import initializer

from coopdraw.exporter.models.primitives import add, bias_add, dense, div, erf, group_norm, mul, resize_nearest

SQRT_2 = math.sqrt(2.0)


def parameter(name: str, *shape: int) -> Parameter:
    """A float32 parameter; what it holds comes from a checkpoint."""
    return Parameter(initializer("zeros", shape, mstype.float32), name=name)


def cells_at(cells: Mapping[int, nn.Cell]) -> nn.Cell:
    """A list with Cells at the indices of the released layout, which also counts activations and dropouts."""
    return nn.CellList([cells.get(index, nn.Identity()) for index in range(max(cells) + 1)])


class Linear(nn.Cell):
    """(..., in) -> (..., out). Parameters: `weight` (out, in), `bias` (out,)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = parameter("weight", out_channels, in_channels)
        self.bias = parameter("bias", out_channels)

    def construct(self, hidden: Tensor) -> Tensor:
        return dense(hidden, self.weight, self.bias)


class UnbiasedLinear(nn.Cell):
    """(..., in) -> (..., out). Parameters: `weight` (out, in)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = parameter("weight", out_channels, in_channels)

    def construct(self, hidden: Tensor) -> Tensor:
        return dense(hidden, self.weight, None)


class Convolution(nn.Cell):
    """(N, in, H, W) -> (N, out, H', W'). Parameters: `weight` (out, in, kernel, kernel), `bias` (out,).

    Keeps the extents at stride 1 unless `padding` says (top, bottom, left, right).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: tuple[int, int, int, int] | None = None,
    ) -> None:
        super().__init__()
        pad = (kernel // 2,) * 4 if padding is None else padding
        self.weight = parameter("weight", out_channels, in_channels, kernel, kernel)
        self.bias = parameter("bias", out_channels)
        self.conv2d = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=pad, stride=stride)

    def construct(self, hidden: Tensor) -> Tensor:
        return bias_add(self.conv2d(hidden, self.weight), self.bias)


class GroupNorm(nn.Cell):
    """Normalises groups of the channels of (N, C, ...). Parameters: `gamma`, `beta` (C,)."""

    def __init__(self, groups: int, channels: int, epsilon: float) -> None:
        super().__init__()
        self.groups = groups
        self.epsilon = epsilon
        self.gamma = parameter("gamma", channels)
        self.beta = parameter("beta", channels)

    def construct(self, hidden: Tensor) -> Tensor:
        return group_norm(hidden, self.groups, self.gamma, self.beta, self.epsilon)[0]


class LayerNorm(nn.Cell):
    """Normalises the last axis of (..., C). Parameters: `gamma`, `beta` (C,)."""

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.gamma = parameter("gamma", channels)
        self.beta = parameter("beta", channels)
        self.layer_norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)

    def construct(self, hidden: Tensor) -> Tensor:
        return self.layer_norm(hidden, self.gamma, self.beta)[0]


class Gelu(nn.Cell):
    """The exact GELU: x * (1 + erf(x / sqrt 2)) / 2."""

    def construct(self, hidden: Tensor) -> Tensor:
        return mul(mul(hidden, add(erf(div(hidden, SQRT_2)), 1.0)), 0.5)


class NearestUpsample(nn.Cell):
    """Doubles both extents by repeating pixels, then convolves. Subclasses add `construct`. Parameters: `conv`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels)

    def upsample(self, hidden: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        height, width = hidden.shape[2], hidden.shape[3]
        return self.conv(resize_nearest(hidden, (height * 2, width * 2)))
