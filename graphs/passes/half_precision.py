"""Networks in half precision, with float32 where they need it and around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from coopdraw.graphs.errors import PassError
from coopdraw.graphs.half_arithmetic import HALVES
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.passes.base import Miss, Pass, PassResult
from coopdraw.graphs.passes.costs import callers_first, savings
from coopdraw.graphs.passes.float32_islands import float32_nodes, touches_float32
from coopdraw.graphs.passes.half_weights import names_in_half, weights_in_half
from coopdraw.graphs.passes.mixed_precision import MixedGraph, PrecisionPlan, plan_graph, read_forms
from coopdraw.graphs.types import DType


@dataclass(frozen=True)
class HalfPrecision(Pass):
    """Lets the networks, which are the functions that read weights, compute in float16 (or bfloat16: `dtype`).

    The entry and functions without weights stay in float32: they hold the sampler's state. Float32 inputs of a network
    become half precision if anything in it reads them so, and its outputs are what the last node makes, so that what
    goes from network to network isn't widened in between; callers cast where they hold float32.

    Inside a network `float32_islands` says which nodes stay in float32. Fused operators don't: their kernels compute in
    float32 and round once. So does the emulation of every node, and what the cast to half precision changes is what is
    stored between two nodes. Weights are converted when they are read; one that float32 nodes read as well is there
    twice, the half under `<name>.float16`.

    `keep_float32` leaves out what it names: a model ("vae"), a function and those named after it ("vae.decode"), or
    the nodes of a Cell in them ("structure.unet/input_blocks.0", "structure/middle_block"). Raises PassError for a name
    that the module doesn't have. The notes count functions and nodes in half precision, the nodes of these functions
    that stay in float32, casts, and the usual savings.
    """

    name = "half-precision"
    keep_float32: tuple[str, ...] = ()
    dtype: str = DType.FLOAT16.value

    def run(self, module: Module) -> PassResult:
        if self.dtype not in HALVES:
            raise PassError(f"{self.dtype} is no half precision; use {' or '.join(HALVES)}")
        unknown = unknown_names(module, self.keep_float32)
        if unknown:
            raise PassError(f"keep_float32 names {', '.join(unknown)}; known are {', '.join(known_names(module))}")
        half = DType(self.dtype)
        plans, misses = self._plans(module, half)
        converted = _rebuild(module, plans, half)
        rewrites = sum(one is not other for one, other in zip(module.graphs(), converted.graphs(), strict=True))
        if not rewrites:
            return PassResult(module, False, misses=tuple(misses))
        notes = _notes(plans, converted, half) | savings(module, converted)
        return PassResult(converted, True, rewrites, tuple(misses), notes)

    def _plans(self, module: Module, half: DType) -> tuple[dict[str, PrecisionPlan], list[Miss]]:
        """What every graph becomes, callees before their callers."""
        plans: dict[str, PrecisionPlan] = {}
        misses: list[Miss] = []
        networks = network_names(module)
        for graph in reversed(callers_first(module)):
            wide: frozenset[Node] | None = None
            if graph.name in networks and not self._keeps(graph, None):
                wide, refused = float32_nodes(graph, half, partial(self._keeps, graph))
                misses += refused
            plans[graph.name] = plan_graph(graph, wide, plans)
        return plans, misses

    def _keeps(self, graph: Graph, node: Node | None) -> bool:
        """Whether a whole function is kept, or a node of it because of its Cell."""
        return any(_names(kept, graph.name, None if node is None else node.source) for kept in self.keep_float32)


def network_names(module: Module) -> tuple[str, ...]:
    """The functions that read weights."""
    return tuple(name for name in sorted(module.functions) if module.functions[name].weight_names())


def known_names(module: Module) -> tuple[str, ...]:
    """The models and functions that `keep_float32` can name; Cells are too many to list."""
    names = network_names(module)
    return tuple(sorted({*(name.partition(".")[0] for name in names), *names}))


def unknown_names(module: Module, keep_float32: Iterable[str]) -> list[str]:
    """Those of `keep_float32` that name no function, or no Cell in it."""
    return [
        kept
        for kept in keep_float32
        if not any(
            _names(kept, name, node.source if "/" in kept else None)
            for name in module.functions
            for node in module.functions[name].nodes
        )
    ]


def _names(kept: str, function: str, cell: str | None) -> bool:
    """Whether an entry of `keep_float32` names a function (without `cell`), or a Cell in it."""
    owner, _, path = kept.partition("/")
    if "/" not in kept:
        return cell is None and _is_within(function, owner)
    return cell is not None and _is_within(function, owner) and _is_within(cell, path)


def _is_within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}.")


def _rebuild(module: Module, plans: Mapping[str, PrecisionPlan], half: DType) -> Module:
    wide, narrow = _weights_read(plans)
    names = names_in_half(module.weights.keys(), wide, narrow, half)
    graphs: dict[str, Graph] = {}
    for name, plan in plans.items():
        graphs[name] = MixedGraph(plan, half, plans, graphs, names).rebuild()
    return replace(
        module,
        entry=graphs[module.entry.name],
        functions={name: graphs[name] for name in module.functions},
        weights=weights_in_half(module.weights, wide, names, half),
    )


def _weights_read(plans: Mapping[str, PrecisionPlan]) -> tuple[set[str], set[str]]:
    """The float32 weights that are read in float32 (or by nothing), and those that are read in half precision."""
    wide, narrow = set[str](), set[str]()
    for plan in plans.values():
        forms = read_forms(plan, plans)
        for node in plan.graph.nodes:
            if node.operator == "weight" and touches_float32(node):
                name, read = str(node.attributes["name"]), forms.get(node.output, frozenset({False}))
                wide |= {name} if False in read else set()
                narrow |= {name} if True in read else set()
    return wide, narrow


def _notes(plans: Mapping[str, PrecisionPlan], module: Module, half: DType) -> dict[str, int]:
    """What is in half precision in the end."""
    functions = [graph for graph in module.functions.values() if plans[graph.name].narrow]
    nodes = [node for graph in functions for node in graph.nodes if node.operator not in ("constant", "weight", "cast")]
    in_half = sum(any(value.type.dtype is half for value in node.outputs) for node in nodes)
    casts = sum(node.operator == "cast" for graph in module.graphs() for node in graph.nodes)
    return {
        "functions_in_half": len(functions),
        "nodes_in_half": in_half,
        "nodes_in_float32": len(nodes) - in_half,
        "casts": casts,
    }
