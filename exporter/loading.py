"""From the recipe's models to Cells with their weights: checkpoints opened, matched, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from coopdraw.exporter.checkpoints.load import match
from coopdraw.exporter.custom_cells import CellConfig, build_custom_cell
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.models.build import CellKind, build_cell, parameter_types
from coopdraw.exporter.models.configuration import AutoencoderConfig, ModelConfig, UNetConfig, WordsConfig
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.sources import ModelSource, OpenedModel
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.program import ProgramSettings, step_plan
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

if TYPE_CHECKING:
    from mindspore import nn

Part = Literal["unet", "decode", "encode"]
DEFAULT_CONTEXT_LENGTH = 77
_SIZE_NUMBERS = 6
_CELL_KINDS: Mapping[tuple[str, Part], CellKind] = {
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
    config: ModelConfig | CellConfig
    cell: nn.Cell
    weights: Mapping[str, Weight]
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]
    assumed: tuple[str, ...] = ()

    def trace(self) -> Module:
        """The Cell as a Module with its weights bound; raises MindirError where the Cell can't be traced."""
        return trace(self.cell, self.function, self.inputs, self.outputs, self.weights)


@dataclass(frozen=True)
class Pipeline:
    """What a recipe names, opened: experts that run at some step, the decoder, and the text encoder if there is one."""

    settings: ProgramSettings
    experts: Mapping[str, LoadedCell]
    decoder: LoadedCell
    text_encoder: LoadedCell | None

    def assumptions(self) -> list[str]:
        """One sentence for each field of a configuration that nobody gave."""
        cells = (*self.experts.values(), self.decoder)
        return [
            f"{cell.function}: {name} is taken to be {getattr(cell.config, name)}, which its checkpoint doesn't say; "
            "give it in the model's config if that is wrong"
            for cell in cells
            for name in cell.assumed
        ]


def program_settings(recipe: Recipe) -> ProgramSettings:
    """The recipe's sampling part as the program builder takes it."""
    experts = recipe.pipeline.experts
    switch = ExpertSwitch(experts.structure, experts.texture, experts.t_struct, experts.switch)
    return ProgramSettings(recipe.pipeline.steps, Guidance(recipe.pipeline.guidance), switch)


def load_pipeline(recipe: Recipe, source: ModelSource) -> Pipeline:
    """Opens every model of a recipe from `source` and checks that they fit each other; no weight bytes are read.

    Raises RecipeError, ConfigurationError or CheckpointError with the model's name and the fix.
    """
    settings, names = program_settings(recipe), recipe.pipeline
    vae = source.open(names.vae, "vae")
    words = None if names.text_encoder is None else source.open(names.text_encoder, "words")
    latent = _latent_type(recipe, vae)
    batch = len(settings.guidance.branches) * latent.shape[0]
    stacked = TensorType(latent.dtype, (batch, *latent.shape[1:]))
    context_length = _context_length(recipe, words)
    experts = {
        name: _unet(recipe, source.open(name, "unet"), stacked, context_length)
        for name in dict.fromkeys(planned.model for planned in step_plan(settings))
    }
    decoder = _cell(recipe, vae, "decode", {"latent": latent}, ("image",))
    encoder = None if words is None else _text_encoder(recipe, words, next(iter(experts.values())))
    return Pipeline(settings, experts, decoder, encoder)


def _latent_type(recipe: Recipe, vae: OpenedModel) -> TensorType:
    """(B, C, h, w) float32 of the main latent."""
    height, width = recipe.pipeline.image_size
    if isinstance(vae.config, CellConfig):
        return TensorType(DType.FLOAT32, (recipe.pipeline.batch, *vae.config.inputs["latent"]))
    if not isinstance(vae.config, AutoencoderConfig):
        raise RecipeError(f"{recipe.path}: models.{vae.name} is no VAE; name one in pipeline.vae")
    factor = vae.config.downscale
    if height % factor or width % factor:
        raise RecipeError(
            f"{recipe.path}: key pipeline.image_size is [{height}, {width}], but the VAE needs multiples of {factor}; "
            "change the image size"
        )
    shape = (recipe.pipeline.batch, vae.config.latent_channels, height // factor, width // factor)
    return TensorType(DType.FLOAT32, shape)


def _context_length(recipe: Recipe, words: OpenedModel | None) -> int:
    if words is not None and isinstance(words.config, WordsConfig):
        return words.config.context_length
    return recipe.pipeline.context_length or DEFAULT_CONTEXT_LENGTH


def _unet(recipe: Recipe, opened: OpenedModel, latent: TensorType, context_length: int) -> LoadedCell:
    """`latent` has the branches of guidance in its batch."""
    shapes = _condition_shapes(recipe, opened, latent, context_length)
    inputs = {"latent": latent, "timestep": TensorType(latent.dtype, (1,))}
    inputs |= {name: TensorType(latent.dtype, (latent.shape[0], *shape)) for name, shape in shapes.items()}
    return _cell(recipe, opened, "unet", inputs, ("epsilon",))


def _condition_shapes(
    recipe: Recipe, opened: OpenedModel, latent: TensorType, context_length: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of `context` and perhaps `vector` without the batch; refuses a UNet for other latents."""
    config = opened.config
    if isinstance(config, CellConfig):
        if config.inputs["latent"] != latent.shape[1:]:
            raise RecipeError(
                f"{recipe.path}: key models.{opened.name}.inputs.latent is {list(config.inputs['latent'])}, but the "
                f"VAE's latent is {list(latent.shape[1:])}; make them equal"
            )
        wanted = recipe.pipeline.context_length
        if wanted is not None and config.inputs["context"][0] != wanted:
            raise RecipeError(
                f"{recipe.path}: key pipeline.context_length is {wanted}, but models.{opened.name}.inputs.context has "
                f"{config.inputs['context'][0]} tokens; remove it or make them equal"
            )
        return {name: config.inputs[name] for name in ("context", "vector") if name in config.inputs}
    if not isinstance(config, UNetConfig):
        raise RecipeError(f"{recipe.path}: models.{opened.name} is no UNet; name one in pipeline.experts")
    channels = latent.shape[1]
    if (config.in_channels, config.out_channels) != (channels, channels):
        raise RecipeError(
            f"{recipe.path}: models.{opened.name} maps {config.in_channels} to {config.out_channels} channels, but the "
            f"VAE's latent has {channels}; name a UNet and a VAE that belong together"
        )
    if any(extent % config.downscale for extent in latent.shape[2:]):
        raise RecipeError(
            f"{recipe.path}: key pipeline.image_size gives a latent of {list(latent.shape[2:])}, but "
            f"models.{opened.name} needs multiples of {config.downscale}; change the image size"
        )
    shapes: dict[str, tuple[int, ...]] = {"context": (context_length, config.context_dim)}
    return shapes if config.vector_dim is None else shapes | {"vector": (config.vector_dim,)}


def _text_encoder(recipe: Recipe, words: OpenedModel, unet: LoadedCell) -> LoadedCell:
    """The encoder for prompts. What `vector` has beyond the pooled text is the embedded size, as in SDXL:
    (height, width, 0, 0, height, width).
    """
    config = words.config
    if not isinstance(config, WordsConfig):
        raise RecipeError(f"{recipe.path}: models.{words.name} is no text encoder; name one in pipeline.text_encoder")
    context = unet.inputs["context"].shape[1:]
    (width,) = unet.inputs["vector"].shape[1:] if "vector" in unet.inputs else (config.width,)
    extra = width - config.width
    if extra:
        height_pixels, width_pixels = recipe.pipeline.image_size
        size = (height_pixels, width_pixels, 0, 0, height_pixels, width_pixels)
        config = replace(config, time_ids=size, time_embed_dim=max(0, extra) // _SIZE_NUMBERS)
    if context != (config.context_length, config.width) or width != config.vector_dim:
        raise RecipeError(
            f"{recipe.path}: models.{words.name} gives a context of {[config.context_length, config.width]} and a "
            f"vector of {config.vector_dim}, but {unet.function} takes {list(context)} and {width}; name the text "
            "encoder it was trained with"
        )
    tokens = TensorType(DType.INT32, (recipe.pipeline.batch, config.context_length))
    return _cell(recipe, replace(words, config=config), "encode", {"tokens": tokens}, ("context", "vector"))


def _cell(
    recipe: Recipe, opened: OpenedModel, part: Part, inputs: Mapping[str, TensorType], outputs: tuple[str, ...]
) -> LoadedCell:
    if isinstance(opened.config, CellConfig):
        cell = build_custom_cell(opened.config, recipe.source_folder)
    else:
        cell = build_cell(_CELL_KINDS[opened.kind, part], opened.config)
    weights = match(opened.weights, parameter_types(cell), f"models.{opened.name}")
    return LoadedCell(f"{opened.name}.{part}", opened.config, cell, weights, inputs, outputs, opened.assumed)
