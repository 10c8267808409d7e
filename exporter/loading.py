"""From the recipe's models to Cells with their weights: checkpoints opened, matched and traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from coopdraw.exporter.checkpoints.load import match
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.models.build import CellKind, build_cell, parameter_types
from coopdraw.exporter.models.configuration import AutoencoderConfig, ModelConfig, UNetConfig, WordsConfig
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.sources import ModelSource, OpenedModel
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

if TYPE_CHECKING:
    from mindspore import nn

Part = Literal["unet", "decode", "encode"]
_Config = TypeVar("_Config", UNetConfig, AutoencoderConfig, WordsConfig)
_CELL_KINDS: dict[tuple[str, Part], CellKind] = {
    ("unet", "unet"): "unet",
    ("vae", "decode"): "vae_decoder",
    ("words", "encode"): "words",
}


@dataclass(frozen=True)
class LoadedCell:
    """One network of a pipeline: its Cell (without data), matched weights, and the shapes it is traced with.

    `function` is what it is called in the graph, such as `structure.unet`; `inputs` are in the order of `construct`.
    """

    function: str
    config: ModelConfig
    cell: nn.Cell
    weights: Mapping[str, Weight]
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]

    def trace(self) -> Module:
        """The Cell as a Module with its weights bound; raises MindirError where the Cell can't be traced."""
        return trace(self.cell, self.function, self.inputs, self.outputs, self.weights)


@dataclass(frozen=True)
class Pipeline:
    """Everything a recipe names, opened: experts by model name, the decoder, and the text encoder if there is one."""

    guidance: Guidance
    experts: Mapping[str, LoadedCell]
    decoder: LoadedCell
    text_encoder: LoadedCell | None


def load_pipeline(recipe: Recipe, source: ModelSource) -> Pipeline:
    """Opens every model of a recipe from `source` and checks that they fit each other; no weight bytes are read.

    Raises RecipeError, ConfigurationError or CheckpointError with the model's name and the fix.
    """
    settings = recipe.pipeline
    guidance = Guidance(settings.guidance)
    vae = source.open(settings.vae, "vae")
    words = None if settings.text_encoder is None else source.open(settings.text_encoder, "words")
    latent = _latent_type(recipe, _config(vae, AutoencoderConfig))
    context_length = _context_length(recipe, words)
    experts = {
        name: _unet(recipe, source.open(name, "unet"), latent, len(guidance.branches), context_length)
        for name in dict.fromkeys((settings.experts.structure, settings.experts.texture))
    }
    decoder = _cell(vae, "decode", {"latent": latent}, ("image",))
    encoder = None if words is None else _text_encoder(recipe, words, next(iter(experts.values())))
    return Pipeline(guidance, experts, decoder, encoder)


def _unet(recipe: Recipe, opened: OpenedModel, latent: TensorType, branches: int, context_length: int) -> LoadedCell:
    name = opened.name
    config = _config(opened, UNetConfig)
    batch = branches * latent.shape[0]
    if (config.in_channels, config.out_channels) != (latent.shape[1], latent.shape[1]):
        raise RecipeError(
            f"{recipe.path}: models.{name} maps {config.in_channels} to {config.out_channels} channels, but the VAE's "
            f"latent has {latent.shape[1]}; name a UNet and a VAE that belong together"
        )
    multiple = config.downscale
    if any(extent % multiple for extent in latent.shape[2:]):
        raise RecipeError(
            f"{recipe.path}: key pipeline.image_size gives a latent of {list(latent.shape[2:])}, but models.{name} "
            f"needs multiples of {multiple}; change the image size"
        )
    inputs = {
        "latent": TensorType(DType.FLOAT32, (batch, *latent.shape[1:])),
        "timestep": TensorType(DType.FLOAT32, (1,)),
        "context": TensorType(DType.FLOAT32, (batch, context_length, config.context_dim)),
    }
    if config.vector_dim is not None:
        inputs["vector"] = TensorType(DType.FLOAT32, (batch, config.vector_dim))
    return _cell(opened, "unet", inputs, ("epsilon",))


def _text_encoder(recipe: Recipe, words: OpenedModel, unet: LoadedCell) -> LoadedCell:
    """The text encoder for prompts; `vector` ends with (height, width, 0, 0, height, width), embedded as in SDXL."""
    config, wanted = _config(words, WordsConfig), unet.config
    if not isinstance(wanted, UNetConfig):
        raise RecipeError(f"{recipe.path}: {unet.function} is no UNet, so its conditions aren't known")
    if wanted.vector_dim is not None and wanted.addition_time_embed_dim is not None:
        height, width = recipe.pipeline.image_size
        config = replace(
            config, time_ids=(height, width, 0, 0, height, width), time_embed_dim=wanted.addition_time_embed_dim
        )
    if (config.width, wanted.vector_dim or config.vector_dim) != (wanted.context_dim, config.vector_dim):
        raise RecipeError(
            f"{recipe.path}: models.{words.name} gives context and vector of width {config.width} and "
            f"{config.vector_dim}, but {unet.function} takes {wanted.context_dim} and {wanted.vector_dim}; name the "
            "text encoder it was trained with"
        )
    tokens = TensorType(DType.INT32, (recipe.pipeline.batch, config.context_length))
    return _cell(replace(words, config=config), "encode", {"tokens": tokens}, ("context", "vector"))


def _cell(opened: OpenedModel, part: Part, inputs: Mapping[str, TensorType], outputs: tuple[str, ...]) -> LoadedCell:
    cell = build_cell(_CELL_KINDS[opened.kind, part], opened.config)
    weights = match(opened.weights, parameter_types(cell), f"models.{opened.name}")
    return LoadedCell(f"{opened.name}.{part}", opened.config, cell, weights, inputs, outputs)


def _config(opened: OpenedModel, kind: type[_Config]) -> _Config:
    """The configuration as the class that the model's kind has (`open_checkpoint` made it for that kind)."""
    if not isinstance(opened.config, kind):
        raise RecipeError(f"models.{opened.name} is of kind {opened.kind}; name a model of another kind here")
    return opened.config


def _latent_type(recipe: Recipe, vae: AutoencoderConfig) -> TensorType:
    height, width = recipe.pipeline.image_size
    if height % vae.downscale or width % vae.downscale:
        raise RecipeError(
            f"{recipe.path}: key pipeline.image_size is [{height}, {width}], but the VAE needs multiples of "
            f"{vae.downscale}; change the image size"
        )
    shape = (recipe.pipeline.batch, vae.latent_channels, height // vae.downscale, width // vae.downscale)
    return TensorType(DType.FLOAT32, shape)


def _context_length(recipe: Recipe, words: OpenedModel | None) -> int:
    if words is None:
        return recipe.pipeline.context_length
    return _config(words, WordsConfig).context_length
