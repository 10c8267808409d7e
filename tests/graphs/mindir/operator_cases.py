"""One or more small graphs for every operator of the table: what readers, writers and executors are tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight


@dataclass(frozen=True)
class OperatorCase:
    """`build` gets a builder and the inputs; `inputs` are the arrays the graph is run on."""

    name: str
    operator: str
    inputs: tuple[np.ndarray, ...]
    build: Callable[..., Value | tuple[Value, ...]]

    def module(self) -> Module:
        builder = GraphBuilder("main")
        values = [builder.input(f"x{i}", TensorType.of(array)) for i, array in enumerate(self.inputs)]
        result = self.build(builder, *values)
        outputs = result if isinstance(result, tuple) else (result,)
        return Module(builder.build(outputs, [f"y{i}" for i in range(len(outputs))]))

    def feeds(self) -> dict[str, np.ndarray]:
        return {f"x{i}": array for i, array in enumerate(self.inputs)}


_RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return _RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return (np.abs(normal(*shape)) + 0.3).astype(np.float32)


def flags(*shape: int) -> np.ndarray:
    return normal(*shape) > 0


def simple(operator: str, *inputs: np.ndarray, **attributes: object) -> OperatorCase:
    """The operator on its inputs, one output."""
    detail = ",".join(f"{key}={value}" for key, value in attributes.items())
    return OperatorCase(
        f"{operator}({detail})", operator, inputs, lambda builder, *values: builder.add(operator, *values, **attributes)
    )


def several(operator: str, *inputs: np.ndarray, **attributes: object) -> OperatorCase:
    """The operator on its inputs, all of its outputs."""
    return OperatorCase(
        f"{operator} with its outputs",
        operator,
        inputs,
        lambda builder, *values: builder.add_many(operator, *values, **attributes),
    )


X, Y, ROW, IMAGE = normal(2, 3, 4), normal(2, 3, 4), normal(4), normal(2, 8, 6, 6)
_BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
_COMPARE = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
_UNARY = [
    "neg",
    "abs",
    "exp",
    "square",
    "sin",
    "cos",
    "tanh",
    "erf",
    "sigmoid",
    "silu",
    "relu",
    "floor",
    "ceil",
    "sign",
]
_RESIZES = [
    ("nearest", "asymmetric", (12, 12)),
    ("nearest", "asymmetric", (9, 4)),
    ("nearest", "align_corners", (9, 11)),
    ("nearest", "half_pixel", (9, 4)),
    ("bilinear", "half_pixel", (12, 12)),
    ("bilinear", "half_pixel", (3, 4)),
    ("bilinear", "align_corners", (9, 11)),
    ("bilinear", "asymmetric", (9, 11)),
    ("bicubic", "half_pixel", (12, 12)),
    ("bicubic", "align_corners", (9, 11)),
    ("area", "half_pixel", (3, 3)),
    ("area", "half_pixel", (4, 5)),
]


def _conv(name: str, x: np.ndarray, weight: np.ndarray, bias: bool, **attributes: object) -> OperatorCase:
    inputs = (x, weight, normal(weight.shape[0])) if bias else (x, weight)
    settings = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1} | attributes
    return OperatorCase(
        f"conv2d {name}", "conv2d", inputs, lambda builder, *values: builder.add("conv2d", *values, **settings)
    )


def _split(sizes: tuple[int, ...]) -> OperatorCase:
    return OperatorCase(
        f"split{sizes}", "split", (IMAGE,), lambda builder, x: builder.add_many("split", x, axis=1, sizes=sizes)
    )


def operator_cases() -> list[OperatorCase]:
    """Cases for every operator except `call` and `weight`, which need a module around them (see `module_cases`)."""
    cases = [simple(name, X, Y) for name in _BINARY + _COMPARE] + [simple(name, X, ROW) for name in ("add", "mul")]
    cases += [simple(name, X) for name in _UNARY]
    cases += [simple(name, positive(2, 5)) for name in ("log", "sqrt", "rsqrt", "reciprocal")]
    cases += [simple("pow", positive(3, 4), ROW), simple("round", np.float32([0.5, 1.5, 2.5, -0.5, 2.4]))]
    cases += [simple(name, flags(2, 4), flags(2, 4)) for name in ("logical_and", "logical_or")]
    cases += [simple("logical_not", flags(5)), simple("select", flags(2, 3, 4), X, Y)]
    cases += [simple("gelu", X, approximate=form) for form in ("none", "tanh")]
    cases += [simple("softmax", X, axis=axis) for axis in (1, 2)]
    cases += [simple("clamp", X, minimum=low, maximum=high) for low, high in ((-0.5, 0.5), (0.0, None), (None, 0.2))]
    cases += [simple("cast", X, dtype=name) for name in ("int32", "float16", "bool")]
    cases += [simple("cast", np.arange(5, dtype=np.int32), dtype="float32"), simple("cast", flags(4), dtype="float32")]
    cases += _product_cases() + _image_cases() + _shape_cases()
    cases += [
        simple(f"reduce_{name}", X, axes=axes, keepdims=keep)
        for name in ("sum", "mean", "max", "min")
        for axes, keep in (((1,), True), ((0, 2), False), ((0, 1, 2), False))
    ]
    cases.append(simple("identity", X))
    cases.append(OperatorCase("constant", "constant", (ROW,), lambda b, x: b.add("add", x, b.constant(normal(3, 4)))))
    return cases


def _product_cases() -> list[OperatorCase]:
    shapes = {
        "2d": ((3, 4), (4, 5)),
        "4d": ((2, 3, 4, 5), (2, 3, 5, 6)),
        "broadcast": ((2, 3, 4, 5), (3, 5, 6)),
        "matrix right": ((2, 3, 4, 5), (5, 6)),
    }
    cases = []
    for left, right in shapes.values():
        for transpose_a, transpose_b in ((False, False), (True, True)):
            a = left[:-2] + left[-2:][::-1] if transpose_a else left
            b = right[:-2] + right[-2:][::-1] if transpose_b else right
            cases.append(simple("matmul", normal(*a), normal(*b), transpose_a=transpose_a, transpose_b=transpose_b))
    cases += [simple("linear", normal(*shape), normal(5, 4)) for shape in ((3, 4), (2, 3, 4), (4,))]
    cases += [simple("linear", normal(2, 3, 4), normal(5, 4), normal(5))]
    return cases


def _image_cases() -> list[OperatorCase]:
    cases = [
        _conv("1x1", IMAGE, normal(5, 8, 1, 1), False),
        _conv("3x3", IMAGE, normal(5, 8, 3, 3), True, padding=(1, 1, 1, 1)),
        _conv("downsampling", IMAGE, normal(5, 8, 3, 3), True, padding=(0, 1, 0, 1), stride=(2, 2)),
        _conv("dilated", IMAGE, normal(5, 8, 3, 3), True, padding=(2, 2, 2, 2), dilation=(2, 2)),
        _conv("grouped", IMAGE, normal(6, 4, 3, 3), True, padding=(1, 1, 1, 1), groups=2),
        _conv("depthwise", IMAGE, normal(8, 1, 3, 3), False, padding=(1, 0, 2, 1), groups=8),
        simple("avg_pool2d", IMAGE, kernel=(2, 2), stride=(2, 2)),
        simple("avg_pool2d", IMAGE, kernel=(3, 2), stride=(1, 2)),
        simple("group_norm", IMAGE, normal(8), normal(8), groups=4, epsilon=1e-5),
        simple("group_norm", IMAGE, normal(8), normal(8), groups=1, epsilon=1e-6),
        simple("layer_norm", X, normal(4), normal(4), epsilon=1e-5),
        simple("layer_norm", X, normal(3, 4), normal(3, 4), epsilon=1e-5),
        # positions that float32 rounds into the next pixel
        simple("resize", normal(1, 2, 512, 3), mode="nearest", coordinates="asymmetric", size=(218, 7)),
        simple("resize", IMAGE, mode="bicubic", coordinates="align_corners", size=(9, 4)),
    ]
    cases += _fused_cases()
    return cases + [
        simple("resize", IMAGE, mode=mode, coordinates=coordinates, size=size) for mode, coordinates, size in _RESIZES
    ]


def _fused_cases() -> list[OperatorCase]:
    image, rows, vector = IMAGE, normal(2, 8), normal(8)
    plain = {"groups": 4, "epsilon": 1e-5, "activation": "none", "add": "none", "modulated": False, "keep_sum": False}
    silu = plain | {"activation": "silu"}
    return [
        simple("fused_group_norm", image, vector, normal(8), **silu),
        simple("fused_group_norm", image, vector, normal(8), rows, **silu | {"add": "channel"}),
        simple("fused_group_norm", image, vector, normal(8), normal(2, 8), rows, **plain | {"modulated": True}),
        several(
            "fused_group_norm", image, vector, normal(8), normal(2, 8, 6, 6), **silu | {"add": "full", "keep_sum": True}
        ),
        simple("fused_layer_norm", X, normal(4), normal(4), Y, epsilon=1e-5, keep_sum=False),
        several("fused_layer_norm", X, normal(4), normal(4), Y, epsilon=1e-5, keep_sum=True),
        simple("geglu", X, approximate="none", gate="second"),
        simple("geglu", X, normal(4), approximate="tanh", gate="first"),
        *[
            simple("bias_activation", image, vector, axis=1, activation=activation)
            for activation in ("none", "relu", "silu", "gelu", "gelu_tanh")
        ],
        simple("attention", normal(2, 3, 4), Y, X, heads=2, scale=0.5, layout="BSH"),
        simple("attention", *(normal(2, 3, 5, 4) for _ in range(3)), normal(5, 5), heads=3, scale=1.0, layout="BNSD"),
    ]


def _shape_cases() -> list[OperatorCase]:
    return [
        simple("reshape", X, shape=(4, 6)),
        simple("reshape", normal(1), shape=()),
        simple("linear_combination", X, Y, X, weights=(0.5, -1.0, 1.0)),
        simple("linear_combination", X, weights=(-2.0,)),
        simple("transpose", X, permutation=(2, 0, 1)),
        simple("concat", X, Y, axis=1),
        simple("concat", X, axis=0),
        _split((4, 4)),
        _split((1, 5, 2)),
        simple("slice", IMAGE, begin=(0, 2, 1, 0), end=(1, 8, 6, 6), stride=(1, 1, 2, 3)),
        simple("pad", X, before=(0, 1, 0), after=(0, 0, 2), value=0.0),
        simple("pad", X, before=(1, 0, 3), after=(0, 2, 0), value=1.5),
        simple("broadcast_to", normal(3, 1), shape=(2, 3, 4)),
        simple("tile", X, repeats=(1, 2, 3)),
        simple("gather", normal(10, 4), np.array([[1, 9], [0, 3]], np.int32), axis=0),
        simple("gather", X, np.array([2, 0], np.int32), axis=1),
    ]


def module_cases() -> dict[str, tuple[Module, dict[str, np.ndarray]]]:
    """Modules with weights and calls: several results, nested calls, inputs handed through, no inputs at all."""
    inner = GraphBuilder("inner.block")
    x = inner.input("x", TensorType(DType.FLOAT32, (2, 4)))
    weight = inner.weight("inner.weight", TensorType(DType.FLOAT32, (4, 4)))
    product = inner.add("linear", x, weight)
    inner_graph = inner.build([product, x], ["product", "unchanged"])
    outer = GraphBuilder("outer.block")
    y = outer.input("y", TensorType(DType.FLOAT32, (2, 4)))
    first, second = outer.call(inner_graph, y)
    outer_graph = outer.build([outer.add("add", first, second)], ["sum"])
    scalar = GraphBuilder("scale")
    constant_graph = scalar.build([scalar.constant(np.float32(3.0))], ["scale"])
    main = GraphBuilder("main")
    noise = main.input("noise", TensorType(DType.FLOAT32, (2, 4)))
    (once,) = main.call(outer_graph, noise)
    (twice,) = main.call(outer_graph, once)
    bias = main.weight("bias", TensorType(DType.FLOAT32, (4,)))
    (scale,) = main.call(constant_graph)
    latent = main.add("mul", main.add("add", twice, bias), scale)
    entry = main.build([latent, noise, noise, bias], ["latent", "noise_again", "and_again", "bias_itself"])
    weights = {"inner.weight": ArrayWeight(normal(4, 4)), "bias": ArrayWeight(normal(4))}
    module = Module(entry, {"inner.block": inner_graph, "outer.block": outer_graph, "scale": constant_graph}, weights)
    return {"calls": (module, {"noise": normal(2, 4)})}
