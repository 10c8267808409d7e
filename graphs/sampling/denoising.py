"""Guided predictions of any model of a pipeline, with its conditions and adapters, inside the entry graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    it has adapters -> epsilon.

    `prefix` stands before the names of its inputs: empty for the experts, `<model>.` for others. `adapters` are by
    name. A UNet takes the sums of what its ControlNets make as inputs `residual.<n>` and of what its T2I-Adapters make
    as `feature.<n>` (with B or all branches in the batch).
    """

    unet: Module
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
        self._adapters = Adapters(builder)
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
        """x0 of a model for a latent (B, C, H, W) in the sampler's variable, guided over all branches."""
        builder, network = self._builder, self._networks[model]
        count = len(self._guidance.branches)
        dtype = latent.type.dtype.numpy
        scaled = builder.add("mul", latent, builder.constant(np.asarray(step.input_scale, dtype), "input_scale"))
        batch = builder.add("concat", *[scaled] * count, axis=0) if count > 1 else scaled
        self._check(model, network.unet.entry, batch.type)
        timestep = builder.constant(np.asarray([step.t], dtype), "timestep")
        arguments = [batch, timestep, *self._stacked_conditions(network, latent.type.shape[0])]
        acting = [use for use in self._uses.get(model, ()) if use.acts_at(step.index)]
        arguments += self._adapters.added(network.unet.entry, network.adapters, acting, arguments)
        self._used[network.unet.entry.name] = network.unet
        (epsilon,) = builder.call(network.unet.entry, *arguments)
        sigma = builder.constant(np.asarray(step.sigma, dtype), "sigma")
        return builder.call(self._denoise_function(latent.type), latent, epsilon, sigma)[0]

    def _denoise_function(self, latent: TensorType) -> Graph:
        for graph in self._functions.values():
            if graph.inputs[0].type == latent:
                return graph
        name = f"{_DENOISE}.{'x'.join(map(str, latent.shape[1:]))}" if self._functions else _DENOISE
        self._functions[name] = build_denoise(self._guidance, latent, name)
        return self._functions[name]

    def _stacked_conditions(self, network: Network, batch: int) -> list[Value]:
        """`context` and `vector` of a network with all branches in the batch, each stacked once."""
        types = {value.name: value.type for value in network.unet.entry.inputs}
        wanted = {kind: types[kind] for kind in _CONDITIONS if kind in types}
        missing = [kind for kind in wanted if f"{network.prefix}{kind}" not in self._conditions]
        parts: dict[str, list[Value]] = {kind: [] for kind in missing}
        for branch in self._guidance.branches:
            for kind in missing:
                one = TensorType(wanted[kind].dtype, (batch, *wanted[kind].shape[1:]))
                parts[kind].append(self._builder.input(f"{network.prefix}{kind}.{branch}", one))
        for kind, values in parts.items():
            name = f"{network.prefix}{kind}"
            stacked = self._builder.add("concat", *values, name=name, axis=0) if len(values) > 1 else values[0]
            self._conditions[name] = stacked
        found = [self._conditions[f"{network.prefix}{kind}"] for kind in wanted]
        for value, (kind, type) in zip(found, wanted.items(), strict=True):
            if value.type != type:
                raise CoopdrawError(
                    f"{network.unet.entry.name} takes a {kind} of {type}, but the model before it one of {value.type}; "
                    "experts must share one architecture"
                )
        return found

    def _check(self, model: str, unet: Graph, batch: TensorType) -> None:
        if unet.inputs[0].type != batch or unet.outputs[0].type != batch:
            raise CoopdrawError(
                f"model {model} maps {unet.inputs[0].type} to {unet.outputs[0].type}, but its VAE and the guidance "
                f"make it {batch}; check image_size and the VAE"
            )
