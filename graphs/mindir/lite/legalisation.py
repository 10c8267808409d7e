"""Prepares a module for Lite: fused operators taken apart, what does nothing left out, images with channels last."""

from __future__ import annotations

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.lite.attention_scale import AttentionScale
from coopdraw.graphs.mindir.lite.channels_last import ChannelsLast
from coopdraw.graphs.mindir.lite.split_projections import SplitProjections
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.passes.identity_removal import IdentityRemoval

_STEPS = (AttentionScale(), Decomposition(), IdentityRemoval(), SplitProjections(), ChannelsLast())


def legalise(module: Module) -> Module:
    """The module in operators that rules of `emitters` exist for."""
    for step in _STEPS:
        module = step.run(module).module
    return module
