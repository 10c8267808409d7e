"""Guided predictions of any model of a pipeline, with its conditions and adapters, inside the entry graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.guidance import build_denoise
from coopdraw.graphs.sampling.plan import AdapterUse, ProgramSettings
from coopdraw.graphs.sampling.schedule import Step
from coopdraw.graphs.types import TensorType

_DENOISE = "guidance.denoise"
_CONDITIONS = ("context", "vector")
RESIDUAL = "residual."


@dataclass(frozen=True)
class ControlNetwork:
    """A ControlNet: `hint` maps image (B, 3, H, W) in [0, 1] to features; `network` maps the UNet's latent, timestep
    and conditions and the features (batch 1, or the branches in the batch) to residuals, the middle block's last.
    """

    hint: Module
    network: Module


@dataclass(frozen=True)
class Network:
    """A UNet: latent (branches * B, C, H, W), timestep (1,), context, perhaps vector, residuals -> epsilon.

    `prefix` stands before the names of its inputs: empty for the experts, `<model>.` for others. `controls` are by
    adapter name; a UNet that has any takes their summed residuals as inputs `residual.<n>`.
    """

    unet: Module
    prefix: str
    controls: Mapping[str, ControlNetwork]


class Denoising:
    """Emits predictions into `builder`; conditions become inputs when they are first needed."""

    def __init__(self, settings: ProgramSettings, networks: Mapping[str, Network], builder: GraphBuilder) -> None:
        self._guidance = settings.guidance
        self._uses = settings.adapters
        self._networks = networks
        self._builder = builder
        self._conditions: dict[str, Value] = {}
        self._hints: dict[str, Value] = {}
        self._used: dict[str, Module] = {}
        self.functions: dict[str, Graph] = {}

    def modules(self) -> Iterator[Module]:
        """The networks that predictions call."""
        yield from self._used.values()

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
        arguments += self._residuals(model, network, arguments, step)
        self._used[network.unet.entry.name] = network.unet
        (epsilon,) = builder.call(network.unet.entry, *arguments)
        sigma = builder.constant(np.asarray(step.sigma, dtype), "sigma")
        return builder.call(self._denoise_function(latent.type), latent, epsilon, sigma)[0]

    def _denoise_function(self, latent: TensorType) -> Graph:
        for graph in self.functions.values():
            if graph.inputs[0].name == "latent" and graph.inputs[0].type == latent and graph.name.startswith(_DENOISE):
                return graph
        first = not any(name.startswith(_DENOISE) for name in self.functions)
        name = _DENOISE if first else f"{_DENOISE}.{'x'.join(map(str, latent.shape[1:]))}"
        self.functions[name] = build_denoise(self._guidance, latent, name)
        return self.functions[name]

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

    def _residuals(self, model: str, network: Network, arguments: Sequence[Value], step: Step) -> list[Value]:
        """The sum of what the model's ControlNets add at this step; zeros where none acts."""
        types = [value.type for value in network.unet.entry.inputs if value.name.startswith(RESIDUAL)]
        totals: list[Value] = []
        for use in self._uses.get(model, ()):
            if types and use.acts_at(step.index) and use.scale != 0.0:
                found = self._control(network.controls[use.name], use, arguments)
                pairs = zip(totals, found, strict=True) if totals else ()
                totals = [self._builder.add("add", a, b) for a, b in pairs] or found
        return totals or [self._zeros(type) for type in types]

    def _control(self, control: ControlNetwork, use: AdapterUse, arguments: Sequence[Value]) -> list[Value]:
        builder = self._builder
        if use.name not in self._hints:
            image = builder.input(f"{use.name}.image", control.hint.entry.inputs[0].type)
            (hint,) = builder.call(control.hint.entry, image)
            copies = control.network.entry.inputs[-1].type.shape[0] // hint.type.shape[0]
            self._hints[use.name] = builder.add("concat", *[hint] * copies, axis=0) if copies > 1 else hint
            self._used[control.hint.entry.name] = control.hint
            self._used[control.network.entry.name] = control.network
            self.functions[f"{use.name}.control"] = _scaled_control(control.network.entry, use)
        return list(builder.call(self.functions[f"{use.name}.control"], *arguments, self._hints[use.name]))

    def _zeros(self, type: TensorType) -> Value:
        zero = self._builder.constant(np.zeros((), type.dtype.numpy), "zero")
        return self._builder.add("broadcast_to", zero, shape=type.shape)

    def _check(self, model: str, unet: Graph, batch: TensorType) -> None:
        if unet.inputs[0].type != batch or unet.outputs[0].type != batch:
            raise CoopdrawError(
                f"model {model} maps {unet.inputs[0].type} to {unet.outputs[0].type}, but its VAE and the guidance "
                f"make it {batch}; check image_size and the VAE"
            )


def _scaled_control(network: Graph, use: AdapterUse) -> Graph:
    """The ControlNet with every residual multiplied by the adapter's scale."""
    builder = GraphBuilder(f"{use.name}.control")
    builder.source = use.name
    inputs = [builder.input(value.name, value.type) for value in network.inputs]
    residuals = builder.call(network, *inputs)
    if use.scale != 1.0:
        scale = builder.constant(np.asarray(use.scale, residuals[0].type.dtype.numpy), "scale")
        residuals = tuple(builder.add("mul", value, scale) for value in residuals)
    return builder.build(residuals, network.output_names)
