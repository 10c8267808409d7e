"""What ControlNets and T2I-Adapters add to a UNet at each step, inside the entry graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.plan import AdapterUse
from coopdraw.graphs.types import TensorType

RESIDUAL, FEATURE = "residual.", "feature."
"""How the names of a UNet's inputs for ControlNets and for T2I-Adapters begin; a number follows."""


@dataclass(frozen=True)
class ControlNetwork:
    """A ControlNet: `hint` maps image (B, C, H, W) in [0, 1] to features; `network` maps the UNet's latent, timestep
    and conditions and the features (batch 1, or the branches in the batch) to residuals, the middle block's last.
    """

    hint: Module
    network: Module


@dataclass(frozen=True)
class FeatureNetwork:
    """A T2I-Adapter: `network` maps image (B, C, H, W) in [0, 1] to a feature per level, whatever the step."""

    network: Module


AdapterNetwork = ControlNetwork | FeatureNetwork


class Adapters:
    """Emits what adapters add into `builder`. A picture is read, and what depends on nothing else computed, once."""

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._hints: dict[str, Value] = {}
        self._features: dict[str, list[Value]] = {}
        self._used: dict[str, Module] = {}
        self.functions: dict[str, Graph] = {}

    def modules(self) -> Iterator[Module]:
        """The networks of the adapters that act."""
        yield from self._used.values()

    def added(
        self,
        unet: Graph,
        networks: Mapping[str, AdapterNetwork],
        acting: Sequence[AdapterUse],
        arguments: Sequence[Value],
    ) -> list[Value]:
        """The residuals and then the features that `unet` takes: sums over `acting`, zeros where nothing is added.

        `arguments` are the UNet's other inputs. Raises CoopdrawError if an adapter adds more than the UNet takes.
        """
        residuals: list[Sequence[Value]] = []
        features: list[Sequence[Value]] = []
        for use in acting:
            network = networks[use.name]
            if isinstance(network, ControlNetwork):
                _check_taken(unet, RESIDUAL, use, len(network.network.entry.outputs))
                residuals.append(self._control(network, use, arguments))
            else:
                _check_taken(unet, FEATURE, use, len(network.network.entry.outputs))
                features.append(self._features_for(unet, network, use))
        return [*self._sums(_types(unet, RESIDUAL), residuals), *self._sums(_types(unet, FEATURE), features)]

    def _sums(self, types: Sequence[TensorType], parts: Sequence[Sequence[Value]]) -> list[Value]:
        """Place by place; not every part has all places."""
        return [
            self._sum(type, [part[index] for part in parts if index < len(part)]) for index, type in enumerate(types)
        ]

    def _sum(self, type: TensorType, terms: Sequence[Value]) -> Value:
        builder = self._builder
        if not terms:
            zero = builder.constant(np.zeros((), type.dtype.numpy), "zero")
            return builder.add("broadcast_to", zero, shape=type.shape)
        total = terms[0]
        for term in terms[1:]:
            total = builder.add("add", total, term)
        return total

    def _control(self, control: ControlNetwork, use: AdapterUse, arguments: Sequence[Value]) -> Sequence[Value]:
        builder = self._builder
        if use.name not in self._hints:
            image = builder.input(f"{use.name}.image", control.hint.entry.inputs[0].type)
            (hint,) = builder.call(control.hint.entry, image)
            self._hints[use.name] = _repeated(builder, hint, control.network.entry.inputs[-1].type)
            self._used |= {network.entry.name: network for network in (control.hint, control.network)}
            self.functions[f"{use.name}.control"] = _scaled_control(control.network.entry, use)
        return builder.call(self.functions[f"{use.name}.control"], *arguments, self._hints[use.name])

    def _features_for(self, unet: Graph, adapter: FeatureNetwork, use: AdapterUse) -> Sequence[Value]:
        builder, network = self._builder, adapter.network
        if use.name not in self._features:
            image = builder.input(f"{use.name}.image", network.entry.inputs[0].type)
            features = builder.call(network.entry, image)
            self._features[use.name] = [
                _repeated(builder, _scaled(builder, feature, use), type)
                for feature, type in zip(features, _types(unet, FEATURE), strict=False)
            ]
            self._used[network.entry.name] = network
        return self._features[use.name]


def _types(unet: Graph, kind: str) -> list[TensorType]:
    return [value.type for value in unet.inputs if value.name.startswith(kind)]


def _check_taken(unet: Graph, kind: str, use: AdapterUse, count: int) -> None:
    taken = len(_types(unet, kind))
    if count > taken:
        raise CoopdrawError(
            f"adapter {use.name} adds {count} tensors, but {unet.name} has {taken} inputs {kind}<n>; "
            "trace the UNet with inputs for every adapter that acts"
        )


def _repeated(builder: GraphBuilder, value: Value, wanted: TensorType) -> Value:
    """The same for every branch of guidance, if `wanted` has them all in its batch."""
    copies = wanted.shape[0] // value.type.shape[0]
    return builder.add("concat", *[value] * copies, axis=0) if copies > 1 else value


def _scaled(builder: GraphBuilder, value: Value, use: AdapterUse) -> Value:
    if use.scale == 1.0:
        return value
    return builder.add("mul", value, builder.constant(np.asarray(use.scale, value.type.dtype.numpy), "scale"))


def _scaled_control(network: Graph, use: AdapterUse) -> Graph:
    """The ControlNet with every residual multiplied by the adapter's scale."""
    builder = GraphBuilder(f"{use.name}.control")
    builder.source = use.name
    inputs = [builder.input(value.name, value.type) for value in network.inputs]
    residuals = [_scaled(builder, residual, use) for residual in builder.call(network, *inputs)]
    return builder.build(residuals, network.output_names)
