"""Folds constant factors and offsets beside a layer into its weight and bias."""

from __future__ import annotations

from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Miss, Pass, PassResult, blame
from coopdraw.graphs.passes.constants import constant_array, constant_node
from coopdraw.graphs.passes.costs import savings
from coopdraw.graphs.passes.loop.affine import LayerFold, layer_folds
from coopdraw.graphs.passes.loop.operands import is_plain, weight_node, weight_uses, why_shared
from coopdraw.graphs.passes.rewriter import Rewriter, free_name
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, ScaledWeight, Weight

_SUFFIX = ".folded"


@dataclass(frozen=True)
class FoldAffine(Pass):
    """Folds mul, div, add and sub with a constant, directly behind or before a conv2d or linear, into the layer.

    Behind it, s * (W x + b) + t becomes (s W) x + (s b + t); before it, W (s x + t) + b becomes (W s) x + (W t + b).
    The constant is a scalar or has one element per channel, and nothing else reads the value in between, the weight or
    the bias. An addition before a convolution with padding stays: the zeros of the padding don't get it.

    The arithmetic is reassociated: factors meet the weights in float64 and are rounded once, where the graph rounded
    every product of an activation; results differ by a few roundings of the layer's type. A weight that would lose more
    than that, by leaving the range of its type, is left alone. Weights become `ScaledWeight`s, which read their
    original when they are read themselves; biases become arrays. Both get the name of the original and `.folded`.
    """

    name = "fold-affine"

    def run(self, module: Module) -> PassResult:
        folding = _Folding(module)
        for graph in module.graphs():
            folding.fold_graph(graph)
        notes = savings(module, folding.module)
        return PassResult(folding.module, folding.rewrites > 0, folding.rewrites, tuple(folding.misses), notes)


class _Folding:
    """The module while layers take in what is beside them."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.rewrites = 0
        self.misses: list[Miss] = []

    def fold_graph(self, graph: Graph) -> None:
        """Folds one operation after another until no other can be; those that are left are misses."""
        misses: list[Miss] = []
        waiting = list(graph.nodes)
        while waiting:
            operation = waiting.pop(0)
            with blame(graph, operation):
                found = self._fold_beside(graph, operation)
            if isinstance(found, Graph):
                graph, misses, waiting = found, [], list(found.nodes)
                self.module = self.module.with_graph(graph)
                self.rewrites += 1
            elif found is not None:
                misses.append(Miss(graph.name, operation.where(), found))
        self.misses += misses

    def _fold_beside(self, graph: Graph, operation: Node) -> Graph | str | None:
        """The graph with an operation folded into a layer; why it couldn't be; None where no layer is beside it."""
        reasons = []
        for fold in layer_folds(graph, operation):
            reason = fold if isinstance(fold, str) else self._refuse(graph, fold)
            if reason is None and isinstance(fold, LayerFold):
                return self._apply(graph, fold)
            reasons.append(reason)
        return reasons[0] if reasons else None

    def _refuse(self, graph: Graph, fold: LayerFold) -> str | None:
        weight, *bias = fold.layer.inputs[1:]
        uses = weight_uses(self.module)
        reasons = [why_shared(graph, value, uses) for value in bias]
        if fold.factor is not None or (fold.spread is not None and not is_plain(graph, weight)):
            reasons.append(why_shared(graph, weight, uses))
        reason = next((reason for reason in reasons if reason is not None), None)
        return reason or self._refuse_numbers(graph, fold)

    def _refuse_numbers(self, graph: Graph, fold: LayerFold) -> str | None:
        weight, dtype = fold.layer.inputs[1], fold.layer.inputs[1].type.dtype
        if fold.factor is not None and _loses_precision(self._read(graph, weight) * fold.factor, dtype):
            return f"%{weight.name} times the constant leaves the range where {dtype} is precise"
        if _loses_precision(self._bias(graph, fold), dtype):
            return f"the bias leaves the range where {dtype} is precise"
        return None

    def _apply(self, graph: Graph, fold: LayerFold) -> Graph:
        rewriter = Rewriter(graph)
        weight, *bias = fold.layer.inputs[1:]
        array = self._bias(graph, fold).astype(weight.type.dtype.numpy)
        operands = [] if fold.factor is None else [self._scaled(rewriter, weight, fold)]
        inputs = [fold.x, *([weight] if fold.factor is None else [operands[0].output])]
        if bias or array.any():
            operands.append(self._new_bias(rewriter, bias[0] if bias else None, array, fold.layer.source))
            inputs.append(operands[-1].output)
        layer = replace(fold.layer, inputs=tuple(inputs), outputs=fold.place.outputs)
        rewriter.exchange(fold.place, [*operands, layer])
        return rewriter.finish()

    def _scaled(self, rewriter: Rewriter, weight: Value, fold: LayerFold) -> Node:
        """The weight or constant times the factor."""
        factor, array = fold.factor, constant_array(rewriter.graph, weight)
        assert factor is not None
        source = fold.layer.source
        if array is not None:
            scaled = ScaledWeight(ArrayWeight(array), factor).read()
            return constant_node(Value(rewriter.unique_name(weight.name), weight.type), scaled, source)
        name = str(rewriter.graph.producers[weight].attributes["name"])
        return self._exchange_weight(rewriter, name, ScaledWeight(self.module.weights[name], factor), source)

    def _new_bias(self, rewriter: Rewriter, old: Value | None, array: np.ndarray, source: str) -> Node:
        node = None if old is None else rewriter.graph.producers[old]
        if node is not None and node.operator == "weight":
            return self._exchange_weight(rewriter, str(node.attributes["name"]), ArrayWeight(array), source)
        return constant_node(Value(rewriter.unique_name("bias"), TensorType.of(array)), array, source)

    def _exchange_weight(self, rewriter: Rewriter, name: str, weight: Weight, source: str) -> Node:
        """A node for a weight of the module that takes the place of the one with that name."""
        weights = {key: kept for key, kept in self.module.weights.items() if key != name}
        folded = free_name(f"{name.removesuffix(_SUFFIX)}{_SUFFIX}", weights)
        self.module = replace(self.module, weights={**weights, folded: weight})
        return weight_node(Value(rewriter.unique_name(folded), weight.type), folded, source)

    def _bias(self, graph: Graph, fold: LayerFold) -> np.ndarray:
        """The new bias in float64 (out channels,)."""
        weight, *bias = fold.layer.inputs[1:]
        result = np.zeros(weight.type.shape[0])
        if bias:
            result += self._read(graph, bias[0]) * (1.0 if fold.bias_factor is None else fold.bias_factor)
        if fold.offset is not None:
            result += fold.offset
        if fold.spread is not None:
            products = self._read(graph, weight) * fold.spread
            result += products.reshape(len(result), -1).sum(axis=1)
        return result

    def _read(self, graph: Graph, value: Value) -> np.ndarray:
        """A weight or constant in float64."""
        array = constant_array(graph, value)
        if array is None:
            array = self.module.weights[str(graph.producers[value].attributes["name"])].read()
        return array.astype(np.float64)


def _loses_precision(exact: np.ndarray, dtype: DType) -> bool:
    """Whether rounding to `dtype` changes an element by more than the precision of the largest: its range is left."""
    with np.errstate(all="ignore"):
        error = np.abs(exact.astype(dtype.numpy).astype(np.float64) - exact).max()
        return not bool(error <= float(ml_dtypes.finfo(dtype.numpy).eps) * np.abs(exact).max())
