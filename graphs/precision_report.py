"""What half precision does to a module: both run on the same inputs, function by function."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coopdraw.graphs.half_arithmetic import HALVES, Failure, HalfArithmetic, Range
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.ops.precision import widen

Step = Callable[[int, int], None]
"""Called with the number of calls that the entry has made and will make."""


@dataclass(frozen=True)
class GraphPrecision:
    """One graph: what was rounded in it, and how far its outputs were from float32 at each of its `calls`.

    `errors` are root mean squares of the difference over those of the float32 output, the worst output of each call;
    they grow from call to call with what the calls before did to the inputs. The entry has one, for its outputs.
    """

    name: str
    in_half: bool
    range: Range
    errors: tuple[float, ...]
    failure: Failure | None


@dataclass(frozen=True)
class PrecisionReport:
    """The outputs of the entry in both precisions, every graph that ran, and where overflows began, in order."""

    wanted: Mapping[str, np.ndarray]
    found: Mapping[str, np.ndarray]
    graphs: tuple[GraphPrecision, ...]
    failures: tuple[Failure, ...]


def measure_precision(
    module: Module, converted: Module, inputs: Mapping[str, np.ndarray], step: Step = lambda done, total: None
) -> PrecisionReport:
    """Runs `module` as it is and `converted` (by HalfPrecision, of the same module without dead code) emulated.

    Outputs of calls wait for their counterparts in a temporary folder. Raises GraphError for inputs that don't fit.
    """
    total = 2 * sum(node.operator == "call" for node in module.entry.nodes)
    arithmetic = HalfArithmetic()
    with tempfile.TemporaryDirectory() as folder:
        calls = _Calls(module.entry.name, Path(folder), lambda done: step(done, total))
        wanted = run(module, inputs, observer=calls.store)
        calls.rewind()
        found = run(converted, inputs, observer=calls.compare, arithmetic=arithmetic)
    entry_error = max(relative_error(found[name], array) for name, array in wanted.items())
    errors = {module.entry.name: [entry_error], **calls.errors}
    graphs = tuple(
        GraphPrecision(
            graph.name,
            graph is not converted.entry and _computes_in_half(graph),
            arithmetic.ranges.get(graph.name, Range()),
            tuple(errors[graph.name]),
            arithmetic.failures.get(graph.name),
        )
        for graph in converted.graphs()
        if graph.name in errors
    )
    return PrecisionReport(wanted, found, graphs, tuple(arithmetic.failures.values()))


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Root mean square of the difference over that of `wanted`; infinite where something isn't a number."""
    exact = wanted.astype(np.float64)
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - exact))))
        size = float(np.sqrt(np.mean(np.square(exact))))
    if not np.isfinite(error):
        return float("inf")
    return error / size if size else error


def _computes_in_half(graph: Graph) -> bool:
    return any(value.type.dtype in HALVES for node in graph.nodes for value in node.outputs if node.operator != "cast")


class _Calls:
    """Observes a run and keeps what every call gave, then a second run and compares, call by call."""

    def __init__(self, entry: str, folder: Path, done: Callable[[int], None]) -> None:
        self.errors: dict[str, list[float]] = {}
        self._entry = entry
        self._folder = folder
        self._done = done
        self._finished = 0
        self._number = 0

    def store(self, graph: Graph, node: Node, results: Sequence[np.ndarray]) -> None:
        if node.operator == "call":
            for path, array in zip(self._paths(graph, len(results)), results, strict=True):
                np.save(path, widen(array))

    def rewind(self) -> None:
        """Between the runs."""
        self._number = 0

    def compare(self, graph: Graph, node: Node, results: Sequence[np.ndarray]) -> None:
        if node.operator != "call":
            return
        worst = 0.0
        for path, array in zip(self._paths(graph, len(results)), results, strict=True):
            worst = max(worst, relative_error(array, np.load(path, allow_pickle=False)))
            path.unlink()
        self.errors.setdefault(str(node.attributes["function"]), []).append(worst)

    def _paths(self, graph: Graph, outputs: int) -> list[Path]:
        self._number += 1
        if graph.name == self._entry:
            self._finished += 1
            self._done(self._finished)
        return [self._folder / f"{self._number}.{output}.npy" for output in range(outputs)]
