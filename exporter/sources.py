"""Where a model's configuration and weights come from: a recipe's checkpoints, or a bundle that was made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from coopdraw.exporter.checkpoints.files import open_tensors
from coopdraw.exporter.checkpoints.load import Checkpoint, open_checkpoint
from coopdraw.exporter.custom_cells import CellConfig
from coopdraw.exporter.lora.merge import LoraReport, lora_report, merge_lora
from coopdraw.exporter.models.configuration import (
    AutoencoderConfig,
    ControlNetConfig,
    ModelConfig,
    T2IAdapterConfig,
    UNetConfig,
    WordsConfig,
)
from coopdraw.exporter.random_weights import open_random
from coopdraw.exporter.recipe import RANDOM, Adapter, Model, Recipe
from coopdraw.exporter.reference_weights import read_reference
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.weights import Weight
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError

Kind = Literal["unet", "vae", "words", "controlnet", "t2i_adapter"]
_CONFIGS: Mapping[str, type[Any]] = {
    "unet": UNetConfig,
    "vae": AutoencoderConfig,
    "words": WordsConfig,
    "controlnet": ControlNetConfig,
    "t2i_adapter": T2IAdapterConfig,
}


@dataclass(frozen=True)
class OpenedModel:
    """A model's configuration and weights by reference.

    Weights are named as in the released layout without prefix, or as in the user's own Cell. `assumed` names fields of
    `config` that the checkpoint doesn't say and the recipe doesn't give. Without `exact`, `weights` may have others
    than the model's own: passes leave theirs in a bundle.
    """

    name: str
    kind: Kind
    config: ModelConfig | CellConfig
    weights: Mapping[str, Weight]
    assumed: tuple[str, ...] = ()
    loras: tuple[LoraReport, ...] = ()
    exact: bool = True


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
        path = self.recipe.weights_path(name)
        model = self.recipe.models.get(name) or self.recipe.adapters[name]
        if isinstance(model, Model) and model.cell is not None:
            inputs = {key: tuple(shape) for key, shape in model.inputs.items()}
            return OpenedModel(name, kind, CellConfig(model.cell, model.config, inputs), open_tensors(path))
        if model.weights == RANDOM:
            checkpoint = open_random(name, kind, model.config)
        else:
            checkpoint = open_checkpoint(path, kind, model.config or None)
        weights, reports = self._with_loras(name, model, checkpoint)
        return OpenedModel(name, kind, checkpoint.config, weights, checkpoint.assumed, reports)

    def _with_loras(
        self, name: str, model: Model | Adapter, checkpoint: Checkpoint
    ) -> tuple[Mapping[str, Weight], tuple[LoraReport, ...]]:
        """The weights with the model's LoRAs merged in order, and what each of them changed."""
        weights: Mapping[str, Weight] = checkpoint.weights
        reports: list[LoraReport] = []
        if not isinstance(model, Model) or not isinstance(checkpoint.config, UNetConfig):
            return weights, ()
        for lora in model.loras:
            given = (self.recipe.source_folder / lora.weights, lora.scale, checkpoint.config, f"models.{name}")
            reports.append(lora_report(weights, *given, lora.ignore_text_encoder))
            weights = merge_lora(weights, *given, lora.ignore_text_encoder)
        return weights, tuple(reports)


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
        prefix = f"{name}."
        weights = {key.removeprefix(prefix): w for key, w in self._weights.items() if key.startswith(prefix)}
        return OpenedModel(name, kind, config_from_json(kind, model.config), weights, exact=False)

    def _stored(self) -> dict[str, Weight]:
        weights: dict[str, Weight] = {}
        for path in (self.bundle.graph_path, self.bundle.text_encoder_path):
            weights |= dict(read_mindir(path).weights) if path is not None else {}
        return weights | read_reference(self.bundle.folder, weights)


def config_from_json(kind: Kind, stored: Mapping[str, Any]) -> ModelConfig:
    """A built-in model's configuration from a manifest; raises BundleError for anything else."""
    if "factory" in stored:
        raise BundleError(
            f"the bundle was made with the Cell {stored['factory']}; verify with --recipe and --trust-code"
        )
    wanted = _CONFIGS[kind]
    if set(stored) != {item.name for item in fields(wanted)}:
        raise BundleError(f"the manifest's config of a {kind} has other keys than this version; verify with --recipe")
    config: ModelConfig = wanted(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    )
    return config
