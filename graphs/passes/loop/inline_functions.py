"""Puts the nodes of small functions in the place of their calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Miss, Pass, PassResult
from coopdraw.graphs.passes.costs import callers_first, savings
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Inlines every call of a function that reads no weights and has at most `largest` nodes, and drops the function.

    Guidance, sampler steps and wrappers around a network then lie open in their callers, where fusions see across them
    and hoist-invariant-arguments sees the network's own calls. A function that joins several networks, such as a
    transfer from one latent space to another, stays whole. Functions inside functions go first, and count with what
    they took in. A node keeps its Cell path; one without gets that of the call. Functions that call for a decision are
    misses: small ones that read weights (each copy would read them again), larger ones that read none.
    """

    name = "inline-functions"
    largest: int = 32

    def run(self, module: Module) -> PassResult:
        functions = dict(module.functions)
        entry, rewrites, misses = module.entry, 0, dict[str, Miss]()
        for graph in reversed(callers_first(module)):
            calls = [node for node in graph.nodes if node.operator == "call"]
            for call in calls:
                name = str(call.attributes["function"])
                reason = self._refuse(functions[name])
                if reason is not None and name not in misses:
                    misses[name] = Miss(graph.name, call.where(), reason)
            chosen = [call for call in calls if self._fits(functions[str(call.attributes["function"])])]
            rewritten = _inline(graph, chosen, functions)
            rewrites += len(chosen)
            if graph is module.entry:
                entry = rewritten
            else:
                functions[graph.name] = rewritten
        if not rewrites:
            return PassResult(module, False, misses=tuple(misses.values()))
        called = {name for graph in module.graphs() for name in graph.called_functions()}
        left = {name: graph for name, graph in functions.items() if name not in called or not self._fits(graph)}
        inlined = replace(module, entry=entry, functions=left)
        return PassResult(inlined, True, rewrites, tuple(misses.values()), savings(module, inlined))

    def _fits(self, function: Graph) -> bool:
        small = len(function.nodes) <= self.largest and not function.weight_names()
        return small and not _joins_networks(function)

    def _refuse(self, function: Graph) -> str | None:
        """Why a function that is either small or without weights is not inlined."""
        weights, count = function.weight_names(), len(function.nodes)
        if weights and count <= self.largest:
            return f"{function.name} reads the weight {weights[0]}, which every copy of its nodes would read"
        if not weights and count > self.largest:
            return f"{function.name} has {count} nodes; the limit is {self.largest} (largest)"
        return None


def _joins_networks(function: Graph) -> bool:
    return sum(node.operator == "call" for node in function.nodes) > 1


def _inline(graph: Graph, calls: list[Node], functions: Mapping[str, Graph]) -> Graph:
    """The graph with the nodes of the called functions instead of `calls`; the very graph if there are none."""
    if not calls:
        return graph
    rewriter = Rewriter(graph)
    for call in calls:
        rewriter.exchange(call, _copied_nodes(rewriter, call, functions[str(call.attributes["function"])]))
    return rewriter.finish()


def _copied_nodes(rewriter: Rewriter, call: Node, function: Graph) -> list[Node]:
    """The function's nodes on the call's arguments; its results take over the call's outputs."""
    results = dict(zip(function.outputs, call.outputs, strict=True))
    given = dict(zip(function.inputs, call.inputs, strict=True))
    nodes: list[Node] = []
    for node in function.nodes:
        outputs = tuple(results.get(v) or Value(rewriter.unique_name(v.name), v.type) for v in node.outputs)
        inputs = tuple(given[value] for value in node.inputs)
        nodes.append(replace(node, inputs=inputs, outputs=outputs, source=node.source or call.source))
        given.update(zip(node.outputs, outputs, strict=True))
    for value, output in zip(function.outputs, call.outputs, strict=True):
        if given[value] is not output:
            rewriter.replace(output, given[value])
    return nodes
