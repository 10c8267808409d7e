"""A bundle with real MindIR graphs that is small enough to run in milliseconds, and what it computes, in NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coopdraw.runtime.manifest import (
    MANIFEST_NAME,
    Feed,
    Function,
    Manifest,
    Model,
    Step,
    TensorSpec,
    TextEncoder,
    WeightInfo,
)

BATCH = 2
LENGTH = 4
WORDS = ("<pad>", "red", "green", "blue", "ring", "cross")
TABLE = np.linspace(-1.0, 1.0, len(WORDS) * 3, dtype=np.float32).reshape(len(WORDS), 3)
GUIDANCE = 5.0


def expected_text(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """What the text encoder computes."""
    context = TABLE[tokens]
    return {"context": context, "vector": context.mean(axis=1)}


def expected_outputs(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the sampling graph computes: one guided combination instead of a diffusion model."""
    uncond, text = (inputs[f"context.{b}"].sum((1, 2)) + inputs[f"vector.{b}"].sum(1) for b in ("uncond", "text"))
    guided = uncond + GUIDANCE * (text - uncond)
    latent = inputs["noise"] + guided[:, None, None, None]
    image = 1.0 / (1.0 + np.exp(-np.tile(latent, (1, 1, 2, 2))))
    return {"latent": latent.astype(np.float32), "image": image.astype(np.float32)}


def export_graphs(folder: Path) -> None:
    """Writes sampling.mindir and text_encoder.mindir with MindSpore."""
    import mindspore
    from mindspore import nn, ops

    class Sampling(nn.Cell):
        def construct(self, noise, context_uncond, vector_uncond, context_text, vector_text):  # type: ignore[no-untyped-def]
            uncond = context_uncond.sum((1, 2)) + vector_uncond.sum(1)
            text = context_text.sum((1, 2)) + vector_text.sum(1)
            guided = uncond + GUIDANCE * (text - uncond)
            latent = noise + guided.reshape((BATCH, 1, 1, 1))
            return ops.sigmoid(ops.tile(latent, (1, 1, 2, 2))), latent

    class Text(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.table = mindspore.Parameter(mindspore.Tensor(TABLE), name="table")

        def construct(self, tokens):  # type: ignore[no-untyped-def]
            context = ops.gather(self.table, tokens, 0)
            return context, context.mean(1)

    def zeros(*specs: TensorSpec) -> list[object]:
        return [mindspore.Tensor(np.zeros(spec.shape, spec.dtype)) for spec in specs]

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    mindspore.export(Sampling(), *zeros(*INPUTS), file_name=str(folder / "sampling"), file_format="MINDIR")
    mindspore.export(Text(), *zeros(TOKENS), file_name=str(folder / "text_encoder"), file_format="MINDIR")
    for path in folder.glob("*.mindir"):
        path.chmod(0o644)


def _spec(name: str, *shape: int, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, (BATCH, *shape), dtype, f"the {name}")


TOKENS = _spec("tokens", LENGTH, dtype="int32")
INPUTS = (
    _spec("noise", 3, 2, 2),
    _spec("context.uncond", LENGTH, 3),
    _spec("vector.uncond", 3),
    _spec("context.text", LENGTH, 3),
    _spec("vector.text", 3),
)
ENCODER = TextEncoder(
    graph="text_encoder.mindir",
    tokens=TOKENS,
    outputs=(_spec("context", LENGTH, 3), _spec("vector", 3)),
    words=WORDS,
    context_length=LENGTH,
    feeds=tuple(
        Feed(branch, {"context": f"context.{branch}", "vector": f"vector.{branch}"}) for branch in ("uncond", "text")
    ),
)


def tiny_manifest(files: Mapping[str, str]) -> Manifest:
    """A manifest with every member filled in."""
    return Manifest(
        name="tiny",
        inputs=INPUTS,
        outputs=(_spec("image", 3, 4, 4), _spec("latent", 3, 2, 2)),
        graph="sampling.mindir",
        text_encoder=ENCODER,
        forms={},
        device={},
        steps=(Step(0, 999, 14.6, 1.6, "structure"), Step(1, 499, 1.6, 0.0, "texture")),
        models={
            "structure": Model("unet", {"channels": [4, 8]}),
            "texture": Model("unet", {}),
            "vae": Model("vae", {}),
        },
        functions=(Function("structure.unet", 7, "0" * 64), Function("texture.unet", 7, "1" * 64)),
        weights={"table": WeightInfo("float32", TABLE.shape, "2" * 64), "scale": WeightInfo("bfloat16", (), "3" * 64)},
        passes=({"name": "fold-constants", "rewrites": 3},),
        verification={"image_psnr": 91.5, "passed": True},
        tools={"coopdraw": "0.1.0"},
        recipe={"pipeline": {"name": "tiny"}},
        files=dict(files),
    )


def hash_files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_NAME
    }


def write_manifest(folder: Path) -> None:
    """Writes the manifest of the files that are in `folder`."""
    (folder / MANIFEST_NAME).write_text(tiny_manifest(hash_files(folder)).to_json())


def write_bundle(folder: Path) -> Path:
    """The whole bundle, with one more file in a subfolder."""
    (folder / "deploy").mkdir(parents=True)
    (folder / "deploy" / "README.md").write_text("how to deploy\n")
    export_graphs(folder)
    write_manifest(folder)
    return folder
