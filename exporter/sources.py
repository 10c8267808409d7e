"""Where a model's configuration and weights come from: a recipe's checkpoints, or a bundle that was made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.exporter.checkpoints.safetensors import open_safetensors
from coopdraw.exporter.models.configuration import AutoencoderConfig, ModelConfig, UNetConfig, WordsConfig
from coopdraw.exporter.recipe import Recipe
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.weights import Weight
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError

Kind = Literal["unet", "vae", "words"]
REFERENCE_WEIGHTS = "reference/weights.safetensors"
_CONFIGS: dict[str, type[UNetConfig] | type[AutoencoderConfig] | type[WordsConfig]] = {
    "unet": UNetConfig,
    "vae": AutoencoderConfig,
    "words": WordsConfig,
}


@dataclass(frozen=True)
class OpenedModel:
    """A model's configuration and weights by reference, named as in the released layout without prefix."""

    name: str
    kind: Kind
    config: ModelConfig
    weights: Mapping[str, Weight]


class ModelSource(ABC):
    """Opens models by the name they have in the recipe."""

    @abstractmethod
    def open(self, name: str, kind: Kind) -> OpenedModel:
        """Raises an error with the fix if the model is damaged, of another kind or not there."""


@dataclass(frozen=True)
class CheckpointSource(ModelSource):
    """The checkpoints that a recipe names."""

    recipe: Recipe

    def open(self, name: str, kind: Kind) -> OpenedModel:
        checkpoint = open_checkpoint(self.recipe.weights_path(name), kind, self.recipe.models[name].config or None)
        return OpenedModel(name, kind, checkpoint.config, checkpoint.weights)


@dataclass(frozen=True)
class BundleSource(ModelSource):
    """The weights inside a bundle: those of its graphs, and beside them those that passes folded away."""

    bundle: Bundle
    _weights: dict[str, Weight] = field(default_factory=dict, compare=False)

    def open(self, name: str, kind: Kind) -> OpenedModel:
        model = self.bundle.manifest.models.get(name)
        if model is None or model.kind != kind:
            raise BundleError(f"the manifest has no model {name} of kind {kind}; verify with --recipe")
        if not self._weights:
            self._weights.update(self._stored())
        parts = [part.removeprefix(f"{name}.") for part in self._weights if part.startswith(f"{name}.")]
        weights = {part.partition(".")[2]: self._weights[f"{name}.{part}"] for part in parts}
        return OpenedModel(name, kind, config_from_json(kind, model.config), weights)

    def _stored(self) -> dict[str, Weight]:
        paths = [self.bundle.graph_path, self.bundle.text_encoder_path]
        weights: dict[str, Weight] = {}
        for path in paths:
            weights |= dict(read_mindir(path).weights) if path is not None else {}
        reference = self.bundle.folder / REFERENCE_WEIGHTS
        return weights | (dict(open_safetensors(reference)) if reference.is_file() else {})


def config_from_json(kind: Kind, stored: Mapping[str, Any]) -> ModelConfig:
    """A configuration from a manifest; raises BundleError for one of another version."""
    wanted = _CONFIGS[kind]
    known = {item.name for item in fields(wanted)}
    if set(stored) != known:
        raise BundleError(f"the manifest's config of a {kind} has other keys than this version; verify with --recipe")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    return wanted(**values)
