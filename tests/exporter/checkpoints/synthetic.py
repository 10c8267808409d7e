"""Checkpoints made for tests: the shapes weights in other layouts and formats."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import FileWeight, Weight

PREFIXES = {
    "unet": "model.diffusion_model.",
    "controlnet": "control_model.",
    "t2i_adapter": "adapter.",
    "vae": "first_stage_model.",
}


def read_all(weights: Mapping[str, Weight]) -> dict[str, np.ndarray]:
    """Copies of all values."""
    return {name: np.array(weight.read()) for name, weight in weights.items()}


def released_values(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """A diffusers checkpoint's values under the released MindSpore names; the goldens vouch for them."""
    return read_all(open_checkpoint(folder, kind).weights)  # type: ignore[arg-type]


def torch_name(name: str) -> str:
    """PyTorch's name of a parameter in the SGM layout."""
    return name.replace(".gamma", ".weight").replace(".beta", ".bias")


def save_sgm_safetensors(path: Path, values: Mapping[str, np.ndarray], prefix: str) -> Path:
    """The layout of Stability's own files."""
    save_file({prefix + torch_name(name): np.ascontiguousarray(value) for name, value in values.items()}, path)
    return path


def save_mindspore_ckpt(path: Path, values: Mapping[str, np.ndarray], prefix: str = "", **options: object) -> Path:
    """The layout of the released checkpoints, written by MindSpore itself."""
    import mindspore

    parameters = [{"name": prefix + name, "data": mindspore.Tensor(value)} for name, value in values.items()]
    mindspore.save_checkpoint(parameters, str(path), **options)
    return path


def shapes_only(types: Mapping[str, TensorType]) -> dict[str, FileWeight]:
    """Weights that have a type but no file, for what looks only at shapes."""
    return {name: FileWeight(Path("nowhere"), ((0, type.nbytes),), type, type) for name, type in types.items()}


def write_safetensors_header(path: Path, tensors: Mapping[str, object], length: int) -> Path:
    """A safetensors file with this header and `length` bytes of holes."""
    header = json.dumps(tensors).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + length)
    return path


def varint(value: int) -> bytes:
    """A protobuf number."""
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def checkpoint_value(tag: bytes, dims: Iterable[int], element_type: bytes, content: bytes) -> bytes:
    """One `value` of MindSpore's checkpoint message."""
    tensor = b"".join(varint(1 << 3) + varint(extent) for extent in dims) + field(2, element_type) + field(3, content)
    return field(1, field(1, tag) + field(2, tensor))
