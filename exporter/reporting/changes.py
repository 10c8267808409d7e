"""What changed between two tables of settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from coopdraw.runtime.strict_json import JsonValue


@dataclass(frozen=True)
class Changes:
    """What only the second table has, what only the first has, and what both have with other values (first, second)."""

    added: Mapping[str, JsonValue] = field(default_factory=dict)
    removed: Mapping[str, JsonValue] = field(default_factory=dict)
    changed: Mapping[str, tuple[JsonValue, JsonValue]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def changes(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> Changes:
    """The difference of two tables."""
    return Changes(
        {name: after[name] for name in sorted(after.keys() - before.keys())},
        {name: before[name] for name in sorted(before.keys() - after.keys())},
        {
            name: (before[name], after[name])
            for name in sorted(before.keys() & after.keys())
            if repr(before[name]) != repr(after[name])  # == takes True for 1
        },
    )


def flat(value: JsonValue | Mapping[str, JsonValue], path: str = "") -> dict[str, JsonValue]:
    """The leaves of a tree by their dotted paths. Items of a list of objects go by their position."""
    return dict(_leaves(value, path))


def _leaves(value: JsonValue | Mapping[str, JsonValue], path: str) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and (value or not path):
        for name, item in value.items():
            key = json.dumps(name, ensure_ascii=False) if "." in name or "[" in name else name  # as TOML has it
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, dict(value) if isinstance(value, Mapping) else value
