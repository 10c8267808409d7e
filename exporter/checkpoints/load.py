"""Opens checkpoints: configuration, and weights under the names that the built-in Cells have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.files import open_tensors, read_config
from coopdraw.exporter.checkpoints.infer import infer_autoencoder_fields, infer_unet_fields
from coopdraw.exporter.checkpoints.layout import as_float32, to_released_layout
from coopdraw.exporter.models.configuration import AutoencoderConfig, ModelConfig, UNetConfig, WordsConfig
from coopdraw.exporter.models.diffusers_configuration import (
    autoencoder_config_from_diffusers,
    unet_config_from_diffusers,
)
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight

CheckpointKind = Literal["unet", "vae", "words"]

_VAE_HALVES = (("encoder.", "quant_conv."), ("decoder.", "post_quant_conv."))
_LISTED = 20
_WORDS_KEYS = ("words", "context_length", "width")


@dataclass(frozen=True)
class Checkpoint:
    """An opened model: what it is and where its weights lie (names as in the Cells, values float32).

    `assumed` names the fields of `config` that neither the checkpoint nor the user gave; they are conventions.
    """

    config: ModelConfig
    weights: Mapping[str, FileWeight]
    assumed: tuple[str, ...] = ()


def open_checkpoint(path: Path, kind: CheckpointKind, overrides: Mapping[str, Any] | None = None) -> Checkpoint:
    """Maps a checkpoint without reading its values.

    `path` is a folder (diffusers' or with a single file), a .safetensors or MindSpore .ckpt file, or a shard index.
    `overrides` replaces fields of the configuration. Raises CheckpointError (not found, unknown layout, other kind of
    model), ConfigurationError (architecture) or WeightError (damaged file).
    """
    tensors = open_tensors(path)
    config = read_config(path)
    try:
        if kind == "words":
            return _open_words(path, tensors, config, overrides or {})
        weights = to_released_layout(tensors, kind, str(path))
        return (_open_unet if kind == "unet" else _open_vae)(path, weights, config, overrides or {})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def match(weights: Mapping[str, Weight], expected: Mapping[str, TensorType], origin: str) -> dict[str, Weight]:
    """The weights that a Cell expects, each with the expected type.

    A VAE's other half may be there or not if `expected` has only one. Raises CheckpointError with the missing,
    unexpected and misshapen tensors, all at once.
    """
    unused = tuple(prefix for half in _VAE_HALVES if not _any_starts(expected, half) for prefix in half)
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected and not name.startswith(unused)]
    misshapen = [
        f"{name} {list(weights[name].type.shape)} instead of {list(type.shape)}"
        for name, type in expected.items()
        if name in weights and weights[name].type.shape != type.shape
    ]
    if missing or unexpected or misshapen:
        found = [_listing("missing", missing), _listing("unexpected", unexpected), _listing("misshapen", misshapen)]
        raise CheckpointError(
            f"{origin} does not fit the model: {'; '.join(part for part in found if part)}; "
            "check the model's config and that the checkpoint is the right one"
        )
    return {name: _as_type(weights[name], type) for name, type in expected.items()}


def _any_starts(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)


def _as_type(weight: Weight, type: TensorType) -> Weight:
    if weight.type == type:
        return weight
    if isinstance(weight, FileWeight):
        return weight.as_type(type)
    return ArrayWeight(weight.read().astype(type.dtype.numpy))


def _listing(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {title} ({', '.join(names[:_LISTED])}{more})"


def _open_unet(
    path: Path, weights: Mapping[str, FileWeight], config: Mapping[str, Any] | None, overrides: Mapping[str, Any]
) -> Checkpoint:
    assumed: tuple[str, ...] = ()
    if config is not None:
        given = _field_values(unet_config_from_diffusers(config))
    else:
        given, assumed = infer_unet_fields(weights, str(path))
    return Checkpoint(UNetConfig(**_merge(UNetConfig, given, overrides)), weights, _without(assumed, overrides))


def _open_vae(
    path: Path, weights: Mapping[str, FileWeight], config: Mapping[str, Any] | None, overrides: Mapping[str, Any]
) -> Checkpoint:
    assumed: tuple[str, ...] = ()
    if config is not None:
        given = _field_values(autoencoder_config_from_diffusers(config))
    else:
        given, assumed = infer_autoencoder_fields(weights, str(path))
        if "scaling_factor" not in overrides:
            raise ConfigurationError(
                "the checkpoint doesn't say its VAE's scaling factor; give scaling_factor in the model's config "
                "(0.13025 for SDXL and PanGu-Draw, 0.18215 for SD 1.x and 2.x)"
            )
    merged = _merge(AutoencoderConfig, given, overrides)
    return Checkpoint(AutoencoderConfig(**merged), weights, _without(assumed, overrides))


def _open_words(
    path: Path, tensors: Mapping[str, FileWeight], config: Mapping[str, Any] | None, overrides: Mapping[str, Any]
) -> Checkpoint:
    if config is None or any(key not in config for key in _WORDS_KEYS):
        raise CheckpointError(f"{path} needs a config.json with {', '.join(_WORDS_KEYS)} to be a word encoder")
    given = {key: config[key] for key in _WORDS_KEYS}
    weights = {name: as_float32(name, weight, str(path)) for name, weight in tensors.items()}
    return Checkpoint(WordsConfig(**_merge(WordsConfig, given, overrides)), weights)


def _field_values(config: UNetConfig | AutoencoderConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config)}


def _merge(kind: type, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    known = [field.name for field in fields(kind)]
    for key in overrides:
        if key not in known:
            raise ConfigurationError(f"the model's config has an unknown key {key}; known are {', '.join(known)}")
    merged = {**given, **overrides}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()}


def _without(names: Iterable[str], overrides: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in overrides)
