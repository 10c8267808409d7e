"""Who computes a node on the device: a kernel of ours, an operator of its own, or plain operators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.ops import lookup
from coopdraw.kernels.ascend.built_in import BUILT_IN, plain_works
from coopdraw.kernels.ascend.catalogue import BY_OPERATOR
from coopdraw.kernels.ascend.own_work import own_work
from coopdraw.kernels.ascend.work import Work, seconds
from coopdraw.kernels.simulator.soc import Soc

Wish = Literal["auto", "own", "built-in"]
Kind = Literal["own", "built-in", "plain"]

MARGIN = 0.9
"""Ours is chosen if its estimate is below this part of the other's: estimates are rough, and ours ran on no NPU."""


@dataclass(frozen=True)
class Choice:
    """Who computes one node, and why, in one sentence.

    `kind` is "own", "built-in" or "plain": taken apart into plain operators, or left as the one it is. `type_name` is
    the device's type, empty for "plain". Seconds are an estimate, None where nothing could compute the node so;
    `built_in_seconds` are those of the device's own operators, fused or plain.
    """

    node: str
    function: str
    cell: str
    operator: str
    kind: Kind
    type_name: str
    reason: str
    own_seconds: float | None
    built_in_seconds: float | None


@dataclass(frozen=True)
class _Candidate:
    """One way to compute a node: `refusal` says why not."""

    kind: Kind
    type_name: str
    refusal: str | None
    works: tuple[Work, ...]

    @property
    def name(self) -> str:
        return self.type_name or "plain operators"


def has_choice(node: Node) -> bool:
    """Whether there is anything to choose for nodes of its operator."""
    fused = lookup(node.operator).decompose is not None
    return fused or node.operator in BY_OPERATOR or node.operator in BUILT_IN


def choose(node: Node, soc: Soc, wish: Wish = "auto", function: str = "") -> Choice:
    """Who computes a node, of an operator for which `has_choice`, on the SoC.

    "auto" takes what is estimated to be faster of what is legal; "own" and "built-in" take that if it is legal. Where a
    built-in operator was wished for and isn't legal, the node becomes plain operators, not a kernel of ours.
    """
    own, built_in, plain = _own(node, soc), _built_in(node, soc), _Candidate("plain", "", None, plain_works(node))
    device = built_in if built_in.refusal is None else plain
    own_seconds = seconds(own.works, soc) if own.refusal is None else None
    device_seconds = seconds(device.works, soc) if device.works else None
    if wish == "own":
        chosen, reason = _wished(own, device)
    elif wish == "built-in":
        chosen, reason = _wished(built_in, plain)
    else:
        chosen, reason = _faster(own, built_in, device, own_seconds, device_seconds)
    return Choice(
        node=node.where(),
        function=function,
        cell=node.source,
        operator=node.operator,
        kind=chosen.kind,
        type_name=chosen.type_name,
        reason=reason,
        own_seconds=own_seconds,
        built_in_seconds=device_seconds,
    )


def choices(module: Module, soc: Soc, wishes: Mapping[str, Wish] | None = None) -> tuple[Choice, ...]:
    """One for every node that has one, by `wishes` for its operator, in order: the entry, then functions by name."""
    wishes = wishes or {}
    return tuple(
        choose(node, soc, wishes.get(node.operator, "auto"), graph.name)
        for graph in module.graphs()
        for node in graph.nodes
        if has_choice(node)
    )


def summary(chosen: tuple[Choice, ...]) -> list[dict[str, Any]]:
    """For a manifest: choices that are equal but for their place, with how often each function has them."""
    groups: dict[Choice, dict[str, int]] = {}
    for choice in chosen:
        counts = groups.setdefault(replace(choice, node="", function="", cell="", reason=_anywhere(choice.reason)), {})
        counts[choice.function] = counts.get(choice.function, 0) + 1
    return [
        {
            "operator": group.operator,
            "kind": group.kind,
            "type": group.type_name or None,
            "reason": group.reason,
            "own_seconds": _rounded(group.own_seconds),
            "built_in_seconds": _rounded(group.built_in_seconds),
            "count": sum(counts.values()),
            "functions": dict(sorted(counts.items())),
        }
        for group, counts in groups.items()
    ]


def _own(node: Node, soc: Soc) -> _Candidate:
    kernel = BY_OPERATOR.get(node.operator)
    if kernel is None:
        return _Candidate("own", "", f"there is no Ascend kernel of ours for {node.operator}", ())
    refusal = kernel.refusal(node, soc)
    return _Candidate("own", kernel.type_name, refusal, () if refusal else (own_work(node, soc),))


def _built_in(node: Node, soc: Soc) -> _Candidate:
    built_in = BUILT_IN.get(node.operator)
    if built_in is None:
        return _Candidate("built-in", "", f"the device has no operator for {node.operator}", ())
    refusal = built_in.refusal(node, soc)
    return _Candidate("built-in", built_in.type_name, refusal, () if refusal else built_in.works(node, soc))


def _wished(wished: _Candidate, other: _Candidate) -> tuple[_Candidate, str]:
    if wished.refusal is None:
        return wished, f"{wished.kind} was asked for"
    return other, f"{wished.kind} was asked for, but {wished.refusal}"


def _faster(
    own: _Candidate, built_in: _Candidate, device: _Candidate, own_seconds: float | None, device_seconds: float | None
) -> tuple[_Candidate, str]:
    if own_seconds is None:
        return device, f"{own.refusal}" if built_in.refusal is None else f"{own.refusal}, and {built_in.refusal}"
    if device_seconds is None:
        return own, f"{built_in.refusal}"
    chosen, slower = (own, device) if own_seconds < MARGIN * device_seconds else (device, own)
    reason = f"{_time(own_seconds)} by estimate with {own.name}, {_time(device_seconds)} with {device.name}"
    if slower is own and own_seconds < device_seconds:
        reason += ", too close for a kernel that never ran on an NPU"
    if built_in.refusal is not None and built_in.type_name:
        reason += f"; {built_in.refusal}"
    return chosen, reason + _why(own, device)


def _why(own: _Candidate, device: _Candidate) -> str:
    """What the two differ in."""
    moved = [sum(work.moved_bytes for work in candidate.works) / 1e6 for candidate in (own, device)]
    busy = [min((work.busy for work in candidate.works), default=1.0) for candidate in (own, device)]
    return (
        f" ({moved[0]:.4g} and {moved[1]:.4g} MB are moved, {100 * busy[0]:.0f} % and {100 * busy[1]:.0f} % of the "
        f"cores are busy, in {len(own.works)} and {len(device.works)} operators)"
    )


def _time(value: float) -> str:
    return f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} us"


def _anywhere(reason: str) -> str:
    """Without names of values, which differ from node to node."""
    return re.sub(r"%[\w.]+", "an operand", reason)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
