"""Guided predictions of any model of a pipeline, with its conditions and adapters, inside the entry graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.adapters import AdapterNetwork, Adapters
from coopdraw.graphs.sampling.guidance import build_denoise
from coopdraw.graphs.sampling.plan import ProgramSettings
from coopdraw.graphs.sampling.schedule import Step
from coopdraw.graphs.types import TensorType

_DENOISE = "guidance.denoise"
_CONDITIONS = ("context", "vector")


@dataclass(frozen=True)
class Network:
    """A UNet: latent (branches * B, C, H, W), timestep (1,), context, perhaps vector, then residuals and features, if
    it has adapters -> epsilon. `unets` has it by the number of branches in its batch.

    `prefix` stands before the names of its inputs: empty for the experts, `<model>.` for others. `adapters` are by
    name. A UNet takes the sums of what its ControlNets make as inputs `residual.<n>` and of what its T2I-Adapters make
    as `feature.<n>` (with B or all branches in the batch).
    """

    unets: Mapping[int, Module]
    prefix: str
    adapters: Mapping[str, AdapterNetwork]


class Denoising:
    """Emits predictions into `builder`; conditions become inputs when they are first needed."""

    def __init__(self, settings: ProgramSettings, networks: Mapping[str, Network], builder: GraphBuilder) -> None:
        self._guidance = settings.guidance
        self._uses = settings.adapters
        self._networks = networks
        self._builder = builder
        self._conditions: dict[str, Value] = {}
        self._stacked: dict[tuple[str, tuple[str, ...]], Value] = {}
        self._adapters = Adapters(settings.guidance, builder)
        self._used: dict[str, Module] = {}
        self._functions: dict[str, Graph] = {}

    @property
    def functions(self) -> dict[str, Graph]:
        """The functions that predictions call besides the networks."""
        return self._functions | self._adapters.functions

    def modules(self) -> Iterator[Module]:
        """The networks that predictions call."""
        yield from self._used.values()
        yield from self._adapters.modules()

    def predict(self, model: str, latent: Value, step: Step) -> Value:
        """x0 of a model for a latent (B, C, H, W) in the sampler's variable, guided over the branches of the step."""
        builder, network = self._builder, self._networks[model]
        branches = self._guidance.branches_at(step.index)
        count = len(branches)
        if count not in network.unets:
            raise CoopdrawError(f"model {model} has no UNet for {count} branches in the batch; trace one")
        unet = network.unets[count]
        dtype = latent.type.dtype.numpy
        scaled = builder.add("mul", latent, builder.constant(np.asarray(step.input_scale, dtype), "input_scale"))
        batch = builder.add("concat", *[scaled] * count, axis=0) if count > 1 else scaled
        self._check(model, unet.entry, batch.type)
        timestep = builder.constant(np.asarray([step.t], dtype), "timestep")
        arguments = [batch, timestep, *self._stacked_conditions(unet.entry, network.prefix, branches)]
        acting = [use for use in self._uses.get(model, ()) if use.acts_at(step.index)]
        arguments += self._adapters.added(unet.entry, network.adapters, acting, branches, arguments)
        self._used[unet.entry.name] = unet
        (epsilon,) = builder.call(unet.entry, *arguments)
        sigma = builder.constant(np.asarray(step.sigma, dtype), "sigma")
        return builder.call(self._denoise_function(branches, latent.type), latent, epsilon, sigma)[0]

    def _denoise_function(self, branches: tuple[str, ...], latent: TensorType) -> Graph:
        name = f"{_DENOISE}{self._guidance.suffix(branches)}"
        if name in self._functions and self._functions[name].inputs[0].type != latent:
            name = f"{name}.{'x'.join(map(str, latent.shape[1:]))}"
        if name not in self._functions:
            self._functions[name] = build_denoise(self._guidance.only(branches), latent, name)
        return self._functions[name]

    def _stacked_conditions(self, unet: Graph, prefix: str, branches: tuple[str, ...]) -> list[Value]:
        """`context` and `vector` of a UNet with `branches` in the batch, each stacked once."""
        types = {value.name: value.type for value in unet.inputs}
        wanted = {kind: types[kind] for kind in _CONDITIONS if kind in types}
        parts: dict[str, list[Value]] = {kind: [] for kind in wanted}
        for branch in branches:
            for kind, type in wanted.items():
                one = TensorType(type.dtype, (type.shape[0] // len(branches), *type.shape[1:]))
                parts[kind].append(self._condition(f"{prefix}{kind}.{branch}", one, unet))
        return [self._stack(f"{prefix}{kind}", branches, values) for kind, values in parts.items()]

    def _condition(self, name: str, type: TensorType, unet: Graph) -> Value:
        """The input of one branch, which becomes one when it is first needed."""
        found = self._conditions.get(name) or self._builder.input(name, type)
        if found.type != type:
            raise CoopdrawError(
                f"{unet.name} takes {name} as {type}, but the model before it as {found.type}; "
                "experts must share one architecture"
            )
        self._conditions[name] = found
        return found

    def _stack(self, name: str, branches: tuple[str, ...], values: Sequence[Value]) -> Value:
        if len(values) == 1:
            return values[0]
        if (name, branches) not in self._stacked:
            self._stacked[name, branches] = self._builder.add("concat", *values, name=name, axis=0)
        return self._stacked[name, branches]

    def _check(self, model: str, unet: Graph, batch: TensorType) -> None:
        if unet.inputs[0].type != batch or unet.outputs[0].type != batch:
            raise CoopdrawError(
                f"model {model} maps {unet.inputs[0].type} to {unet.outputs[0].type}, but its VAE and the guidance "
                f"make it {batch}; check image_size and the VAE"
            )
