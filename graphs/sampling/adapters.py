"""What ControlNets and T2I-Adapters add to a UNet at each step, inside the entry graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import AdapterUse
from coopdraw.graphs.types import TensorType

RESIDUAL, FEATURE = "residual.", "feature."
"""How the names of a UNet's inputs for ControlNets and for T2I-Adapters begin; a number follows."""


@dataclass(frozen=True)
class ControlNetwork:
    """A ControlNet: `hint` maps image (B, C, H, W) in [0, 1] to features; the others map the UNet's latent, timestep
    and conditions and the features (batch 1, or the branches in the batch) to residuals, the middle block's last.

    `networks` are by the number of branches in their batch, as those of the UNet.
    """

    hint: Module
    networks: Mapping[int, Module]


@dataclass(frozen=True)
class FeatureNetwork:
    """A T2I-Adapter: `network` maps image (B, C, H, W) in [0, 1] to a feature per level, whatever the step."""

    network: Module


AdapterNetwork = ControlNetwork | FeatureNetwork


class Adapters:
    """Emits what adapters add into `builder`. A picture is read, and what depends on nothing else computed, once."""

    def __init__(self, guidance: Guidance, builder: GraphBuilder) -> None:
        self._guidance = guidance
        self._builder = builder
        self._made: dict[str, Sequence[Value]] = {}
        self._repeated: dict[tuple[Value, int], Value] = {}
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
        branches: tuple[str, ...],
        arguments: Sequence[Value],
    ) -> list[Value]:
        """The residuals and then the features that `unet` takes: sums over `acting`, zeros where nothing is added.

        `arguments` are the UNet's other inputs, with `branches` in their batch. Raises CoopdrawError if an adapter adds
        more than the UNet takes, or has no network for so many branches.
        """
        residuals: list[Sequence[Value]] = []
        features: list[Sequence[Value]] = []
        for use in acting:
            network = networks[use.name]
            if isinstance(network, ControlNetwork):
                module = network.networks.get(len(branches))
                if module is None:
                    raise CoopdrawError(f"adapter {use.name} has no network for {len(branches)} branches; trace one")
                _check_taken(unet, RESIDUAL, use, len(module.entry.outputs))
                name = f"{use.name}.control{self._guidance.suffix(branches)}"
                residuals.append(self._control(name, network.hint, module, use, arguments))
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

    def _control(
        self, name: str, hint: Module, network: Module, use: AdapterUse, arguments: Sequence[Value]
    ) -> Sequence[Value]:
        """The scaled residuals; `name` is that of the function that makes them."""
        if use.name not in self._made:
            self._made[use.name] = self._read(hint, use)
        (features,) = self._repeated_to([network.entry.inputs[-1].type], self._made[use.name])
        if name not in self.functions:
            self._used[network.entry.name] = network
            self.functions[name] = _scaled_control(name, network.entry, use)
        return self._builder.call(self.functions[name], *arguments, features)

    def _features_for(self, unet: Graph, adapter: FeatureNetwork, use: AdapterUse) -> Sequence[Value]:
        if use.name not in self._made:
            features = self._read(adapter.network, use)
            self._made[use.name] = [_scaled(self._builder, feature, use) for feature in features]
        return self._repeated_to(_types(unet, FEATURE), self._made[use.name])

    def _read(self, network: Module, use: AdapterUse) -> Sequence[Value]:
        """What a network makes of an adapter's picture."""
        image = self._builder.input(f"{use.name}.image", network.entry.inputs[0].type)
        self._used[network.entry.name] = network
        return self._builder.call(network.entry, image)

    def _repeated_to(self, types: Sequence[TensorType], values: Sequence[Value]) -> list[Value]:
        """The same for every branch of guidance, where a type has them all in its batch; there may be more types."""
        return [self._repeat(value, type) for value, type in zip(values, types, strict=False)]

    def _repeat(self, value: Value, wanted: TensorType) -> Value:
        copies = wanted.shape[0] // value.type.shape[0]
        if copies <= 1:
            return value
        if (value, copies) not in self._repeated:
            self._repeated[value, copies] = self._builder.add("concat", *[value] * copies, axis=0)
        return self._repeated[value, copies]


def _types(unet: Graph, kind: str) -> list[TensorType]:
    return [value.type for value in unet.inputs if value.name.startswith(kind)]


def _check_taken(unet: Graph, kind: str, use: AdapterUse, count: int) -> None:
    taken = len(_types(unet, kind))
    if count > taken:
        raise CoopdrawError(
            f"adapter {use.name} adds {count} tensors, but {unet.name} has {taken} inputs {kind}<n>; "
            "trace the UNet with inputs for every adapter that acts"
        )


def _scaled(builder: GraphBuilder, value: Value, use: AdapterUse) -> Value:
    if use.scale == 1.0:
        return value
    return builder.add("mul", value, builder.constant(np.asarray(use.scale, value.type.dtype.numpy), "scale"))


def _scaled_control(name: str, network: Graph, use: AdapterUse) -> Graph:
    """The ControlNet with every residual multiplied by the adapter's scale."""
    builder = GraphBuilder(name)
    builder.source = use.name
    inputs = [builder.input(value.name, value.type) for value in network.inputs]
    residuals = [_scaled(builder, residual, use) for residual in builder.call(network, *inputs)]
    return builder.build(residuals, network.output_names)
