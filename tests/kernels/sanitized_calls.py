"""Calls every kernel of a library built with sanitizers, which end the process at an error.

Run as `python sanitized_calls.py LIBRARY FOLDER`; the folder gets copies of the library.
Every tensor has memory of its own, so that a step beyond its end is found.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from kernels.calling import LEVELS, Library, make_node

from coopdraw.graphs.ir import Attribute
from coopdraw.kernels.cpu.selection import cpu_kernel


def run(library: Library, operator: str, *shapes: tuple[int, ...], **attributes: Attribute) -> None:
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal(shape).astype(np.float32) for shape in shapes]
    node = make_node(operator, inputs, attributes)
    kernel = cpu_kernel(node)
    assert kernel is not None
    outputs = [np.empty(value.type.shape, np.float32) for value in node.outputs]
    assert library.call(kernel.symbol, [*inputs, kernel.arguments, *outputs]) == 0


def sweep_products(library: Library) -> None:
    for rows, depth, columns in itertools.product((1, 2, 6, 7, 17, 300), (1, 16, 33, 260), (1, 31, 48, 100)):
        run(library, "linear", (rows, depth), (columns, depth), (columns,))
        run(library, "linear", (rows, depth), (columns, depth))
    for channels, out_channels, height, width in itertools.product((3, 32, 70), (5, 24), (1, 8, 13), (1, 16, 33)):
        for kernel, stride, dilation in ((1, 1, 1), (1, 2, 1), (2, 1, 2), (3, 1, 1), (3, 2, 1), (3, 1, 2), (5, 3, 1)):
            padding = dilation * (kernel - 1)
            run(
                library,
                "conv2d",
                (2, channels, height, width),
                (out_channels, channels, kernel, kernel),
                *([(out_channels,)] if stride == 1 else []),
                stride=(stride, stride),
                padding=(padding, padding // 2, padding, padding // 2),
                dilation=(dilation, dilation),
                groups=1,
            )


def sweep(library: Library) -> None:
    for queries, keys, depth, width in itertools.product((1, 17, 64, 65), (1, 77, 129), (1, 8, 17), (1, 13, 16)):
        shapes = [(2, 2, queries, depth), (2, 2, keys, depth), (2, 2, keys, width)]
        for masks in ([], [(queries, keys)], [(2, 1, 1, keys)], [(2, queries, 1)]):
            run(library, "attention", *shapes, *masks, heads=2, scale=0.3, layout="BNSD")
        shapes = [(2, queries, 2 * depth), (2, keys, 2 * depth), (2, keys, 2 * width)]
        run(library, "attention", *shapes, heads=2, scale=0.3, layout="BSH")
    for inner, groups, add, modulated in itertools.product(
        ((), (1,), (5, 7), (64, 65)), (1, 3), ("none", "channel", "full"), (False, True)
    ):
        x = (2, 6, *inner)
        added = {"none": [], "channel": [(2, 6)], "full": [x]}[add]
        run(
            library,
            "fused_group_norm",
            x,
            (6,),
            (6,),
            *added,
            *([(2, 6)] * 2 if modulated else []),
            groups=groups,
            epsilon=1e-5,
            activation="silu",
            add=add,
            modulated=modulated,
            keep_sum=bool(added),
        )
    for width in (1, 15, 16, 17, 5000):
        run(library, "fused_layer_norm", (9, width), (width,), (width,), (9, width), epsilon=1e-5, keep_sum=True)
        for bias in ([], [(2 * width,)]):
            run(library, "geglu", (9, 2 * width), *bias, approximate="none", gate="second")
            run(library, "geglu", (9, 2 * width), *bias, approximate="tanh", gate="first")
        for axis, activation in itertools.product(range(3), ("none", "silu", "gelu", "gelu_tanh", "relu")):
            shape = (3, width, 7)
            run(library, "bias_activation", shape, (shape[axis],), axis=axis, activation=activation)
        run(library, "linear_combination", *[(3, width)] * 5, weights=(1.0, 2.0, 3.0, 4.0, 5.0))


if __name__ == "__main__":
    for level in LEVELS:
        built = Library(Path(sys.argv[1]), Path(sys.argv[2]), level, 2)
        sweep(built)
        sweep_products(built)
    print("done")
