"""From a recipe to every network that its step plan uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.networks import (
    LoadedCell,
    Size,
    latent_type,
    load_control,
    load_half,
    load_t2i_adapter,
    load_text_encoder,
    load_unet,
)
from coopdraw.exporter.recipe import LatentBridge, Recipe, ResolutionBridge
from coopdraw.exporter.sources import ModelSource, OpenedModel
from coopdraw.graphs.sampling import coop
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import AdapterUse, PlannedStep, ProgramSettings, picture_spaces, step_plan
from coopdraw.graphs.sampling.schedule import make_schedule
from coopdraw.graphs.sampling.start import ImageStart
from coopdraw.graphs.types import TensorType


@dataclass(frozen=True)
class ControlCells:
    """The networks of a ControlNet: for its picture, and by number of branches in the batch for every step."""

    hint: LoadedCell
    networks: Mapping[int, LoadedCell]


@dataclass(frozen=True)
class SpaceCells:
    """A latent space: the name of its VAE, its latent (B, C, h, w) and the halves of the VAE that are used."""

    vae: str
    latent: TensorType
    decoder: LoadedCell | None
    encoder: LoadedCell | None


@dataclass(frozen=True)
class Pipeline:
    """What a recipe names and its plan uses, opened.

    `unets` and `text_encoders` are by model, `controls` and `t2i_adapters` by adapter, `spaces` by the name that
    transfers have for them: "main", or a model. A UNet is there for every number of branches that the plan has in its
    batch, the largest first. Models that take the same conditions share a text encoder.
    """

    settings: ProgramSettings
    plan: tuple[PlannedStep, ...]
    spaces: Mapping[str, SpaceCells]
    unets: Mapping[str, Mapping[int, LoadedCell]]
    controls: Mapping[str, ControlCells] = field(default_factory=dict)
    t2i_adapters: Mapping[str, LoadedCell] = field(default_factory=dict)
    text_encoders: Mapping[str, LoadedCell] = field(default_factory=dict)

    def sampling_cells(self) -> tuple[LoadedCell, ...]:
        """Every network of the sampling program once, in the order in which they are traced."""
        found = [cell for variants in self.unets.values() for cell in variants.values()]
        found += [cell for control in self.controls.values() for cell in (control.hint, *control.networks.values())]
        found += self.t2i_adapters.values()
        halves = [half for space in self.spaces.values() for half in (space.decoder, space.encoder)]
        found += [half for half in halves if half is not None]
        return tuple({cell.function: cell for cell in found}.values())

    def space_of(self, model: str) -> str:
        """The space whose latents a model works on."""
        return model if model in self.spaces else MAIN

    def assumptions(self) -> list[str]:
        """One sentence for each field of a configuration that nobody gave."""
        return [
            f"{model}: {name} is taken to be {getattr(cell.config, name)}, which its checkpoint doesn't say; "
            "give it in the model's config if that is wrong"
            for model, cell in {cell.model: cell for cell in self.sampling_cells()}.items()
            for name in cell.assumed
        ]


def program_settings(recipe: Recipe) -> ProgramSettings:
    """The recipe's sampling part as the program builder takes it."""
    experts, steps, start = recipe.pipeline.experts, recipe.pipeline.steps, recipe.start
    all_steps = (0, len(make_schedule(steps, recipe.strength)))
    return ProgramSettings(
        steps=steps,
        guidance=Guidance(recipe.pipeline.guidance, recipe.pipeline.guidance_steps),
        experts=ExpertSwitch(experts.structure, experts.texture, experts.t_struct, experts.switch),
        latent_bridges=tuple(
            coop.LatentBridge(b.partner, b.strength, b.steps or all_steps, b.feedback, b.share_noise)
            for b in recipe.coop
            if isinstance(b, LatentBridge)
        ),
        resolution_bridges=tuple(
            coop.ResolutionBridge(b.name, b.source, b.at, b.upsample)
            for b in recipe.coop
            if isinstance(b, ResolutionBridge)
        ),
        adapters={
            name: tuple(AdapterUse(a, recipe.adapters[a].scale, recipe.adapters[a].steps) for a in model.adapters)
            for name, model in recipe.models.items()
        },
        start=None if start is None else ImageStart(start.strength, start.mask, start.keep_pixels),
    )


def load_pipeline(recipe: Recipe, source: ModelSource) -> Pipeline:
    """Opens what the plan of a recipe uses from `source` and checks that it fits together; no weight bytes are read.

    Raises RecipeError, ConfigurationError or CheckpointError with the model's name and the fix.
    """
    return _Loader(recipe, source).load()


class _Loader:
    def __init__(self, recipe: Recipe, source: ModelSource) -> None:
        self._recipe = recipe
        self._source = source
        self._settings = program_settings(recipe)
        self._plan = step_plan(self._settings)
        self._experts = {self._settings.experts.structure, self._settings.experts.texture}
        self._models = tuple(dict.fromkeys(name for planned in self._plan for name in planned.models()))
        name = recipe.pipeline.text_encoder
        self._words = None if name is None else source.open(name, "words")

    def load(self) -> Pipeline:
        spaces = self._spaces()
        used = {name for planned in self._plan for name in planned.adapters}
        unets: dict[str, dict[int, LoadedCell]] = {}
        hints: dict[str, LoadedCell] = {}
        controls: dict[str, dict[int, LoadedCell]] = {}
        t2i_adapters: dict[str, LoadedCell] = {}
        for name in self._models:
            latent = spaces[self._space(name)].latent
            active = [use.name for use in self._settings.adapters.get(name, ()) if use.name in used]
            adapters = [self._source.open(adapter, self._recipe.adapters[adapter].kind) for adapter in active]
            opened = self._source.open(name, "unet")
            for branches, acting in self._batches(name).items():
                count, suffix = len(branches), self._settings.guidance.suffix(branches)
                unet = load_unet(self._recipe, opened, latent, count, self._words, adapters, suffix)
                unets.setdefault(name, {})[count] = unet
                for adapter in adapters:
                    fitted = (self._recipe, adapter, unet, latent, self._size(name))
                    if adapter.kind != "controlnet":
                        t2i_adapters[adapter.name] = load_t2i_adapter(*fitted)
                    elif adapter.name in acting:
                        hints[adapter.name], control = load_control(*fitted, suffix)
                        controls.setdefault(adapter.name, {})[count] = control
        return Pipeline(
            self._settings,
            self._plan,
            spaces,
            unets,
            {name: ControlCells(hint, controls[name]) for name, hint in hints.items()},
            t2i_adapters,
            self._text_encoders({name: next(iter(variants.values())) for name, variants in unets.items()}),
        )

    def _batches(self, model: str) -> dict[tuple[str, ...], set[str]]:
        """The branches with which a model predicts at steps of the plan, most first, and the adapters acting there."""
        found: dict[tuple[str, ...], set[str]] = {}
        for planned in self._plan:
            if model in planned.models():
                found.setdefault(planned.branches, set()).update(planned.adapters)
        return dict(sorted(found.items(), key=lambda item: -len(item[0])))

    def _space(self, model: str) -> str:
        return MAIN if model in self._experts else model

    def _size(self, model: str) -> Size:
        """(height, width) of what a model, or "main", draws."""
        size = self._recipe.pipeline.image_size
        return size if model == MAIN or model in self._experts else self._recipe.image_size_of(model)

    def _spaces(self) -> dict[str, SpaceCells]:
        """Every space with the halves of its VAE that the start, the plan's transfers and the last decoding use."""
        transfers = [transfer for planned in self._plan for transfer in planned.transfers()]
        decoded = {MAIN, *(transfer.source for transfer in transfers)}
        encoded = {*picture_spaces(self._settings, self._plan), *(transfer.target for transfer in transfers)}
        names = dict.fromkeys([MAIN, *(self._space(model) for model in self._models)])
        opened: dict[str, OpenedModel] = {}
        first_sizes: dict[str, Size] = {}
        spaces = {}
        for name in names:
            vae = self._recipe.pipeline.vae if name == MAIN else self._recipe.vae_of(name)
            opened[vae] = opened.get(vae) or self._source.open(vae, "vae")
            size = self._size(name)
            suffix = "" if first_sizes.setdefault(vae, size) == size else f".{size[0]}x{size[1]}"
            latent = latent_type(self._recipe, opened[vae], size)
            spaces[name] = SpaceCells(
                vae,
                latent,
                load_half(self._recipe, opened[vae], "decode", latent, size, suffix) if name in decoded else None,
                load_half(self._recipe, opened[vae], "encode", latent, size, suffix) if name in encoded else None,
            )
        return spaces

    def _text_encoders(self, unets: Mapping[str, LoadedCell]) -> dict[str, LoadedCell]:
        """The encoder of each model whose conditions the pipeline's text encoder can make; experts need one.

        All of them make the same context, so models without a vector take another's.
        """
        encoders: dict[str, LoadedCell] = {}
        if self._words is None:
            return encoders
        for name, unet in sorted(unets.items(), key=lambda item: "vector" not in item[1].inputs):
            size = self._size(name)
            suffix = "" if size == self._recipe.pipeline.image_size else f".{size[0]}x{size[1]}"
            encoder = load_text_encoder(self._recipe, self._words, unet, size, suffix)
            if encoder is not None and "vector" not in unet.inputs:
                encoders[name] = next(iter(encoders.values()), encoder)
            elif encoder is not None:
                others = [other for other in encoders.values() if other.function == encoder.function]
                if any(other.config != encoder.config for other in others):
                    width = unet.inputs["vector"].shape[1]
                    encoder = replace(encoder, function=f"{encoder.function}.{width}")
                encoders[name] = encoder
            elif name in self._experts:
                raise RecipeError(
                    f"{self._recipe.path}: the text encoder models.{self._words.name} doesn't make the context and "
                    f"vector that models.{name} takes; name the text encoder it was trained with"
                )
        return encoders
