"""A bundle in the form for MindSpore Lite that runs in milliseconds, and what it computes, in NumPy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from coopdraw.graphs.mindir.schema import schema

ModelWriter: TypeAlias = Callable[[Path, Sequence[tuple[str, int, int]], int, str], None]

SHAPE = (2, 3)
STEPS = 4
SCALE = np.linspace(0.5, 1.5, 6, dtype=np.float32).reshape(SHAPE)
WORDS = ("<pad>", "red", "green", "blue")


def expected_outputs(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the sampling graph computes: one product and one sum in each step."""
    latent = inputs["noise"]
    for _ in range(STEPS):
        latent = latent * SCALE + inputs["context.text"]
    return {"image": latent + inputs["noise"], "latent": latent}


def example_inputs(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(SHAPE, dtype=np.float32) for name in ("noise", "context.text")}


def write_lite_bundle(folder: Path, write_model: ModelWriter | None = None) -> Path:
    """A plan with two models, one of them called in every step, and a text encoder that doubles its tokens.

    `write_model` writes models in another format than MindIR.
    """
    write_model = write_model or write_mindir_model
    models = folder / "lite" / "sampling_models"
    models.mkdir(parents=True)
    write_model(models / "step.mindir", [("Mul", 0, 1), ("Add", 3, 2)], 3, "float32")
    write_model(models / "last.mindir", [("Add", 0, 1)], 2, "float32")
    write_model(models / "words.mindir", [("Add", 0, 0)], 1, "int32")
    (models / "constants.bin").write_bytes(b"\0" * 64 + SCALE.tobytes())
    write_plan(folder / "lite" / "sampling.json", sampling_plan())
    write_plan(folder / "lite" / "text_encoder.json", _text_plan())
    write_manifest(folder)
    return folder


def sampling_plan() -> dict[str, Any]:
    """Values: 0 noise, 1 context, 2 the constant, 3... latents, and last the image."""
    image = 3 + STEPS
    steps = [[0, [0 if step == 0 else 2 + step, 2, 1], [3 + step]] for step in range(STEPS)]
    return {
        "format": "coopdraw-plan",
        "version": 1,
        "models": ["sampling_models/step.mindir", "sampling_models/last.mindir"],
        "values": [["float32", list(SHAPE)]] * (image + 1),
        "inputs": [["noise", 0], ["context.text", 1]],
        "constants": [[2, "sampling_models/constants.bin", 64]],
        "steps": [*steps, [1, [image - 1, 0], [image]]],
        "outputs": [["image", image], ["latent", image - 1]],
    }


def _text_plan() -> dict[str, Any]:
    return {
        "format": "coopdraw-plan",
        "version": 1,
        "models": ["sampling_models/words.mindir"],
        "values": [["int32", list(SHAPE)]] * 2,
        "inputs": [["tokens", 0]],
        "constants": [],
        "steps": [[0, [0], [1]]],
        "outputs": [["context", 1]],
    }


def write_plan(path: Path, plan: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(plan))


def manifest(folder: Path) -> dict[str, Any]:
    """The members that the runner reads, and one that it passes over."""

    def spec(name: str, dtype: str = "float32") -> dict[str, Any]:
        return {"name": name, "shape": list(SHAPE), "dtype": dtype, "meaning": f"the {name}"}

    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {
        "format": 1,
        "name": "tiny",
        "inputs": [spec("noise"), spec("context.text")],
        "outputs": [spec("image"), spec("latent")],
        "text_encoder": {
            "tokens": spec("tokens", "int32"),
            "outputs": [spec("context", "int32")],
            "words": list(WORDS),
        },
        "forms": {"lite": {"graph": "lite/sampling.json", "text_encoder": "lite/text_encoder.json"}},
        "steps": [{"sigma": 14.614641229333639, "t": 999, "guidance": -1.5e-3}],
        "files": {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def write_fake_model(path: Path, nodes: Sequence[tuple[str, int, int]], inputs: int, dtype: str) -> None:
    """The format of native/fake_model.cc: the type, then a line for each node."""
    lines = [dtype, *(f"{operator} {left} {right}" for operator, left, right in nodes)]
    path.write_text("\n".join(lines) + "\n")


def write_manifest(folder: Path, **changes: Any) -> None:
    """The manifest of the files that are there."""
    (folder / "manifest.json").write_text(json.dumps(manifest(folder) | changes))


def write_mindir_model(
    path: Path, nodes: Sequence[tuple[str, int, int]], inputs: int, dtype: str, names: Sequence[str] = ()
) -> None:
    """A MindIR file of version 1: binary operators on earlier values; the last one is the output."""
    values = [*names, *(f"v{index}" for index in range(len(names), inputs + len(nodes)))]
    model = schema().ModelProto()
    model.ir_version = "1.1"
    model.producer_name = "MindSpore"
    model.model_version = model.producer_version = "2.0.0"
    model.little_endian = True
    model.mind_ir_version = 1
    model.graph.name = path.stem
    code = {"float32": 1, "int32": 6}[dtype]

    def describe(tensor: Any) -> None:
        tensor.dims.extend(SHAPE)
        tensor.data_type = code

    for index in range(inputs):
        entry = model.graph.input.add(name=values[index])
        describe(entry.tensor.add())
    for index, (operator, left, right) in enumerate(nodes, inputs):
        node = model.graph.node.add(name=f"{operator}{index}", op_type=operator, domain=f"Default/{operator}-op{index}")
        node.input.extend([values[left], values[right]])
        node.output.append(values[index])
        attribute = node.attribute.add(name="shape", type=schema().AttributeProto.TENSORS)
        describe(attribute.tensors.add())
    output = model.graph.output.add(name=values[-1])
    describe(output.tensor.add())
    path.write_bytes(model.SerializeToString(deterministic=True))
