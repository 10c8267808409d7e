"""Single networks: from an opened model to a Cell with matched weights and the shapes it is traced with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from coopdraw.exporter.checkpoints.load import match
from coopdraw.exporter.custom_cells import CellConfig, build_custom_cell
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.lora.merge import LoraReport
from coopdraw.exporter.models.build import CellKind, build_cell, parameter_types
from coopdraw.exporter.models.configuration import (
    AutoencoderConfig,
    ControlNetConfig,
    ModelConfig,
    T2IAdapterConfig,
    UNetConfig,
    WordsConfig,
)
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.sources import OpenedModel
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.adapters import FEATURE, RESIDUAL
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

if TYPE_CHECKING:
    from mindspore import nn

DEFAULT_CONTEXT_LENGTH = 77
_SIZE_NUMBERS = 6
Half = Literal["decode", "encode"]
Size = tuple[int, int]
"""(height, width) of an image in pixels."""


@dataclass(frozen=True)
class LoadedCell:
    """One network of a pipeline: its Cell (without data), matched weights, and the shapes it is traced with.

    `function` is what it is called in the graph, such as `structure.unet`; `model` is the recipe's name, which its
    weights have before theirs; `inputs` are in the order of `construct`.
    """

    function: str
    model: str
    config: ModelConfig | CellConfig
    cell: nn.Cell
    weights: Mapping[str, Weight]
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    loras: tuple[LoraReport, ...] = ()

    def trace(self) -> Module:
        """The Cell as a Module with its weights bound; raises MindirError where the Cell can't be traced."""
        return trace(self.cell, self.function, self.inputs, self.outputs, self.weights, self.model)


def latent_type(recipe: Recipe, vae: OpenedModel, size: Size) -> TensorType:
    """(B, C, h, w) float32 of a VAE's latent for an image size."""
    batch = recipe.pipeline.batch
    if isinstance(vae.config, CellConfig):
        return TensorType(DType.FLOAT32, (batch, *vae.config.inputs["latent"]))
    if not isinstance(vae.config, AutoencoderConfig):
        raise RecipeError(f"{recipe.path}: models.{vae.name} is no VAE; name one")
    factor = vae.config.downscale
    if size[0] % factor or size[1] % factor:
        raise RecipeError(
            f"{recipe.path}: image_size is {list(size)}, but the VAE models.{vae.name} needs multiples of {factor}; "
            "change key pipeline.image_size or the model's own"
        )
    return TensorType(DType.FLOAT32, (batch, vae.config.latent_channels, size[0] // factor, size[1] // factor))


def load_half(recipe: Recipe, vae: OpenedModel, half: Half, latent: TensorType, size: Size, suffix: str) -> LoadedCell:
    """The decoder (latent -> image in [-1, 1]) or encoder of a VAE; `suffix` tells sizes of one VAE apart."""
    image = TensorType(latent.dtype, (latent.shape[0], 3, *size))
    if half == "encode" and isinstance(vae.config, CellConfig):
        raise RecipeError(
            f"{recipe.path}: models.{vae.name} is a Cell that only decodes; name a built-in VAE for coop and start"
        )
    inputs = {"latent": latent} if half == "decode" else {"image": image}
    kind: CellKind = "vae_decoder" if half == "decode" else "vae_encoder"
    return _cell(recipe, vae, kind, f"{half}{suffix}", inputs, ("image",) if half == "decode" else ("latent",))


def load_unet(
    recipe: Recipe,
    opened: OpenedModel,
    latent: TensorType,
    branches: int,
    words: OpenedModel | None,
    adapters: Sequence[OpenedModel],
    suffix: str = "",
) -> LoadedCell:
    """A UNet for `latent` (B, C, h, w) with `branches` of guidance in its batch, and inputs for its `adapters`.

    `suffix` tells numbers of branches of one UNet apart.
    """
    batch = branches * latent.shape[0]
    stacked = TensorType(latent.dtype, (batch, *latent.shape[1:]))
    shapes = _condition_shapes(recipe, opened, stacked, _context_length(recipe, words))
    inputs = {"latent": stacked, "timestep": TensorType(latent.dtype, (1,))}
    inputs |= {name: TensorType(latent.dtype, (batch, *shape)) for name, shape in shapes.items()}
    if adapters:
        inputs |= _adapter_inputs(recipe, opened, latent, batch, [adapter.config for adapter in adapters])
    controlled = any(name.startswith(RESIDUAL) for name in inputs)
    return _cell(recipe, opened, "unet_controlled" if controlled else "unet", f"unet{suffix}", inputs, ("epsilon",))


def _adapter_inputs(
    recipe: Recipe,
    unet: OpenedModel,
    latent: TensorType,
    batch: int,
    adapters: Sequence[ModelConfig | CellConfig],
) -> dict[str, TensorType]:
    """What a UNet takes from its adapters: residuals if it has ControlNets, as many features as T2I-Adapters make."""
    if not isinstance(unet.config, UNetConfig):
        raise RecipeError(f"{recipe.path}: models.{unet.name} is a Cell, which adapters can't be added to; remove them")
    size = latent.shape[2:]
    shapes: dict[str, tuple[int, ...]] = {}
    if any(isinstance(config, ControlNetConfig) for config in adapters):
        shapes |= {f"{RESIDUAL}{index}": s for index, s in enumerate(unet.config.residual_shapes(batch, *size))}
    levels = max((len(config.channels) for config in adapters if isinstance(config, T2IAdapterConfig)), default=0)
    features = unet.config.feature_shapes(_shared_batch(latent, batch), *size)
    shapes |= {f"{FEATURE}{index}": shape for index, shape in enumerate(features[:levels])}
    return {name: TensorType(latent.dtype, shape) for name, shape in shapes.items()}


def _shared_batch(latent: TensorType, batch: int) -> int:
    """The batch of what is the same for all branches of guidance: one picture's broadcasts, several are repeated."""
    return 1 if latent.shape[0] == 1 else batch


def load_control(
    recipe: Recipe, opened: OpenedModel, unet: LoadedCell, latent: TensorType, size: Size, suffix: str = ""
) -> tuple[LoadedCell, LoadedCell]:
    """The two networks of a ControlNet on `unet`: for the control image, and for every step.

    `suffix` tells numbers of branches in the batch of the latter apart.
    """
    config = opened.config
    if not isinstance(config, ControlNetConfig):
        raise RecipeError(f"{recipe.path}: adapters.{opened.name} is no ControlNet; name one")
    image = TensorType(latent.dtype, (latent.shape[0], config.conditioning_channels, *size))
    batch, _, height, width = unet.inputs["latent"].shape
    hint = TensorType(latent.dtype, (_shared_batch(latent, batch), config.model_channels, height, width))
    reach = (height * config.hint_downscale, width * config.hint_downscale)
    residuals = config.residual_shapes(batch, height, width)
    wanted = [value.shape for name, value in unet.inputs.items() if name.startswith(RESIDUAL)]
    if reach != size or list(residuals) != wanted:
        raise RecipeError(
            f"{recipe.path}: adapters.{opened.name} doesn't fit models.{unet.model} (it reads images of {list(reach)} "
            f"for {list(size)} and has {len(residuals)} residuals for {len(wanted)}); name a ControlNet of that model"
        )
    conditions = {k: type for k, type in unet.inputs.items() if not k.startswith((RESIDUAL, FEATURE))}
    names = tuple(f"{RESIDUAL}{index}" for index in range(len(residuals)))
    return (
        _cell(recipe, opened, "control_hint", "hint", {"image": image}, ("hint",), "input_hint_block."),
        _cell(recipe, opened, "controlnet", f"controlnet{suffix}", {**conditions, "hint": hint}, names),
    )


def load_t2i_adapter(
    recipe: Recipe, opened: OpenedModel, unet: LoadedCell, latent: TensorType, size: Size
) -> LoadedCell:
    """The network of a T2I-Adapter on `unet`: an image for each picture of the batch -> its features.

    They are the UNet's first ones, level by level; it may take more. Source: diffusers:models/unets/
    unet_2d_condition.py, where a list of `down_intrablock_additional_residuals` is used up.
    """
    config = opened.config
    if not isinstance(config, T2IAdapterConfig):
        raise RecipeError(f"{recipe.path}: adapters.{opened.name} is no T2I-Adapter; name one")
    if any(extent % config.downscale for extent in size):
        raise RecipeError(
            f"{recipe.path}: adapters.{opened.name} reads images whose sides are multiples of {config.downscale}, but "
            f"models.{unet.model} draws {list(size)}; change the image size or name another T2I-Adapter"
        )
    image = TensorType(latent.dtype, (latent.shape[0], config.in_channels, *size))
    made = [list(shape[1:]) for shape in config.feature_shapes(1, *size)]
    taken = [list(type.shape[1:]) for name, type in unet.inputs.items() if name.startswith(FEATURE)]
    if made != taken[: len(made)]:
        raise RecipeError(
            f"{recipe.path}: adapters.{opened.name} doesn't fit models.{unet.model} (it makes features of {made}, "
            f"but the UNet takes {taken}); name a T2I-Adapter of that model, or correct its config if that is wrong"
        )
    names = tuple(f"{FEATURE}{index}" for index in range(len(made)))
    return _cell(recipe, opened, "t2i_adapter", "t2i_adapter", {"image": image}, names)


def load_text_encoder(
    recipe: Recipe, words: OpenedModel, unet: LoadedCell, size: Size, suffix: str
) -> LoadedCell | None:
    """The encoder that makes the conditions of `unet` from words, None if they aren't of the widths it takes.

    What `vector` has beyond the pooled text is the embedded size, as in SDXL: (height, width, 0, 0, height, width).
    """
    config = words.config
    if not isinstance(config, WordsConfig):
        raise RecipeError(f"{recipe.path}: models.{words.name} is no text encoder; name one in pipeline.text_encoder")
    (width,) = unet.inputs["vector"].shape[1:] if "vector" in unet.inputs else (config.width,)
    if width > config.width:
        numbers = (*size, 0, 0, *size)
        config = replace(config, time_ids=numbers, time_embed_dim=(width - config.width) // _SIZE_NUMBERS)
    if unet.inputs["context"].shape[1:] != (config.context_length, config.width) or width != config.vector_dim:
        return None
    tokens = TensorType(DType.INT32, (recipe.pipeline.batch, config.context_length))
    encoder = replace(words, config=config)
    return _cell(recipe, encoder, "words", f"encode{suffix}", {"tokens": tokens}, ("context", "vector"))


def _cell(
    recipe: Recipe,
    opened: OpenedModel,
    kind: CellKind,
    part: str,
    inputs: Mapping[str, TensorType],
    outputs: tuple[str, ...],
    only: str = "",
) -> LoadedCell:
    """A Cell with the weights it takes; `only` picks those of one half of a ControlNet by their prefix."""
    if isinstance(opened.config, CellConfig):
        cell = build_custom_cell(opened.config, recipe.source_folder)
    else:
        cell = build_cell(kind, opened.config)
    given = opened.weights
    if opened.kind == "controlnet":
        given = {k: w for k, w in given.items() if k.startswith("input_hint_block.") == bool(only)}
    expected = parameter_types(cell)
    if not opened.exact:
        given = {k: w for k, w in given.items() if k in expected}
    table = "adapters" if opened.name in recipe.adapters else "models"
    weights = match(given, expected, f"{table}.{opened.name}")
    function = f"{opened.name}.{part}"
    return LoadedCell(
        function, opened.name, opened.config, cell, weights, inputs, outputs, opened.assumed, opened.loras
    )


def _context_length(recipe: Recipe, words: OpenedModel | None) -> int:
    if words is not None and isinstance(words.config, WordsConfig):
        return words.config.context_length
    return recipe.pipeline.context_length or DEFAULT_CONTEXT_LENGTH


def _condition_shapes(
    recipe: Recipe, opened: OpenedModel, latent: TensorType, context_length: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of `context` and perhaps `vector` without the batch; refuses a UNet for other latents."""
    config = opened.config
    if isinstance(config, CellConfig):
        return _cell_shapes(recipe, opened.name, config, latent)
    if not isinstance(config, UNetConfig):
        raise RecipeError(f"{recipe.path}: models.{opened.name} is no UNet; name one")
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


def _cell_shapes(recipe: Recipe, name: str, config: CellConfig, latent: TensorType) -> dict[str, tuple[int, ...]]:
    if config.inputs["latent"] != latent.shape[1:]:
        raise RecipeError(
            f"{recipe.path}: key models.{name}.inputs.latent is {list(config.inputs['latent'])}, but the VAE's latent "
            f"is {list(latent.shape[1:])}; make them equal"
        )
    wanted = recipe.pipeline.context_length
    if wanted is not None and config.inputs["context"][0] != wanted:
        raise RecipeError(
            f"{recipe.path}: key pipeline.context_length is {wanted}, but models.{name}.inputs.context has "
            f"{config.inputs['context'][0]} tokens; remove it or make them equal"
        )
    return {key: config.inputs[key] for key in ("context", "vector") if key in config.inputs}
