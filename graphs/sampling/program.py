"""Assembles the time-decoupled sampling program: one entry graph that calls the models step after step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance, build_denoise
from coopdraw.graphs.sampling.samplers import build_euler, euler_coefficients
from coopdraw.graphs.sampling.schedule import Step, initial_noise_scale, make_schedule
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

ENTRY = "sampling"
_DENOISE, _EULER = "guidance.denoise", "sampler.euler"


@dataclass(frozen=True)
class ProgramSettings:
    """What the recipe fixes about sampling."""

    steps: int
    guidance: Guidance
    experts: ExpertSwitch


@dataclass(frozen=True)
class PlannedStep:
    """One line of the step plan: the schedule's step and the model that runs it."""

    step: Step
    model: str


def step_plan(settings: ProgramSettings) -> tuple[PlannedStep, ...]:
    """Which model runs at which step."""
    schedule = make_schedule(settings.steps)
    return tuple(PlannedStep(step, settings.experts.expert(schedule, step.index)) for step in schedule)


def build_program(settings: ProgramSettings, models: Mapping[str, Module], decoder: Module) -> Module:
    """The whole loop as one Module: noise and conditions in; `latent` and `image` (in [0, 1]) out.

    `models` maps each expert's name to its traced UNet with inputs latent (branches * B, C, H, W), timestep (1,),
    context (branches * B, L, D) and, if it has a label embedding, vector (branches * B, V). `decoder` maps latent
    (B, C, H, W) to an image (B, 3, H, W) in [-1, 1]. Source: arXiv 2312.16486 and mindspore-lab/mindone
    examples/pangu_draw_v3.
    Raises CoopdrawError when the models do not fit each other.
    """
    plan = step_plan(settings)
    used = {name: models[name] for name in dict.fromkeys(planned.model for planned in plan)}
    loop = _Loop(settings, used, decoder)
    latent = loop.start(plan)
    for planned in plan:
        latent = loop.step(planned, latent)
    return loop.finish(latent)


class _Loop:
    """The entry graph while it grows."""

    def __init__(self, settings: ProgramSettings, models: Mapping[str, Module], decoder: Module) -> None:
        self._branches = settings.guidance.branches
        self._models = models
        self._decoder = decoder
        self._latent = decoder.entry.inputs[0].type
        self._dtype = self._latent.dtype
        self._check_models()
        self._denoise = build_denoise(settings.guidance, self._latent, _DENOISE)
        self._euler = build_euler(self._latent, _EULER)
        self._builder = GraphBuilder(ENTRY)
        self._conditions: dict[str, Value] = {}

    def start(self, plan: Sequence[PlannedStep]) -> Value:
        """Inputs in the order of the design, and the first latent."""
        noise = self._builder.input("noise", self._latent)
        types = {value.name: value.type for value in next(iter(self._models.values())).entry.inputs}
        parts: dict[str, list[Value]] = {"context": [], "vector": []}
        for branch in self._branches:
            for kind in [kind for kind in parts if kind in types]:
                parts[kind].append(self._builder.input(f"{kind}.{branch}", self._one_branch(types[kind])))
        self._conditions = {kind: self._stacked(values, kind) for kind, values in parts.items() if values}
        return self._builder.add(
            "mul", noise, self._scalar(initial_noise_scale(tuple(p.step for p in plan))), name="latent"
        )

    def step(self, planned: PlannedStep, latent: Value) -> Value:
        """Scale, predict, guide and move: one step of the sampler."""
        step, builder = planned.step, self._builder
        builder.source = f"step.{step.index}"
        scaled = builder.add("mul", latent, self._scalar(step.input_scale))
        batch = builder.add("concat", *[scaled] * len(self._branches), axis=0) if len(self._branches) > 1 else scaled
        timestep = builder.constant(np.asarray([step.t], self._dtype.numpy), "timestep")
        (epsilon,) = builder.call(self._models[planned.model].entry, batch, timestep, *self._conditions.values())
        (denoised,) = builder.call(self._denoise, latent, epsilon, self._scalar(step.sigma, "sigma"))
        kept, gained = (builder.constant(value, "coefficient") for value in euler_coefficients(step, self._dtype))
        (moved,) = builder.call(self._euler, latent, denoised, kept, gained)
        return moved

    def finish(self, latent: Value) -> Module:
        """Decode, map [-1, 1] to [0, 1], and put the module together."""
        builder = self._builder
        builder.source = "decode"
        (decoded,) = builder.call(self._decoder.entry, latent)
        half = self._scalar(0.5)
        image = builder.add("add", builder.add("mul", decoded, half), half)
        image = builder.add("clamp", image, minimum=0.0, maximum=1.0)
        entry = builder.build([image, latent], ["image", "latent"])
        return self._module(entry)

    def _module(self, entry: Graph) -> Module:
        functions = {graph.name: graph for graph in (self._denoise, self._euler)}
        weights: dict[str, Weight] = {}
        for module in (*self._models.values(), self._decoder):
            functions |= {module.entry.name: module.entry} | dict(module.functions)
            weights |= dict(module.weights)
        return Module(entry, functions, weights)

    def _scalar(self, value: float, name: str = "scale") -> Value:
        return self._builder.constant(np.asarray(value, self._dtype.numpy), name)

    def _one_branch(self, stacked: TensorType) -> TensorType:
        return TensorType(stacked.dtype, (self._latent.shape[0], *stacked.shape[1:]))

    def _stacked(self, values: Sequence[Value], name: str) -> Value:
        return values[0] if len(values) == 1 else self._builder.add("concat", *values, name=name, axis=0)

    def _check_models(self) -> None:
        """All experts take the same inputs, fitting the decoder's latent and the number of branches."""
        batch = len(self._branches) * self._latent.shape[0]
        wanted = TensorType(self._dtype, (batch, *self._latent.shape[1:]))
        signatures = {name: [(v.name, v.type) for v in module.entry.inputs] for name, module in self._models.items()}
        first, *others = signatures
        for name in others:
            if signatures[name] != signatures[first]:
                raise CoopdrawError(
                    f"models {first} and {name} take different inputs ({_listing(signatures[first])} and "
                    f"{_listing(signatures[name])}); "
                    "experts must share one architecture"
                )
        for name, module in self._models.items():
            if module.entry.inputs[0].type != wanted or module.entry.outputs[0].type != wanted:
                raise CoopdrawError(
                    f"model {name} maps {module.entry.inputs[0].type} to {module.entry.outputs[0].type}, but this "
                    f"pipeline needs {wanted}; check image_size and the VAE"
                )
        if self._dtype is not DType.FLOAT32:
            raise CoopdrawError(f"the sampling loop runs in float32, not {self._dtype}; decode from float32 latents")


def _listing(signature: Sequence[tuple[str, TensorType]]) -> str:
    return ", ".join(f"{name}: {type}" for name, type in signature)
