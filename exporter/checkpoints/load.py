"""Opens checkpoints: configuration, and weights under the names that the built-in Cells have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.files import open_tensors, read_config
from coopdraw.exporter.checkpoints.infer import (
    infer_autoencoder_fields,
    infer_controlnet_fields,
    infer_t2i_adapter_fields,
    infer_unet_fields,
)
from coopdraw.exporter.checkpoints.layout import ModelKind, as_float32, to_released_layout
from coopdraw.exporter.models.configuration import (
    AutoencoderConfig,
    ControlNetConfig,
    ModelConfig,
    T2IAdapterConfig,
    UNetConfig,
    WordsConfig,
)
from coopdraw.exporter.models.diffusers_configuration import (
    autoencoder_config_from_diffusers,
    unet_config_from_diffusers,
)
from coopdraw.exporter.models.diffusers_control import (
    controlnet_config_from_diffusers,
    t2i_adapter_config_from_diffusers,
)
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight

CheckpointKind = Literal["unet", "controlnet", "t2i_adapter", "vae", "words"]

_OTHER_PARTS: Mapping[str, tuple[str, ...]] = {
    "encoder.": ("decoder.", "post_quant_conv."),
    "decoder.": ("encoder.", "quant_conv."),
    "zero_convs.": ("input_hint_block.",),
    "input_hint_block.": (
        "time_embed.",
        "label_emb.",
        "input_blocks.",
        "middle_block.",
        "middle_block_out.",
        "zero_convs.",
    ),
}
"""Models in two Cells: what one Cell has, and what its checkpoint may have for the other Cell."""
_LISTED = 20
_WORDS_KEYS = ("words", "context_length", "width")


@dataclass(frozen=True)
class Checkpoint:
    """An opened model: what it is and where its weights lie (names as in the Cells, values float32).

    `assumed` names the fields of `config` that neither the checkpoint nor the user gave; they are conventions.
    """

    config: ModelConfig
    weights: Mapping[str, Weight]
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
        return _open_network(kind, path, weights, config, overrides or {})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def match(weights: Mapping[str, Weight], expected: Mapping[str, TensorType], origin: str) -> dict[str, Weight]:
    """The weights that a Cell expects, each with the expected type.

    A VAE's other half, or a ControlNet's, may be there or not if `expected` has only one. Raises CheckpointError with
    the missing, unexpected and misshapen tensors, all at once.
    """
    unused = tuple(
        prefix
        for mark, others in _OTHER_PARTS.items()
        if _any_starts(expected, (mark,)) and not _any_starts(expected, others)
        for prefix in others
    )
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


@dataclass(frozen=True)
class _Architecture:
    """How the configuration of one kind of model is found out."""

    config: type[Any]
    from_diffusers: Callable[[Mapping[str, Any]], ModelConfig]
    infer: Callable[[Mapping[str, FileWeight], str], tuple[dict[str, Any], tuple[str, ...]]]


_ARCHITECTURES: Mapping[ModelKind, _Architecture] = {
    "unet": _Architecture(UNetConfig, unet_config_from_diffusers, infer_unet_fields),
    "controlnet": _Architecture(ControlNetConfig, controlnet_config_from_diffusers, infer_controlnet_fields),
    "t2i_adapter": _Architecture(T2IAdapterConfig, t2i_adapter_config_from_diffusers, infer_t2i_adapter_fields),
    "vae": _Architecture(AutoencoderConfig, autoencoder_config_from_diffusers, infer_autoencoder_fields),
}


def _open_network(
    kind: ModelKind,
    path: Path,
    weights: Mapping[str, FileWeight],
    config: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
) -> Checkpoint:
    architecture = _ARCHITECTURES[kind]
    assumed: tuple[str, ...] = ()
    if config is not None:
        found = architecture.from_diffusers(config)
        given = {field.name: getattr(found, field.name) for field in fields(found)}
    else:
        given, assumed = architecture.infer(weights, str(path))
        if kind == "vae" and "scaling_factor" not in overrides:
            raise ConfigurationError(
                "the checkpoint doesn't say its VAE's scaling factor; give scaling_factor in the model's config "
                "(0.13025 for SDXL and PanGu-Draw, 0.18215 for SD 1.x and 2.x)"
            )
    merged = merged_config(kind, given, overrides)
    return Checkpoint(merged, weights, tuple(name for name in assumed if name not in overrides))


def _open_words(
    path: Path, tensors: Mapping[str, FileWeight], config: Mapping[str, Any] | None, overrides: Mapping[str, Any]
) -> Checkpoint:
    if config is None or any(key not in config for key in _WORDS_KEYS):
        raise CheckpointError(f"{path} needs a config.json with {', '.join(_WORDS_KEYS)} to be a word encoder")
    given = {key: config[key] for key in _WORDS_KEYS}
    weights = {name: as_float32(name, weight, str(path)) for name, weight in tensors.items()}
    return Checkpoint(merged_config("words", given, overrides), weights)


def merged_config(kind: CheckpointKind, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a model: `given` fields, replaced by `overrides`.

    Raises ConfigurationError for an unknown or a missing field, and what the configuration itself refuses.
    """
    wanted: type[Any] = WordsConfig if kind == "words" else _ARCHITECTURES[kind].config
    known = [field.name for field in fields(wanted)]
    for key in overrides:
        if key not in known:
            raise ConfigurationError(f"the model's config has an unknown key {key}; known are {', '.join(known)}")
    merged = {**given, **overrides}
    needed = [field.name for field in fields(wanted) if field.default is MISSING and field.name not in merged]
    if needed:
        raise ConfigurationError(f"nothing says {', '.join(needed)} of the {kind}; give them in the model's config")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()}
    config: ModelConfig = wanted(**values)
    return config
