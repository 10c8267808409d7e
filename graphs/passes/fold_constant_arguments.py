"""Evaluates, once for each call, what a function computes from arguments that are constants at every call."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Miss, Pass, PassResult, blame
from coopdraw.graphs.passes.constant_region import Region, call_sites, constant_arguments, region
from coopdraw.graphs.passes.constants import array_key, constant_array, constant_node
from coopdraw.graphs.passes.costs import callers_first, savings
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class FoldConstantArguments(Pass):
    """Cuts from a function what depends only on arguments that are constants at every call, its weights and constants.

    A loop that is unrolled into calls passes the timestep as such an argument: the sinusoid and the layers that embed
    it then run here, once for each distinct timestep, and each call passes the embedding instead. The cut is the latest
    one possible: all that can be computed is. Values that turn out equal at all calls become constants of the function.
    If a caller computes the arguments from constant arguments of its own, the part moves into the caller and from there
    on to where the constants are. A function is left alone if all values to pass would exceed `limit_bytes` in total.
    """

    name = "fold-constant-arguments"
    limit_bytes: int = 256 << 20

    def run(self, module: Module) -> PassResult:
        arguments = constant_arguments(module)
        folded, rewrites, spent, misses = module, 0, 0, list[Miss]()
        for graph in reversed(callers_first(module)):
            if not arguments.get(graph.name):
                continue
            fold = _Fold(folded, region(folded.functions[graph.name], arguments[graph.name]))
            if spent + fold.nbytes > self.limit_bytes:
                misses.append(fold.miss(spent, self.limit_bytes))
                continue
            spent += fold.nbytes
            folded, count = fold.apply()
            rewrites += count
        return PassResult(folded, rewrites > 0, rewrites, tuple(misses), savings(module, folded))


class _Fold:
    """The fold of one function: its region, its calls and which of them have equal arguments."""

    def __init__(self, module: Module, part: Region) -> None:
        self.module = module
        self.part = part
        self.sites = call_sites(module, part.function.name)
        self.keys = [self._key(graph, node) for graph, node in self.sites]

    @property
    def nbytes(self) -> int:
        """Bytes of all values that would have to be passed, for each distinct set of arguments once."""
        return len({*self.keys} - {None}) * sum(value.type.nbytes for value in self.part.computed)

    def miss(self, spent: int, limit: int) -> Miss:
        first = self.part.function.producers[self.part.computed[0]]
        reason = (
            f"folding would pass {self.nbytes} bytes; {spent} of the limit of {limit} (limit_bytes) are used already"
        )
        return Miss(self.part.function.name, first.where(), reason)

    def apply(self) -> tuple[Module, int]:
        """The module after the fold and the number of calls that changed; the very module if nothing is gained."""
        values = self._evaluate()
        sunk = self._equal_everywhere(values)
        function = self.part.rest(sunk)
        if not self.part.computed and not sunk and len(function.outputs) == len(self.part.function.outputs):
            return self.module, 0
        functions = {**self.module.functions, function.name: function}
        if not function.outputs:
            del functions[function.name]
        module = replace(self.module, functions=functions)
        for graph in self.module.graphs():
            calls = [(n, values.get(k)) for (g, n), k in zip(self.sites, self.keys, strict=True) if g is graph]
            if calls:
                module = module.with_graph(_rewrite_calls(graph, calls, self.part, sunk))
        return module, len(self.sites)

    def _key(self, graph: Graph, node: Node) -> Hashable | None:
        """What is equal for calls with equal arguments; None where an argument isn't a constant yet."""
        arrays = [constant_array(graph, node.inputs[index]) for index in self.part.arguments]
        return None if any(array is None for array in arrays) else tuple(array_key(a) for a in arrays if a is not None)

    def _evaluate(self) -> dict[Hashable, dict[Value, np.ndarray]]:
        """The region's values for each key, computed once."""
        body = Module(self.part.body, self.module.functions, self.module.weights)
        values: dict[Hashable, dict[Value, np.ndarray]] = {}
        for (graph, node), key in zip(self.sites, self.keys, strict=True):
            if key is None or key in values:
                continue
            arrays = [constant_array(graph, node.inputs[index]) for index in self.part.arguments]
            known = {p: array for p, array in zip(self.part.parameters, arrays, strict=True) if array is not None}
            with blame(graph, node):
                results = run(body, {value.name: array for value, array in known.items()})
            values[key] = known | {value: results[value.name] for value in self.part.computed}
        return values

    def _equal_everywhere(self, values: Mapping[Hashable, Mapping[Value, np.ndarray]]) -> dict[Value, np.ndarray]:
        if None in self.keys or not self.keys:
            return {}
        first = values[self.keys[0]]
        return {
            value: first[value]
            for value in self.part.crossing
            if len({array_key(known[value]) for known in values.values()}) == 1
        }


def _rewrite_calls(
    graph: Graph,
    calls: Sequence[tuple[Node, Mapping[Value, np.ndarray] | None]],
    part: Region,
    sunk: Mapping[Value, np.ndarray],
) -> Graph:
    """The caller with calls of the shrunk function; a call without known values gets the region's nodes before it."""
    rewriter, pool = Rewriter(graph), dict[Hashable, Value]()
    for node, known in calls:
        given = {
            parameter: node.inputs[index] for parameter, index in zip(part.parameters, part.arguments, strict=True)
        }
        nodes = _clone(rewriter, part, given) if known is None else _constants(rewriter, part, given, known, sunk, pool)
        for index, output in enumerate(node.outputs):
            if index not in part.kept_outputs():
                rewriter.replace(output, given[part.function.outputs[index]])
        inputs = [node.inputs[index] for index in part.kept_inputs(sunk)]
        inputs += [given[value] for value in part.new_inputs(sunk)]
        outputs = tuple(node.outputs[index] for index in part.kept_outputs())
        call = [replace(node, inputs=tuple(inputs), outputs=outputs)] if outputs else []
        rewriter.exchange(node, [*nodes, *call])
    return rewriter.finish()


def _clone(rewriter: Rewriter, part: Region, given: dict[Value, Value]) -> list[Node]:
    """The region's nodes for one call; `given` maps its parameters and then also its values to values of the caller."""
    nodes = []
    for node in part.body.nodes:
        outputs = tuple(Value(rewriter.unique_name(value.name), value.type) for value in node.outputs)
        nodes.append(replace(node, inputs=tuple(given[value] for value in node.inputs), outputs=outputs))
        given.update(zip(node.outputs, outputs, strict=True))
    return nodes


def _constants(
    rewriter: Rewriter,
    part: Region,
    given: dict[Value, Value],
    known: Mapping[Value, np.ndarray],
    sunk: Mapping[Value, np.ndarray],
    pool: dict[Hashable, Value],
) -> list[Node]:
    """Constants for what one call passes or returns; equal ones are shared through `pool` with calls before it."""
    nodes = []
    for value in part.computed:
        if value in sunk and value not in part.function.outputs:
            continue
        key = array_key(known[value])
        if key not in pool:
            pool[key] = Value(rewriter.unique_name(value.name), value.type)
            nodes.append(constant_node(pool[key], known[value], part.function.producers[value].source))
        given[value] = pool[key]
    return nodes
