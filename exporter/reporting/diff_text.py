"""The difference of two bundles as lines of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from coopdraw.exporter.reporting.bundle_diff import BundleDiff, Functions, Steps, Weights
from coopdraw.exporter.reporting.changes import Changes
from coopdraw.exporter.reporting.figures import count_text, size_text

_MOST_LINES = 20  # of one part
_MOST_NAMES = 5  # of weights
_LONGEST_VALUE = 80
_HASH_DIGITS = 12


def diff_lines(diff: BundleDiff) -> Iterator[str]:
    """A heading for every part that differs; below it `-` what only the first bundle has, `+` what only the second has,
    `~` what changed."""
    for name, part in diff.sections().items():
        yield name.replace("_", " ")
        lines = list(_PARTS.get(name, _change_lines)(part))
        yield from (f"  {line}" for line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield f"  and {len(lines) - _MOST_LINES} more; --json lists all"


def _change_lines(part: Changes, show: Callable[[Any], str] | None = None) -> Iterator[str]:
    show = show or _value
    yield from (f"- {name}: {show(value)}" for name, value in part.removed.items())
    yield from (f"+ {name}: {show(value)}" for name, value in part.added.items())
    yield from (f"~ {name}: {show(old)} -> {show(new)}" for name, (old, new) in part.changed.items())


def _hash_lines(part: Changes) -> Iterator[str]:
    return _change_lines(part, lambda sha256: str(sha256)[:_HASH_DIGITS])


def _cost_lines(part: Changes) -> Iterator[str]:
    for name, (old, new) in part.changed.items():
        text = size_text if "bytes" in name else count_text
        ratio = f", {new / old:.3f} times" if old else ""  # type: ignore[operator]  # both are whole numbers
        yield f"~ {name}: {text(old)} -> {text(new)}{ratio}"  # type: ignore[arg-type]


def _step_lines(part: Steps) -> Iterator[str]:
    if part.before != part.after:
        yield f"~ number: {part.before} -> {part.after}"
    for steps in part.ranges:
        place = f"step {steps.first}" if steps.first == steps.last else f"steps {steps.first} to {steps.last}"
        if not steps.before or not steps.after:
            values = steps.before or steps.after
            texts = [f"{name} {_step_value(value)}" for name, value in values.items() if value]
            yield f"{'-' if steps.before else '+'} {place}: {', '.join(texts)}"
            continue
        texts = [f"{n} {_step_value(old)} -> {_step_value(steps.after[n])}" for n, old in steps.before.items()]
        yield f"~ {place}: {', '.join(texts)}"


def _step_value(value: Sequence[float | str]) -> str:
    """The first and the last of figures, once if they are the same; all of names."""
    if not value:
        return "none"
    if isinstance(value[0], str):
        return "+".join(map(str, value))
    return " to ".join(dict.fromkeys(f"{figure:.4g}" for figure in value))


def _function_lines(part: Functions) -> Iterator[str]:
    yield from (f"- {name}: {nodes} nodes" for name, nodes in part.removed.items())
    yield from (f"+ {name}: {nodes} nodes" for name, nodes in part.added.items())
    for name, change in part.changed.items():
        old, new = change.nodes
        operators = ", ".join(f"{operator} {a} -> {b}" for operator, (a, b) in change.operators.items())
        nodes = f"{old} -> {new} nodes" if old != new else f"{old} nodes"
        yield f"~ {name}: {nodes}; {operators or 'the same operators, used in another way'}"


def _weight_lines(part: Weights) -> Iterator[str]:
    for mark, group in (("-", part.removed), ("+", part.added), ("~", part.changed)):
        if group.names:
            sizes = dict.fromkeys(size_text(size) for size in group.bytes if size)
            names = [*group.names[:_MOST_NAMES], *(["..."] if len(group.names) > _MOST_NAMES else [])]
            yield f"{mark} {len(group.names)} weights, {' -> '.join(sizes)}: {', '.join(names)}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


_PARTS: dict[str, Callable[[Any], Iterable[str]]] = {
    "steps": _step_lines,
    "functions": _function_lines,
    "cost": _cost_lines,
    "weights": _weight_lines,
    "files": _hash_lines,
}
