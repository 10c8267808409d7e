"""Assembles the sampling program: one entry graph that calls the models step after step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.coop import MAIN, LatentBridge, ResolutionBridge, Transfer, build_transfer
from coopdraw.graphs.sampling.denoising import Denoising, Network
from coopdraw.graphs.sampling.plan import PlannedStep, ProgramSettings, step_plan
from coopdraw.graphs.sampling.samplers import build_euler, euler_coefficients
from coopdraw.graphs.sampling.schedule import Step, initial_noise_scale
from coopdraw.graphs.sampling.start import StartPicture
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

ENTRY = "sampling"
_EULER = "sampler.euler"


@dataclass(frozen=True)
class Space:
    """A latent space: `decode` maps its latent to an image in [-1, 1], `encode` back; None where that isn't used."""

    latent: TensorType
    decode: Module | None
    encode: Module | None


def build_program(settings: ProgramSettings, networks: Mapping[str, Network], spaces: Mapping[str, Space]) -> Module:
    """The whole loop as one Module: noise, conditions and perhaps a picture in; `latent` and `image` (in [0, 1]) out.

    `networks` has every model of the plan by name. `spaces` has the main latent space as "main" and those of the other
    models by their names; those that a transfer of the plan starts or ends in need the half of the VAE that it takes,
    those of `picture_spaces` the encoder.
    Source: arXiv 2312.16486 and mindspore-lab/mindone examples/pangu_draw_v3. Raises CoopdrawError when the parts do
    not fit each other.
    """
    plan = step_plan(settings)
    loop = _Loop(settings, networks, spaces)
    latent = loop.start(plan)
    for planned in plan:
        latent = loop.step(planned, latent)
    return loop.finish(latent)


class _Loop:
    """The entry graph while it grows, with the partners' latents and the functions that it calls."""

    def __init__(self, settings: ProgramSettings, networks: Mapping[str, Network], spaces: Mapping[str, Space]) -> None:
        self._settings = settings
        self._spaces = spaces
        self._builder = GraphBuilder(ENTRY)
        self._denoising = Denoising(settings, networks, self._builder)
        self._modules: dict[str, Module] = {}
        self._functions: dict[str, Graph] = {}
        self._partners: dict[LatentBridge, Value] = {}
        self._noise: Value | None = None
        self._noises: dict[str, Value] = {}
        self._picture: StartPicture | None = None
        if any(space.latent.dtype is not DType.FLOAT32 for space in spaces.values()):
            raise CoopdrawError("the sampling loop runs in float32; give the VAEs float32 latents")

    def start(self, plan: Sequence[PlannedStep]) -> Value:
        """The first latent."""
        self._builder.source = "start"
        first = plan[0].spaces()[0]
        self._noise = self._builder.input("noise" if first == MAIN else f"{first}.noise", self._spaces[first].latent)
        if self._settings.start is not None:
            shape = self._half(MAIN, "decode").outputs[0].type.shape
            self._picture = StartPicture(
                self._settings.start, shape, self._builder, lambda space: self._half(space, "encode")
            )
        return self._begin(first, self._noise, plan[0].step)

    def _begin(self, space: str, noise: Value, step: Step) -> Value:
        """A model's latent at the first step: noise * sqrt(1 + sigma^2), or the start picture's z0 + sigma * noise."""
        if self._picture is None:
            return self._builder.add("mul", noise, self._scalar(initial_noise_scale((step,))), name="latent")
        return self._noised(self._picture.latent(space), noise, step)

    def step(self, planned: PlannedStep, latent: Value) -> Value:
        """Cross resolutions, predict, cooperate and move: one step of the sampler."""
        step = planned.step
        self._builder.source = f"step.{step.index}"
        for bridge, transfer in planned.arrivals:
            latent = self._arrive(bridge, transfer, step, latent)
        denoised = self._denoising.predict(planned.model, latent, step)
        denoised = self._cooperate(planned, denoised)
        return self._restore(self._move(latent, denoised, step), planned.space, step.sigma_next)

    def finish(self, latent: Value) -> Module:
        """Decode, map [-1, 1] to [0, 1], and put the module together."""
        builder = self._builder
        builder.source = "decode"
        decoder = self._half(MAIN, "decode")
        (decoded,) = builder.call(decoder, latent)
        half = self._scalar(0.5)
        image = builder.add("add", builder.add("mul", decoded, half), half)
        image = builder.add("clamp", image, minimum=0.0, maximum=1.0)
        functions = self._functions | self._denoising.functions
        if self._picture is not None:
            image = self._picture.keep_pixels(image)
            functions |= self._picture.functions
        entry = builder.build([image, latent], ["image", "latent"])
        weights: dict[str, Weight] = {}
        for module in (*self._modules.values(), *self._denoising.modules()):
            functions |= {module.entry.name: module.entry} | dict(module.functions)
            weights |= dict(module.weights)
        return Module(entry, functions, weights)

    def _arrive(self, bridge: ResolutionBridge, transfer: Transfer, step: Step, latent: Value) -> Value:
        """One more evaluation of the source, its prediction carried over, and fresh noise: x = x0 + sigma * noise."""
        predicted = self._denoising.predict(bridge.source, latent, step)
        carried = self._carry(transfer, predicted)
        self._noise = self._builder.input(f"{bridge.name}.noise", carried.type)
        return self._restore(self._noised(carried, self._noise, step), transfer.target, step.sigma)

    def _restore(self, latent: Value, space: str, sigma: float) -> Value:
        """The running latent with what lies outside of a mask, at noise level `sigma` of the noise it has."""
        if self._picture is None or self._noise is None:
            return latent
        return self._picture.restore(latent, space, self._noise, sigma)

    def _cooperate(self, planned: PlannedStep, own: Value) -> Value:
        """The running model's prediction after the partners of the step, one after another; their latents move on."""
        step, mixed = planned.step, own
        for bridge in planned.partners:
            latent = self._partners.get(bridge) or self._enter(bridge, planned, mixed)
            predicted = self._denoising.predict(bridge.partner, latent, step)
            carried = self._carry(Transfer(bridge.partner, planned.space), predicted)
            mixed = carried if bridge.strength == 1.0 else self._mix(carried, mixed, bridge.strength)
            back = (
                self._carry(Transfer(planned.space, bridge.partner), mixed) if planned.goes_back(bridge) else predicted
            )
            self._partners[bridge] = self._move(latent, back, step)
        return mixed

    def _enter(self, bridge: LatentBridge, planned: PlannedStep, own: Value) -> Value:
        """A partner's first latent: as any model's at step 0, later the running model's prediction with noise."""
        wanted = self._spaces[bridge.partner].latent
        same = self._noise is not None and self._noise.type == wanted
        if bridge.share_noise and not same:
            raise CoopdrawError(
                f"{bridge.partner} can't share noise: its latent is {wanted}, another than that of {planned.space}; "
                "set share_noise = false"
            )
        shared = same if bridge.share_noise is None else bridge.share_noise
        noise = self._noise if shared and self._noise else self._own_noise(bridge.partner, wanted)
        if planned.step.index == 0:
            return self._begin(bridge.partner, noise, planned.step)
        return self._noised(self._carry(Transfer(planned.space, bridge.partner), own), noise, planned.step)

    def _own_noise(self, partner: str, type: TensorType) -> Value:
        """The partner's own input, which two windows of one partner share."""
        if partner not in self._noises:
            self._noises[partner] = self._builder.input(f"{partner}.noise", type)
        return self._noises[partner]

    def _noised(self, denoised: Value, noise: Value, step: Step) -> Value:
        return self._builder.add("add", denoised, self._builder.add("mul", noise, self._scalar(step.sigma, "sigma")))

    def _mix(self, carried: Value, own: Value, strength: float) -> Value:
        theirs = self._builder.add("mul", carried, self._scalar(strength))
        return self._builder.add("add", theirs, self._builder.add("mul", own, self._scalar(1.0 - strength)))

    def _move(self, latent: Value, denoised: Value, step: Step) -> Value:
        """One Euler step."""
        name = self._suffixed(_EULER, latent.type)
        if name not in self._functions:
            self._functions[name] = build_euler(latent.type, name)
        kept, gained = (self._builder.constant(c, "coefficient") for c in euler_coefficients(step, latent.type.dtype))
        return self._builder.call(self._functions[name], latent, denoised, kept, gained)[0]

    def _carry(self, transfer: Transfer, latent: Value) -> Value:
        if transfer.function not in self._functions:
            decode, encode = self._half(transfer.source, "decode"), self._half(transfer.target, "encode")
            self._functions[transfer.function] = build_transfer(transfer, decode, encode)
        return self._builder.call(self._functions[transfer.function], latent)[0]

    def _half(self, space: str, half: str) -> Graph:
        """The decoder or encoder of a space."""
        module = self._spaces[space].decode if half == "decode" else self._spaces[space].encode
        if module is None:
            raise CoopdrawError(f"the latents of {space} need a VAE that can {half}; name a whole VAE")
        self._modules[module.entry.name] = module
        return module.entry

    def _suffixed(self, name: str, latent: TensorType) -> str:
        """`name` for the main latent, with the shape behind it for others."""
        same = latent == self._spaces[MAIN].latent
        return name if same else f"{name}.{'x'.join(map(str, latent.shape[1:]))}"

    def _scalar(self, value: float, name: str = "scale") -> Value:
        return self._builder.constant(np.asarray(value, DType.FLOAT32.numpy), name)
