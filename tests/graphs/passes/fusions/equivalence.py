"""A fusion before and after: valid, the same numbers on the interpreter and on onnxruntime, and nothing left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from graphs.onnx_modules import run_module

from coopdraw.graphs import interpreter
from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.passes.base import Pass, PassResult
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight


def numbers(type: TensorType, seed: int) -> np.ndarray:
    """Normal numbers around one half."""
    array = np.random.default_rng(seed).standard_normal(type.shape) + 0.5
    return np.asarray(array, np.float64).astype(type.dtype.numpy)


def random_inputs(module: Module) -> dict[str, np.ndarray]:
    return {value.name: numbers(value.type, seed) for seed, value in enumerate(module.entry.inputs)}


def random_weights(types: Mapping[str, TensorType]) -> dict[str, ArrayWeight]:
    return {name: ArrayWeight(numbers(type, 100 + seed)) for seed, (name, type) in enumerate(types.items())}


def operators(module: Module) -> Counter[str]:
    """How often each operator is in the entry, weights and constants aside."""
    return Counter(node.operator for node in module.entry.nodes if node.operator not in ("weight", "constant"))


def only(module: Module, operator: str) -> Node:
    """The one node of that operator in the entry."""
    (node,) = (node for node in module.entry.nodes if node.operator == operator)
    return node


def fuse(step: Pass, module: Module, *, tolerance: float, onnx: bool = True) -> PassResult:
    """What the pass gives, after the checks that hold for every fusion.

    Outputs keep names and types; `tolerance` is relative to the largest number of an output, but at least to 1. A
    second run finds nothing, and reports the same misses.
    """
    verify(module)
    result = step.run(module)
    verify(result.module)
    assert result.modified == (result.rewrites > 0) == (format_module(result.module) != format_module(module))
    again = step.run(result.module)
    assert not again.modified
    assert again.misses == result.misses
    inputs = random_inputs(module)
    wanted = interpreter.run(module, inputs)
    apart = Decomposition().run(result.module).module
    verify(apart)
    results = [interpreter.run(each, inputs) for each in (result.module, apart)]
    if onnx:
        results += [run_module(each, inputs) for each in (module, result.module)]
    for found in results:
        assert list(found) == list(wanted)
        for name, array in wanted.items():
            assert TensorType.of(found[name]) == TensorType.of(array)
            scale = max(1.0, float(np.abs(array.astype(np.float64)).max()))
            difference = np.abs(found[name].astype(np.float64) - array.astype(np.float64)).max()
            assert difference <= tolerance * scale, name
    return result
