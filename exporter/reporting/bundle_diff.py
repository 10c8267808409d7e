"""What changed between two bundles."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from coopdraw.exporter.reporting.changes import Changes, changes, flat
from coopdraw.exporter.reporting.figures import weight_bytes
from coopdraw.exporter.reporting.step_changes import StepRange, changed_steps
from coopdraw.exporter.reporting.verification import read_verification
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.text import format_graph
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Manifest, WeightInfo
from coopdraw.runtime.strict_json import JsonValue


@dataclass(frozen=True)
class Steps:
    """Numbers of steps of both plans, and where they differ."""

    before: int
    after: int
    ranges: tuple[StepRange, ...]


@dataclass(frozen=True)
class FunctionChange:
    """A function that differs: its nodes, and every operator that one has more often than the other."""

    nodes: tuple[int, int]
    operators: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Functions:
    """Functions of the sampling graph, the entry included; of those that one alone has, the number of nodes."""

    added: Mapping[str, int]
    removed: Mapping[str, int]
    changed: Mapping[str, FunctionChange]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class WeightGroup:
    """Names of weights in alphabetical order, and their bytes in the first and the second bundle."""

    names: tuple[str, ...]
    bytes: tuple[int, int]


@dataclass(frozen=True)
class Weights:
    """Weights by name; one that changed has other bytes, another type or another shape."""

    added: WeightGroup
    removed: WeightGroup
    changed: WeightGroup

    def __bool__(self) -> bool:
        return bool(self.added.names or self.removed.names or self.changed.names)


@dataclass(frozen=True)
class BundleDiff:
    """All that differs; what is the same is empty. `other` is what none of the other parts shows."""

    bundle: Changes
    inputs: Changes
    outputs: Changes
    text_encoder: Changes
    steps: Steps
    models: Changes
    functions: Functions
    cost: Changes
    weights: Weights
    passes: Changes
    verification: Changes
    recipe: Changes
    tools: Changes
    files: Changes
    other: Changes = field(default_factory=Changes)

    def sections(self) -> dict[str, Any]:
        """Those that differ, by name."""
        found = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: part for name, part in found.items() if (part.ranges if isinstance(part, Steps) else part)}

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"equal": not self.sections(), **{name: asdict(part) for name, part in self.sections().items()}}


def compare_bundles(before: Bundle, after: Bundle, read: Callable[[Bundle], Module]) -> BundleDiff:
    """The difference of two bundles by their manifests and, where these say that the graphs differ, `read` graphs.

    The hashes of the manifests are taken at their word.
    """
    old, new = before.manifest, after.manifest
    old_tree, new_tree = (json.loads(manifest.to_json()) for manifest in (old, new))

    def differing(view: Callable[[dict[str, Any]], Mapping[str, JsonValue]]) -> Changes:
        return changes(view(old_tree), view(new_tree))

    functions, cost = Functions({}, {}, {}), Changes()
    if old.files.get(old.graph) != new.files.get(new.graph):
        modules = read(before), read(after)
        functions = _functions(*modules)
        cost = changes(*(asdict(measure(module)) for module in modules))
    found = BundleDiff(
        bundle=differing(lambda tree: {name: tree[name] for name in ("name", "graph")}),
        inputs=differing(lambda tree: _tensors(tree["inputs"])),
        outputs=differing(lambda tree: _tensors(tree["outputs"])),
        text_encoder=differing(lambda tree: flat(tree["text_encoder"] or {})),
        steps=Steps(len(old.steps), len(new.steps), changed_steps(old.steps, new.steps)),
        models=differing(lambda tree: flat(tree["models"])),
        functions=functions,
        cost=cost,
        weights=_weights(old.weights, new.weights),
        passes=_passes(old_tree["passes"], new_tree["passes"]),
        verification=changes(_verification(old), _verification(new)),
        recipe=differing(lambda tree: flat(tree["recipe"])),
        tools=differing(lambda tree: tree["tools"]),
        files=differing(lambda tree: tree["files"]),
    )
    return found if found.sections() else replace(found, other=differing(flat))


def _tensors(specs: list[dict[str, Any]]) -> dict[str, JsonValue]:
    """Tensors by name with their positions, since a graph gets and gives them in order."""
    return {
        spec["name"]: f"{position}: {spec['dtype']}{spec['shape']}, {spec['meaning']}"
        for position, spec in enumerate(specs)
    }


def _functions(before: Module, after: Module) -> Functions:
    old, new = ({graph.name: graph for graph in module.graphs()} for module in (before, after))
    common = sorted(old.keys() & new.keys())
    return Functions(
        {name: len(new[name].nodes) for name in sorted(new.keys() - old.keys())},
        {name: len(old[name].nodes) for name in sorted(old.keys() - new.keys())},
        {
            name: _function_change(old[name], new[name])
            for name in common
            if format_graph(old[name]) != format_graph(new[name])
        },
    )


def _function_change(before: Graph, after: Graph) -> FunctionChange:
    old, new = (Counter(node.operator for node in graph.nodes) for graph in (before, after))
    operators = {name: (old[name], new[name]) for name in sorted(old | new) if old[name] != new[name]}
    return FunctionChange((old.total(), new.total()), operators)


def _weights(before: Mapping[str, WeightInfo], after: Mapping[str, WeightInfo]) -> Weights:
    def group(names: set[str]) -> WeightGroup:
        sizes = (sum(weight_bytes(side[name]) for name in names if name in side) for side in (before, after))
        first, second = sizes
        return WeightGroup(tuple(sorted(names)), (first, second))

    common = before.keys() & after.keys()
    return Weights(
        group(set(after.keys() - common)),
        group(set(before.keys() - common)),
        group({name for name in common if before[name] != after[name]}),
    )


def _passes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Changes:
    """Reports by name; passes that only one has in one line each, and the order if both have the same."""
    old, new = _by_name(before), _by_name(after)
    tables = [_pass_table(*pair) for pair in ((old, new), (new, old))]
    if old.keys() == new.keys():
        tables = [table | {"order": list(names)} for table, names in zip(tables, (old, new), strict=True)]
    return changes(*tables)


def _by_name(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The second report of a pass is `name (2)`."""
    found: dict[str, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for report in reports:
        name = str(report.get("name"))
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = report
    return found


def _pass_table(reports: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for label, report in reports.items():
        if label not in others:
            found[label] = f"{report.get('rewrites', 'unknown')} rewrites"
            continue
        shown = {key: value for key, value in report.items() if key not in ("name", "misses") and value not in ({}, [])}
        found |= flat(shown, label)
        misses = report.get("misses")
        for miss in misses if isinstance(misses, list) else ():
            plain = miss if isinstance(miss, dict) else {"node": str(miss)}
            found[f"{label}.misses.{plain.get('graph')}:{plain.get('node')}"] = plain.get("reason")
    return found


def _verification(manifest: Manifest) -> dict[str, JsonValue]:
    """Figures by what they are of, the error budget by its worst error, and whatever else there is."""
    read = read_verification(manifest.verification)
    found: dict[str, JsonValue] = {} if read.passed is None else {"passed": read.passed}
    for check in read.checks:
        found |= {f"{check.what}, {check.unit}": check.figure, f"{check.what}, {check.side}": check.limit}
    if read.budget:
        found |= {"error budget, transfers": len(read.budget), "error budget, worst error": read.worst_error}
    return found | flat(read.others)
