"""Builds a bundle's manifest from what was compiled."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from coopdraw.exporter.loading import Pipeline
from coopdraw.exporter.models.configuration import WordsConfig
from coopdraw.exporter.recipe import Recipe, recipe_as_compiled
from coopdraw.exporter.text_encoding import vector_output
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.passes.manager import PassRecord
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.guidance import UNCONDITIONAL
from coopdraw.graphs.sampling.plan import PlannedStep
from coopdraw.graphs.text import format_graph
from coopdraw.runtime.manifest import Feed, Function, Manifest, Model, Step, TensorSpec, TextEncoder, WeightInfo

GRAPH_FILE, TEXT_ENCODER_FILE = "sampling.mindir", "text_encoder.mindir"
_START_MEANINGS = {
    "image": "picture to start from, RGB in [0, 1]",
    "mask": "1 where the picture is painted anew, 0 where it stays",
}
_MEANINGS = {
    "noise": "starting noise, standard normal",
    "context": "text embedding of the {branch} branch",
    "vector": "pooled text and size embedding of the {branch} branch",
    "latent": "final latent",
    "image": "picture, RGB in [0, 1]",
    "tokens": "word ids, 0 is the pad",
}


def describe_bundle(
    recipe: Recipe,
    pipeline: Pipeline,
    program: Module,
    text_encoder: Module | None,
    placements: Mapping[str, Placement],
    records: Sequence[PassRecord],
) -> Manifest:
    """The manifest without what is only known later: file hashes and the verification.

    `program` is the graph as it is read back from its file, so that anybody can compute the functions' hashes again.
    """
    cells = {cell.model: cell for cell in (*pipeline.sampling_cells(), *pipeline.text_encoders.values())}
    kinds: dict[str, str] = {name: model.kind for name, model in recipe.models.items()}
    kinds |= {name: adapter.kind for name, adapter in recipe.adapters.items()}
    return Manifest(
        name=recipe.pipeline.name,
        inputs=tuple(_input_spec(value) for value in program.entry.inputs),
        outputs=tuple(
            _spec(name, v) for name, v in zip(program.entry.output_names, program.entry.outputs, strict=True)
        ),
        graph=GRAPH_FILE,
        text_encoder=None if text_encoder is None else _describe_text_encoder(pipeline, text_encoder, program),
        forms={},
        device={},
        steps=tuple(_describe_step(planned) for planned in pipeline.plan),
        models={
            name: Model(kinds[name], _plain(asdict(cell.config)), tuple(_plain(asdict(lora)) for lora in cell.loras))
            for name, cell in cells.items()
        },
        functions=tuple(_describe_function(program, name) for name in sorted(program.functions)),
        weights={
            name: WeightInfo(str(weight.type.dtype), weight.type.shape, placements[name].sha256)
            for name, weight in program.weights.items()
        },
        passes=tuple(_plain(record.as_manifest()) for record in records),
        verification={},
        tools={
            "coopdraw": version("coopdraw"),
            "mindspore": version("mindspore"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        },
        recipe=_plain(recipe_as_compiled(recipe)),
        files={},
    )


def _describe_step(planned: PlannedStep) -> Step:
    return Step(
        planned.step.index,
        planned.step.t,
        planned.step.sigma,
        planned.step.sigma_next,
        planned.model,
        tuple(bridge.partner for bridge in planned.partners),
        tuple(transfer.function for transfer in planned.transfers()),
        planned.adapters,
        planned.branches,
    )


def _describe_text_encoder(pipeline: Pipeline, encoder: Module, program: Module) -> TextEncoder:
    cells = pipeline.text_encoders
    config = next(iter(cells.values())).config
    if not isinstance(config, WordsConfig):
        raise TypeError("the text encoder is no word encoder")
    wanted = {value.name for value in program.entry.inputs}
    prefixes = {"" if pipeline.space_of(model) == MAIN else f"{model}.": cell for model, cell in cells.items()}
    feeds = []
    for branch in pipeline.settings.guidance.branches:
        for prefix, cell in prefixes.items():
            kinds = {"context": "context", vector_output(cell): "vector"}
            found = {output: f"{prefix}{kind}.{branch}" for output, kind in kinds.items()}
            feeds.append(Feed(branch, {output: name for output, name in found.items() if name in wanted}))
    (tokens,) = encoder.entry.inputs
    outputs = zip(encoder.entry.output_names, encoder.entry.outputs, strict=True)
    return TextEncoder(
        graph=TEXT_ENCODER_FILE,
        tokens=TensorSpec("tokens", tokens.type.shape, str(tokens.type.dtype), _MEANINGS["tokens"]),
        outputs=tuple(
            TensorSpec(name, value.type.shape, str(value.type.dtype), f"{name} for the sampling graph")
            for name, value in outputs
        ),
        words=config.words,
        context_length=config.context_length,
        feeds=tuple(feeds),
    )


def _input_spec(value: Value) -> TensorSpec:
    if value.name in _START_MEANINGS:
        return TensorSpec(value.name, value.type.shape, str(value.type.dtype), _START_MEANINGS[value.name])
    return _spec(value.name, value)


def _spec(name: str, value: Value) -> TensorSpec:
    """`context.text`, `partner.context.text`, `partner.noise`, `edges.image`, `image`."""
    parts = name.split(".")
    kind = next(part for part in reversed(parts) if part in _MEANINGS)
    owner = f" for {parts[0]}" if parts[0] != kind else ""
    branch = "unconditional" if parts[-1] == UNCONDITIONAL else parts[-1]
    is_control = kind == "image" and owner
    meaning = _control_meaning(value) if is_control else _MEANINGS[kind].format(branch=branch)
    return TensorSpec(name, value.type.shape, str(value.type.dtype), f"{meaning}{owner}")


def _control_meaning(picture: Value) -> str:
    channels = picture.type.shape[1]
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    return f"control picture, {colours} in [0, 1]"


def _describe_function(program: Module, name: str) -> Function:
    graph = program.functions[name]
    return Function(name, len(graph.nodes), hashlib.sha256(format_graph(graph).encode()).hexdigest())


def _plain(value: object) -> dict[str, Any]:
    """JSON's own types all the way down."""
    plain = _plain_value(value)
    if not isinstance(plain, dict):
        raise TypeError(f"{type(value).__name__} is not a table")
    return plain


def _plain_value(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return value
