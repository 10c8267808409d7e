"""Builds a bundle's manifest from what was compiled."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from coopdraw.exporter.loading import LoadedCell, Pipeline
from coopdraw.exporter.models.configuration import WordsConfig
from coopdraw.exporter.recipe import Recipe, recipe_as_compiled
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.passes.manager import PassRecord
from coopdraw.graphs.sampling.guidance import UNCONDITIONAL
from coopdraw.graphs.sampling.program import step_plan
from coopdraw.graphs.text import format_graph
from coopdraw.runtime.manifest import Feed, Function, Manifest, Model, Step, TensorSpec, TextEncoder, WeightInfo

GRAPH_FILE, TEXT_ENCODER_FILE = "sampling.mindir", "text_encoder.mindir"
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
    placements: Mapping[str, Placement],
    records: Sequence[PassRecord],
) -> Manifest:
    """The manifest without what is only known later: file hashes and the verification.

    `program` is the graph as it is read back from its file, so that anybody can compute the functions' hashes again.
    """
    models = {**pipeline.experts, recipe.pipeline.vae: pipeline.decoder}
    encoder = pipeline.text_encoder
    if encoder is not None and recipe.pipeline.text_encoder is not None:
        models[recipe.pipeline.text_encoder] = encoder
    names = (value.name for value in program.entry.inputs)
    return Manifest(
        name=recipe.pipeline.name,
        inputs=tuple(_spec(name, value) for name, value in zip(names, program.entry.inputs, strict=True)),
        outputs=tuple(
            _spec(name, v) for name, v in zip(program.entry.output_names, program.entry.outputs, strict=True)
        ),
        graph=GRAPH_FILE,
        text_encoder=None if encoder is None else _describe_text_encoder(encoder, program),
        steps=tuple(
            Step(p.step.index, p.step.t, p.step.sigma, p.step.sigma_next, p.model) for p in step_plan(pipeline.settings)
        ),
        models={name: Model(recipe.models[name].kind, _plain(asdict(cell.config))) for name, cell in models.items()},
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


def _describe_text_encoder(encoder: LoadedCell, program: Module) -> TextEncoder:
    config = encoder.config
    if not isinstance(config, WordsConfig):
        raise TypeError(f"{encoder.function} is no word encoder")
    tokens = encoder.inputs["tokens"]
    batch = tokens.shape[0]
    wanted = {value.name: value for value in program.entry.inputs}
    branches = [name.partition(".")[2] for name in wanted if name.startswith("context.")]
    shapes = {"context": (batch, config.context_length, config.width), "vector": (batch, config.vector_dim)}
    return TextEncoder(
        graph=TEXT_ENCODER_FILE,
        tokens=TensorSpec("tokens", tokens.shape, str(tokens.dtype), _MEANINGS["tokens"]),
        outputs=tuple(TensorSpec(n, s, "float32", f"{n} for the sampling graph") for n, s in shapes.items()),
        words=config.words,
        context_length=config.context_length,
        feeds=tuple(
            Feed(branch, {kind: f"{kind}.{branch}" for kind in shapes if f"{kind}.{branch}" in wanted})
            for branch in branches
        ),
    )


def _spec(name: str, value: Value) -> TensorSpec:
    kind, _, branch = name.partition(".")
    meaning = _MEANINGS[kind].format(branch="unconditional" if branch == UNCONDITIONAL else branch)
    return TensorSpec(name, value.type.shape, str(value.type.dtype), meaning)


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
