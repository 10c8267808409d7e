"""An explanation as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from coopdraw.exporter.reporting.explanation import (
    CellExplanation,
    Explanation,
    MissedPlace,
    NamedType,
    Neighbour,
    NodeCost,
    PassReport,
)
from coopdraw.exporter.reporting.figures import count_text, share_text, size_text
from coopdraw.runtime.strict_json import JsonValue

_MOST_ROWS = 12  # of users and of weights
_LABEL_WIDTH = 12


def explanation_lines(found: Explanation) -> Iterator[str]:
    """One node: a label on the left, whatever belongs to it on the right."""
    yield f"{found.function}:%{found.name}"
    attributes = ", ".join(f"{name} = {_attribute(value)}" for name, value in found.attributes.items())
    yield from _section("operator", [f"{found.operator}{f' {{{attributes}}}' if attributes else ''}"])
    yield from _section("output", [f"%{output.name}: {output.type}" for output in found.outputs])
    yield from _section("Cell", [found.cell or "none"])
    yield from _section("passes", [_pass_line(report, found.function) for report in found.passes] or ["none"])
    yield from _section("misses", _miss_lines(found.misses))
    yield from _section("inputs", _columns(_neighbour_row(value) for value in found.inputs))
    yield from _section("users", _shortened(_columns(_neighbour_row(value) for value in found.users)))
    yield from _section("returned", [f"as {name}" for name in found.returned_as])
    yield from _section("cost", _cost_lines(found.cost))
    yield from _section("weights", _weight_lines(found.weights))


def cell_lines(found: CellExplanation) -> Iterator[str]:
    """A Cell: its nodes in a table, then what belongs to all of them."""
    yield f"{found.function}:@{found.cell}"
    rows = [("node", "operator", "type", "loop FLOPs", "Cell", "passes")]
    for node in found.nodes:
        share, passes = share_text(node.cost.flops_share), ", ".join(node.passes)
        rows.append((f"%{node.name}", node.operator, node.type, share, node.cell, passes))
    yield from (f"  {line}" for line in _columns(rows))
    yield from _section("misses", _miss_lines(found.misses))
    yield from _section("cost", _cost_lines(found.cost))


def _section(label: str, lines: Iterable[str]) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"  {'' if index else label:{_LABEL_WIDTH}}{line}".rstrip()


def _attribute(value: JsonValue) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_attribute, value))}]"
    return value if isinstance(value, str) else str(value).lower()


def _pass_line(report: PassReport, function: str) -> str:
    if report.rewrites is None:
        return report.name
    notes = "".join(f", {name} {number}" for name, number in report.notes.items())
    return f"{report.name}: {report.rewrites} rewrites in the whole graph{notes}; {report.misses} misses in {function}"


def _miss_lines(misses: Sequence[MissedPlace]) -> list[str]:
    return [f"{miss.by} left {miss.node} alone: {miss.reason}" for miss in misses]


def _neighbour_row(value: Neighbour) -> tuple[str, ...]:
    return f"%{value.name}", value.type, value.operator, value.cell


def _cost_lines(cost: NodeCost) -> list[str]:
    calls = f"a call, {cost.calls} call{'' if cost.calls == 1 else 's'} a run"
    flops, flops_of_loop = count_text(cost.flops), count_text(cost.loop_flops)
    moved, moved_in_loop = size_text(cost.bytes_moved), size_text(cost.loop_bytes_moved)
    return [
        f"{flops} FLOPs {calls}: {flops_of_loop}, {share_text(cost.flops_share)} of the loop",
        f"{moved} moved {calls}: {moved_in_loop}, {share_text(cost.bytes_share)} of the loop",
    ]


def _weight_lines(weights: Sequence[NamedType]) -> list[str]:
    lines = _shortened(_columns((weight.name, weight.type, size_text(weight.bytes)) for weight in weights))
    if len(weights) > 1:
        lines.append(f"{len(weights)} weights, {size_text(sum(weight.bytes for weight in weights))}")
    return lines


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_ROWS
    return [*lines[:_MOST_ROWS], f"and {more} more; --json lists all"] if more > 0 else lines


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows with their cells below each other."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return [line.rstrip() for line in lines]
