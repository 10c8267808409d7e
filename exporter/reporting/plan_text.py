"""The step plan as lines of characters: a row for every actor, a column for every step or group of steps."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from coopdraw.exporter.reporting.plan import Lane, marked_steps, place_labels, plan_lanes
from coopdraw.runtime.manifest import Step

_WIDEST_STEP = 4
_FEWEST_COLUMNS = 10
_GAP = "  "


def draw_plan(steps: Sequence[Step], width: int, ascii_only: bool = False) -> list[str]:
    """Lines of at most `width` terminal cells, if that is 40 or more.

    Steps have up to four cells each; if there are more steps than cells, a column stands for several steps. The header
    has step, t and sigma of the first and the last step and of those at which the actors change, as far as they fit.
    """
    lanes = plan_lanes(steps)
    names_width = min(max(cell_len(lane.name) for lane in lanes), max(8, width // 3))
    roles_width = max(len(lane.role) for lane in lanes)
    cells = max(_FEWEST_COLUMNS, width - names_width - roles_width - 2 * len(_GAP))
    grouped = -(-len(steps) // cells)
    columns = -(-len(steps) // grouped)
    step_width = min(_WIDEST_STEP, cells // columns)
    margin = " " * roles_width

    def line(name: str, role: str, content: str) -> str:
        return _GAP.join(
            (_fit(name, names_width, "~" if ascii_only else "…"), role.ljust(roles_width), content)
        ).rstrip()

    header = _header(steps, grouped, step_width, columns * step_width)
    lines = [line(name, margin, content) for name, content in header.items()]
    full, part, none = "#+." if ascii_only else "█▒·"
    for lane in lanes:
        marks = (_mark(lane, first, grouped, full, part, none) for first in range(0, len(steps), grouped))
        lines.append(line(lane.name, lane.role, "".join(_cell(mark, step_width) for mark in marks)))
    if grouped > 1:
        lines.append(line("", margin, f"{full} {grouped} steps, {part} some"))
    return lines


def _header(steps: Sequence[Step], grouped: int, step_width: int, end: int) -> dict[str, str]:
    marked = marked_steps(steps)
    texts = {
        "step": [str(step.step) for step in marked],
        "t": [str(step.t) for step in marked],
        "sigma": [f"{step.sigma:.3g}" for step in marked],
    }
    wanted = [step.step // grouped * step_width for step in marked]
    return {name: _label_row(labels, wanted, end) for name, labels in texts.items()}


def _label_row(labels: Sequence[str], wanted: Sequence[int], end: int) -> str:
    # Labels keep one cell between them, so each is taken to be one longer.
    placed = place_labels(wanted, [len(label) + 1 for label in labels], end + 1)
    row = ""
    for start, label in zip(placed, labels, strict=True):
        if start is not None:
            row = row.ljust(int(start)) + label
    return row


def _mark(lane: Lane, first: int, grouped: int, full: str, part: str, none: str) -> str:
    acts = lane.active[first : first + grouped]
    return full if all(acts) else part if any(acts) else none


def _cell(mark: str, width: int) -> str:
    """Steps that are wide enough are kept apart."""
    return mark if width == 1 else mark * (width - 1) + " "


def _fit(name: str, width: int, ellipsis: str) -> str:
    """The name on one line, cut and filled up to `width` cells."""
    shown = " ".join(name.split())
    if cell_len(shown) > width:
        shown = set_cell_size(shown, width - cell_len(ellipsis)) + ellipsis
    return set_cell_size(shown, width)
