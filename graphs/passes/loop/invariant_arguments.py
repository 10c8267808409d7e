"""Computes once what a function would compute at every step from arguments that stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Miss, Pass, PassResult
from coopdraw.graphs.passes.constant_region import Region, call_sites, region
from coopdraw.graphs.passes.costs import Work, callers_first, measure, savings
from coopdraw.graphs.passes.loop.invariant_region import InvariantRegion, LoopAnalysis, groups_of_calls
from coopdraw.graphs.passes.rewriter import Rewriter, free_name


@dataclass(frozen=True)
class HoistInvariantArguments(Pass):
    """Cuts from functions what depends on arguments that are the same at several calls, and computes it before them.

    A loop that is unrolled into calls passes the conditions of every step as the same values: the keys and values of
    cross-attention over the text, or the embedding of a label, then move into a function `<name>.invariants`. It is
    called once for each group of calls with equal arguments, just before the first of them, and its results are passed
    to all of them. Two arguments are equal if they are one value of the caller: run common-subexpressions before.

    The cut: of all that can be computed from repeated arguments, every node with FLOPs moves, with what it reads; so no
    FLOPs are left behind, and a call reads a result from memory where it read what it had just computed itself. A node
    without FLOPs moves if it feeds one of those, or if the calls pass no more bytes with it than without it: a
    transpose of a result is done once as well, a broadcast stays. Weights and constants, and work on them alone, stay
    in the function, since compilers for devices fold that themselves. Which arguments count as repeated: those with at
    most n distinct values over the calls, n chosen so that most FLOPs are saved; the rest and the new function are then
    looked at again in the same way.

    Calls inside other functions form groups there, and from there their work leaves with the caller's; a function that
    is called once in a caller that repeats is a miss, since only inline-functions can open the caller.

    A function is left alone if all values that wait for their calls would exceed `limit_bytes` in total. Results are
    equal bit by bit: the same operators run on the same operands. Beside the usual savings, the notes have
    `values_passed`, `bytes_passed` (all evaluations together), and what one call of each function that was cut saves:
    `flops_saved_per_call` and `bytes_saved_per_call`.
    """

    name = "hoist-invariant-arguments"
    limit_bytes: int = 256 << 20

    def run(self, module: Module) -> PassResult:
        hoisting = _Hoisting(module, self.limit_bytes)
        waiting = [graph.name for graph in callers_first(module) if graph is not module.entry]
        while waiting:
            made = hoisting.cut(waiting[-1])
            if made is None:
                waiting.pop()
            else:
                waiting.append(made)
        hoisting.look_into_callers()
        found = hoisting.module
        notes = savings(module, found) | hoisting.notes()
        return PassResult(found, hoisting.rewrites > 0, hoisting.rewrites, tuple(hoisting.misses), notes)


class _Hoisting:
    """The module while functions are cut."""

    def __init__(self, module: Module, limit: int) -> None:
        self.module = module
        self.rewrites = 0
        self.misses: list[Miss] = []
        self._limit = limit
        self._values = self._nbytes = 0
        self._work = Work()

    def cut(self, name: str) -> str | None:
        """Cuts a function once; the name of the new function, or None where nothing is left to gain."""
        if name not in self.module.functions:
            return None
        found = LoopAnalysis(self.module).find(name)
        if found is None:
            return None
        taken = {graph.name for graph in self.module.graphs()}
        body = replace(found.part.body, name=free_name(f"{name}.invariants", taken))
        after = _cut(self.module, found.part, body)
        reason = self._refuse(found, after)
        if reason is not None:
            self._miss(found.part, reason)
            return None
        self.module = after
        self.rewrites += 1
        self._values += len(body.outputs)
        self._nbytes += found.nbytes
        self._work += found.work
        return body.name

    def notes(self) -> dict[str, int]:
        numbers = {
            "values_passed": self._values,
            "bytes_passed": self._nbytes,
            "flops_saved_per_call": self._work.flops,
            "bytes_saved_per_call": self._work.bytes_moved,
        }
        return {name: number for name, number in numbers.items() if number}

    def _refuse(self, found: InvariantRegion, after: Module) -> str | None:
        if self._nbytes + found.nbytes > self._limit:
            return (
                f"its calls would pass {found.nbytes} bytes; {self._nbytes} of the limit of {self._limit} "
                "(limit_bytes) are used already"
            )
        if measure(after).flops >= measure(self.module).flops:
            return "both parts would need what the function computes from its weights, which costs more than is saved"
        return None

    def look_into_callers(self) -> None:
        """Names the functions that could be cut if what calls them once weren't a function that runs several times."""
        analysis = LoopAnalysis(self.module)
        for name in self.module.functions:
            if analysis.find(name) is None:
                self._look_into_callers_of(name, analysis)

    def _look_into_callers_of(self, name: str, analysis: LoopAnalysis) -> None:
        for caller, call in call_sites(self.module, name):
            if caller is self.module.entry:
                continue
            known = region(caller, analysis.repeated_arguments(caller.name)).values
            arguments = [index for index, value in enumerate(call.inputs) if value in known]
            part = analysis.shrink(region(self.module.functions[name], arguments))
            if analysis.work(part).flops:
                reason = (
                    f"it is called inside {caller.name}, which gets equal arguments in several of its "
                    f"{analysis.runs[caller.name]} runs; inline {caller.name} first"
                )
                self._miss(part, reason)
                return

    def _miss(self, part: Region, reason: str) -> None:
        first = part.function.producers[part.computed[0]]
        self.misses.append(Miss(part.function.name, first.where(), reason))


def _cut(module: Module, part: Region, body: Graph) -> Module:
    """The module with `body` as a function of its own and every call of the shrunk function."""
    sites = call_sites(module, part.function.name)
    function = part.rest({})
    functions = {**module.functions, body.name: body, function.name: function}
    if not function.outputs:
        del functions[function.name]
    after = replace(module, functions=functions)
    for graph in dict.fromkeys(graph for graph, _ in sites):
        groups = groups_of_calls([(caller, node) for caller, node in sites if caller is graph], part.arguments)
        rewriter = Rewriter(graph)
        for (_, arguments), calls in groups.items():
            _rewrite_group(rewriter, part, body, arguments, calls)
        after = after.with_graph(rewriter.finish())
    return after


def _rewrite_group(
    rewriter: Rewriter, part: Region, body: Graph, arguments: tuple[Value, ...], calls: Sequence[Node]
) -> None:
    """One call of `body` before the first of `calls`, its results handed to each of them."""
    name = part.function.name
    results = tuple(Value(rewriter.unique_name(f"{name}.{value.name}"), value.type) for value in body.outputs)
    given = dict(zip(part.parameters, arguments, strict=True)) | dict(zip(body.outputs, results, strict=True))
    before = [Node("call", arguments, results, {"function": body.name}, calls[0].source)]
    for call in calls:
        inputs = [call.inputs[index] for index in part.kept_inputs(())]
        inputs += [given[value] for value in part.new_inputs(())]
        for output, value in zip(call.outputs, part.function.outputs, strict=True):
            if value in part.values:
                rewriter.replace(output, given[value])
        outputs = tuple(call.outputs[index] for index in part.kept_outputs())
        shrunk = [replace(call, inputs=tuple(inputs), outputs=outputs)] if outputs else []
        rewriter.exchange(call, [*before, *shrunk])
        before = []
