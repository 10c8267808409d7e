"""Bundles of a loop of a few nodes whose passes, costs and weights are known by heart, written in milliseconds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from runtime.tiny_bundle import hash_files

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.text import format_graph
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.runtime.manifest import Function, Manifest, Model, Step, TensorSpec, WeightInfo

LATENT = TensorType(DType.FLOAT32, (2, 4))
MISS = {
    "graph": "unet",
    "node": "%softmax (softmax, Cell blocks.0.attn)",
    "reason": "the scores have another user, %add (add, Cell blocks.0)",
}
FUSION = {"name": "attention-fusion", "options": {}, "runs": 1, "rewrites": 0, "notes": {}, "misses": [MISS]}


@dataclass(frozen=True)
class Loop:
    """What may differ between two loops."""

    steps: int = 3
    guidance: float = 5.0
    bias: float = 1.0
    activation: str = "softmax"

    def module(self) -> Module:
        """`unet` is linear, an activation and a product with a computed constant; a step calls it and scales."""
        unet = GraphBuilder("unet")
        x = unet.input("x", LATENT)
        weight = unet.weight("unet.proj.weight", TensorType(DType.FLOAT32, (4, 4)))
        bias = unet.weight("unet.proj.bias", TensorType(DType.FLOAT32, (4,)))
        unet.source = "proj"
        projected = unet.add("linear", x, weight, bias)
        unet.source = "blocks.0.attn"
        attributes: dict[str, Any] = {"axis": 1} if self.activation == "softmax" else {}
        active = unet.add(self.activation, projected, **attributes)
        unet.source = "blocks.01"
        shifted = unet.add("neg", active)
        unet.source = "blocks.0"
        gain = unet.add("neg", unet.constant(np.full((2, 4), -0.5, np.float32)))
        model = unet.build([unet.add("mul", shifted, gain)], ["epsilon"])
        entry = GraphBuilder("sampling")
        latent = entry.input("noise", LATENT)
        for step in range(self.steps):
            entry.source = f"step.{step}"
            (epsilon,) = entry.call(model, latent)
            latent = entry.add("mul", epsilon, entry.constant(np.full((), self.guidance, np.float32)))
        weights = {
            "unet.proj.weight": ArrayWeight(np.eye(4, dtype=np.float32)),
            "unet.proj.bias": ArrayWeight(np.full(4, self.bias, np.float32)),
        }
        return Module(entry.build([latent], ["image"]), {"unet": model}, weights)


def write_loop(folder: Path, loop: Loop = Loop(), **changes: Any) -> Path:
    """The loop after constant-folding, as a bundle; `changes` are members of the manifest."""
    folder.mkdir()
    module, records = PassManager([ConstantFolding()]).run(loop.module())
    placements = write_mindir(module, folder / "sampling.mindir")
    stored = read_mindir(folder / "sampling.mindir")
    tensor = TensorSpec("noise", (2, 4), "float32", "starting noise")
    manifest = Manifest(
        name="loop",
        inputs=(tensor,),
        outputs=(replace(tensor, name="image", meaning="picture"),),
        graph="sampling.mindir",
        text_encoder=None,
        forms={},
        device={},
        steps=tuple(
            Step(step, 999 - 100 * step, 10.0 - step, 9.0 - step if step < loop.steps - 1 else 0.0, "unet")
            for step in range(loop.steps)
        ),
        models={"unet": Model("unet", {"channels": [4]})},
        functions=tuple(
            Function(name, len(graph.nodes), hashlib.sha256(format_graph(graph).encode()).hexdigest())
            for name, graph in stored.functions.items()
        ),
        weights={
            name: WeightInfo("float32", weight.type.shape, placements[name].sha256)
            for name, weight in stored.weights.items()
        },
        passes=(*(dict(record.as_manifest()) for record in records), FUSION),  # type: ignore[arg-type]
        verification={"passed": True, "checks": []},
        tools={"coopdraw": "0.1.0"},
        recipe={"pipeline": {"steps": loop.steps, "guidance": {"text": loop.guidance}}},
        files=hash_files(folder),
    )
    (folder / "manifest.json").write_text(replace(manifest, **changes).to_json())
    return folder
