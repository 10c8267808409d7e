"""Reads the values of diffusers' config.json and refuses, with key and value, those that the built-in models lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coopdraw.exporter.models.errors import ConfigurationError


def refuse(key: str, value: object, supported: str) -> ConfigurationError:
    """What to raise for a value other than the `supported` ones."""
    return ConfigurationError(f"config.json has {key} = {value!r}, but the built-in model takes {supported}")


def check_class(config: Mapping[str, Any], wanted: str) -> None:
    """Refuses the config of another class; one that doesn't say its class is taken at its word."""
    found = config.get("_class_name", wanted)
    if found != wanted:
        raise refuse("_class_name", found, wanted)


def check_fixed(values: Mapping[str, Any], defaults: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Refuses keys with another value than the default."""
    for key in keys:
        check_choice(values, key, (defaults[key],))


def check_choice(values: Mapping[str, Any], key: str, choices: tuple[Any, ...]) -> None:
    """Refuses a key whose value is none of `choices`."""
    if values[key] not in choices:
        raise refuse(key, values[key], " or ".join(repr(choice) for choice in choices))


def required(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key that has no default."""
    if key not in values:
        raise ConfigurationError(f"config.json has no {key}; use the config.json that came with the weights")
    return values[key]


def integers(values: Mapping[str, Any], key: str, count: int | None) -> tuple[int, ...]:
    """A list of `count` integers (None for any number); one integer stands for all levels."""
    value = required(values, key)
    if count is not None and isinstance(value, int) and not isinstance(value, bool):
        return (value,) * count
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, int) for item in value):
        raise refuse(key, value, "a list of integers")
    if count is not None and len(value) != count:
        raise refuse(key, value, f"{count} entries, one per entry of block_out_channels")
    return tuple(value)


def same_everywhere(values: Mapping[str, Any], key: str) -> int:
    """An integer, given once or equal for all levels."""
    value = required(values, key)
    found = set(value) if isinstance(value, list | tuple) else {value}
    only = found.pop() if len(found) == 1 else None
    if not isinstance(only, int) or isinstance(only, bool):
        raise refuse(key, value, "one integer for all levels")
    return only


def channel_mult(channels: tuple[int, ...]) -> tuple[int, ...]:
    """`block_out_channels` as multiples of the first entry."""
    if channels[0] < 1 or any(width % channels[0] for width in channels):
        raise refuse("block_out_channels", channels, "multiples of the first entry")
    return tuple(width // channels[0] for width in channels)


def check_block_types(values: Mapping[str, Any], key: str, choices: tuple[str, ...], levels: int) -> tuple[str, ...]:
    """The type of each level's block; all the first of `choices` if the config doesn't say."""
    types = values.get(key, (choices[0],) * levels)
    if not isinstance(types, list | tuple) or len(types) != levels or not all(name in choices for name in types):
        raise refuse(key, types, f"{levels} entries of {' or '.join(choices)}")
    return tuple(types)
