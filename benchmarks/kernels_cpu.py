"""Times the CPU kernels inside MindSpore graphs against MindSpore's own primitives.

Both graphs hold the same chain of fused operators; in one they are `Custom` nodes, in the other they are taken apart.
Run as `python -m coopdraw.benchmarks.kernels_cpu`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.benchmarks.pairs import compare
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Module, Value
from coopdraw.graphs.mindir.custom import Kernels, no_kernels
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.kernels.cpu.build import cpu_library
from coopdraw.kernels.cpu.selection import cpu_kernel
from coopdraw.runtime.backends.mindspore import prepare_environment


@dataclass(frozen=True)
class Case:
    """An operator with shapes of its inputs; the first output must have the first input's shape, or half its width."""

    name: str
    operator: str
    shapes: tuple[tuple[int, ...], ...]
    attributes: dict[str, Attribute]
    own_first: int = 1  # how many leading inputs are the chain's value itself, as in self-attention
    length: int = 4  # of the chain: passing tensors to a graph and back must cost little of the whole

    def module(self) -> Module:
        builder = GraphBuilder("main")
        x = builder.input("x", TensorType(DType.FLOAT32, self.shapes[0]))
        others = [
            builder.input(f"operand{index}", TensorType(DType.FLOAT32, shape))
            for index, shape in enumerate(self.shapes[self.own_first :])
        ]
        for _ in range(self.length):
            x = self._step(builder, x, others)
        return Module(builder.build([x], ["y"]))

    def _step(self, builder: GraphBuilder, x: Value, others: Sequence[Value]) -> Value:
        operands = (x,) * self.own_first + tuple(others)
        y = builder.add_many(self.operator, *operands, names=None, **self.attributes)[0]
        return y if y.type == x.type else builder.add("concat", y, y, axis=len(y.type.shape) - 1)

    def feeds(self) -> list[np.ndarray]:
        generator = np.random.default_rng(0)
        shapes = (self.shapes[0], *self.shapes[self.own_first :])
        return [generator.standard_normal(shape, np.float32) for shape in shapes]


def group_norm(batch: int, channels: int, size: int, groups: int = 32, **changes: Attribute) -> Case:
    """GroupNorm and SiLU of (batch, channels, size, size), perhaps with the sum or the modulation around it."""
    attributes: dict[str, Attribute] = {
        "groups": groups,
        "epsilon": 1e-5,
        "activation": "silu",
        "add": "none",
        "modulated": False,
        "keep_sum": False,
        **changes,
    }
    x, by_channel = (batch, channels, size, size), (batch, channels)
    added = {"none": (), "channel": (by_channel,), "full": (x,)}[str(attributes["add"])]
    modulation = (by_channel, by_channel) if attributes["modulated"] else ()
    forms = [*(["add " + str(attributes["add"])] if added else []), *(["modulated"] if modulation else [])]
    name = f"GroupNorm+SiLU {batch}x{channels}x{size}x{size} in {groups}" + "".join(f", {form}" for form in forms)
    return Case(name, "fused_group_norm", (x, (channels,), (channels,), *added, *modulation), attributes)


def attention(batch: int, tokens: int, heads: int, width: int, keys: int | None = None) -> Case:
    """Self-attention, or cross-attention to `keys` tokens."""
    x = (batch, tokens, heads * width)
    others = (x, x) if keys is None else ((batch, keys, heads * width),) * 2
    name = f"attention {batch}x{tokens} to {keys or tokens} tokens, {heads} heads of {width}"
    attributes: dict[str, Attribute] = {"heads": heads, "scale": width**-0.5, "layout": "BSH"}
    return Case(name, "attention", (x, *others), attributes, own_first=3 if keys is None else 1)


def elementwise(batch: int, tokens: int, width: int, size: int) -> list[Case]:
    """The operators that only move memory, at the shapes of one level of a UNet."""
    x, image = (batch, tokens, width), (batch, width, size, size)
    return [
        Case(
            f"LayerNorm of a sum {x}",
            "fused_layer_norm",
            (x, (width,), (width,), x),
            {"epsilon": 1e-5, "keep_sum": False},
            length=12,
        ),
        Case(
            f"GEGLU {batch}x{tokens}x{8 * width}",
            "geglu",
            ((batch, tokens, 8 * width), (8 * width,)),
            {"approximate": "none", "gate": "second"},
        ),
        Case(
            f"bias and SiLU {image}",
            "bias_activation",
            (image, (width,)),
            {"axis": 1, "activation": "silu"},
            length=12,
        ),
        Case(
            f"3 weighted tensors {image}",
            "linear_combination",
            (image,) * 3,
            {"weights": (0.9, -0.4, 0.5)},
            length=12,
        ),
    ]


def cases() -> list[Case]:
    """The shapes of the demonstration's UNet (latents of 16x16) and of one with 320 channels at latents of 64x64."""
    return [
        group_norm(2, 64, 16, groups=8),
        group_norm(2, 64, 16, groups=8, add="channel"),
        group_norm(1, 320, 64),
        group_norm(2, 320, 64),
        group_norm(2, 640, 32),
        group_norm(2, 320, 64, add="channel"),
        group_norm(2, 640, 32, modulated=True),
        group_norm(1, 320, 64, groups=1),
        attention(2, 256, 4, 16),
        attention(2, 256, 4, 16, keys=8),
        attention(2, 1024, 10, 64),
        attention(1, 4096, 5, 64),
        attention(2, 256, 20, 64),
        attention(2, 4096, 5, 64, keys=77),
        attention(2, 1024, 10, 64, keys=77),
        *elementwise(2, 256, 64, 16),
        *elementwise(2, 4096, 320, 64),
    ]


@contextlib.contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _runner(mindspore: Any, module: Module, kernels: Kernels, feeds: list[Any]) -> Callable[[], np.ndarray]:
    """The compiled graph on fixed inputs; the library is found in the working directory while it compiles."""
    with tempfile.TemporaryDirectory() as folder, _working_directory(cpu_library().parents[1]):
        path = Path(folder) / "graph.mindir"
        write_mindir(module, path, kernels)
        cell = mindspore.nn.GraphCell(mindspore.load(str(path)))
        cell(*feeds)

    def run() -> np.ndarray:
        return np.asarray(cell(*feeds).asnumpy())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares the CPU kernels with MindSpore's primitives, in graphs.")
    parser.add_argument("--pairs", type=int, default=15, help="runs of each of the two, in turns")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    prepare_environment()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    for case in cases():
        if arguments.only not in case.name:
            continue
        module = case.module()
        feeds = [mindspore.Tensor(array) for array in case.feeds()]
        ours = _runner(mindspore, module, cpu_kernel, feeds)
        theirs = _runner(mindspore, module, no_kernels, feeds)
        wanted = theirs()
        largest = max(float(np.abs(array).max()) for array in (wanted, feeds[0].asnumpy()))
        difference = float(np.abs(ours() - wanted).max()) / largest
        line = compare(ours, theirs, arguments.pairs).line()
        print(f"{case.name}: {line}; outputs differ by {difference:.0e} of the largest number", flush=True)


if __name__ == "__main__":
    main()
