"""From loaded networks to the sampling program, before any pass."""

from __future__ import annotations

from collections.abc import Mapping

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.loading import Pipeline
from coopdraw.exporter.networks import LoadedCell
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.adapters import AdapterNetwork, ControlNetwork, FeatureNetwork
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.program import Space, build_program


def trace_program(recipe: Recipe, pipeline: Pipeline, progress: Progress) -> Module:
    """Traces every network once and assembles the sampling program."""
    traced: dict[str, Module] = {}
    for cell in pipeline.sampling_cells():
        with progress.stage(f"trace {cell.function}"):
            traced[cell.function] = cell.trace()

    def find(cell: LoadedCell | None) -> Module | None:
        return None if cell is None else traced[cell.function]

    def by_branches(cells: Mapping[int, LoadedCell]) -> dict[int, Module]:
        return {count: traced[cell.function] for count, cell in cells.items()}

    spaces = {
        name: Space(space.latent, find(space.decoder), find(space.encoder)) for name, space in pipeline.spaces.items()
    }
    _check_image(recipe, spaces[MAIN])
    adapters: dict[str, AdapterNetwork] = {
        name: ControlNetwork(traced[control.hint.function], by_branches(control.networks))
        for name, control in pipeline.controls.items()
    }
    adapters |= {name: FeatureNetwork(traced[cell.function]) for name, cell in pipeline.t2i_adapters.items()}
    networks = {
        name: Network(by_branches(cells), "" if pipeline.space_of(name) == MAIN else f"{name}.", adapters)
        for name, cells in pipeline.unets.items()
    }
    return build_program(pipeline.settings, networks, spaces)


def _check_image(recipe: Recipe, main: Space) -> None:
    wanted = (recipe.pipeline.batch, 3, *recipe.pipeline.image_size)
    found = wanted if main.decode is None else main.decode.entry.outputs[0].type.shape
    if found != wanted:
        raise RecipeError(
            f"{recipe.path}: models.{recipe.pipeline.vae} decodes to {list(found)}, but pipeline.batch and "
            f"pipeline.image_size ask for {list(wanted)}; make them equal"
        )
