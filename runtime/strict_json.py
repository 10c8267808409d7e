"""JSON from files that nobody vouches for: everything unexpected is a BundleError that names the place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from coopdraw.runtime.errors import BundleError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

Item = TypeVar("Item")

LARGEST_INTEGER = 2**63 - 1
DEEPEST_NESTING = 64


def parse_json(text: str, source: str) -> JsonValue:
    """Parses JSON; raises BundleError for bad syntax, duplicate keys, deep nesting, numbers that are not finite
    or don't fit in 64 bits, control characters and lone surrogates. `source` is the file that messages name."""

    def unique(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        result = dict(pairs)
        if len(result) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise BundleError(f"{source}: key {twice!r} is there twice; compile the bundle again")
        return result

    try:
        value: JsonValue = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{source} is not valid JSON ({error}); compile the bundle again") from error
    _check_values(value, source, DEEPEST_NESTING)
    return value


def _check_values(value: JsonValue, source: str, depth: int) -> None:
    if depth == 0:
        raise BundleError(f"{source} nests more than {DEEPEST_NESTING} levels deep; compile the bundle again")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, source)
            _check_values(item, source, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_values(item, source, depth - 1)
    elif isinstance(value, str):
        _check_text(value, source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BundleError(f"{source} has the number {value}, which is not finite; compile the bundle again")
    elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise BundleError(f"{source} has an integer of more than 64 bits; compile the bundle again")


def _check_text(text: str, source: str) -> None:
    # Text from a bundle is printed on terminals, which would obey escape sequences.
    if any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise BundleError(f"{source} has control characters in {text!r}; compile the bundle again")


class Fields:
    """Reads the members of one JSON object; `place` is its dotted path, which messages name.

    Every method raises BundleError when the member is missing or is not what the method says. `finish` raises it for
    members that nobody read.
    """

    def __init__(self, value: JsonValue, source: str, place: str = "") -> None:
        self._source = source
        self._place = place
        if not isinstance(value, dict):
            raise self._wrong(place or "the file", "an object", value)
        self._members = value
        self._read: set[str] = set()

    def _wrong(self, place: str, wanted: str, found: JsonValue) -> BundleError:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return BundleError(f"{self._source}: {place} must be {wanted}, but is {shown}; compile the bundle again")

    def _path(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def refuse(self, key: str, wanted: str) -> BundleError:
        """The error for a member whose value has the right type but can't be."""
        return self._wrong(self._path(key), wanted, self._members.get(key))

    def value(self, key: str) -> JsonValue:
        """The member as it is, whatever its type."""
        if key not in self._members:
            raise BundleError(f"{self._source} has no {self._path(key)}; compile the bundle again")
        self._read.add(key)
        return self._members[key]

    def text(self, key: str) -> str:
        """A string that is not empty."""
        found = self.value(key)
        if not isinstance(found, str) or not found:
            raise self.refuse(key, "a string that is not empty")
        return found

    def integer(self, key: str, least: int, most: int = LARGEST_INTEGER) -> int:
        found = self.value(key)
        if type(found) is not int or not least <= found <= most:
            raise self.refuse(key, f"an integer from {least} to {most}")
        return found

    def number(self, key: str, least: float) -> float:
        """A finite number; integers are numbers too."""
        found = self.value(key)
        if type(found) not in (int, float) or not isinstance(found, (int, float)) or found < least:
            raise self.refuse(key, f"a number of at least {least}")
        return float(found)

    def object(self, key: str) -> dict[str, JsonValue]:
        found = self.value(key)
        if not isinstance(found, dict):
            raise self.refuse(key, "an object")
        return found

    def texts(self, key: str) -> dict[str, str]:
        """An object whose values are all strings."""
        found = {name: text for name, text in self.object(key).items() if isinstance(text, str)}
        if len(found) != len(self.object(key)):
            raise self.refuse(key, "an object of strings")
        return found

    def array(self, key: str) -> list[JsonValue]:
        found = self.value(key)
        if not isinstance(found, list):
            raise self.refuse(key, "a list")
        return found

    def fields(self, key: str) -> Fields:
        return Fields(self.value(key), self._source, self._path(key))

    def each(self, key: str, read: Callable[[Fields], Item]) -> tuple[Item, ...]:
        """`read` of every object of a list."""
        items = []
        for index, item in enumerate(self.array(key)):
            fields = Fields(item, self._source, f"{self._path(key)}[{index}]")
            items.append(read(fields))
            fields.finish()
        return tuple(items)

    def each_named(self, key: str, read: Callable[[Fields], Item]) -> dict[str, Item]:
        """`read` of every object of an object of objects."""
        items = {}
        for name, item in self.object(key).items():
            fields = Fields(item, self._source, f"{self._path(key)}.{name}")
            items[name] = read(fields)
            fields.finish()
        return items

    def finish(self) -> None:
        unknown = sorted(set(self._members) - self._read)
        if unknown:
            raise BundleError(
                f"{self._source}: {self._path(unknown[0])} is unknown to this version; "
                "use the version of coopdraw that wrote the bundle"
            )
