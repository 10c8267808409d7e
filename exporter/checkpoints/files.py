"""Finds and maps the files of a checkpoint, whatever format they are in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.mindspore_ckpt import open_mindspore_checkpoint
from coopdraw.exporter.checkpoints.safetensors import INDEX_SUFFIX, open_safetensors, open_sharded_safetensors
from coopdraw.graphs.weights import FileWeight

PREFERRED = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_DIFFUSERS_STEMS = ("diffusion_pytorch_model.", "model.safetensors")
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80")


def open_tensors(path: Path) -> dict[str, FileWeight]:
    """Every tensor of a .safetensors or .ckpt file, a shard index, or a folder that has one of these.

    Raises CheckpointError if there is nothing to open or it's a PyTorch pickle, WeightError if a file is damaged.
    """
    file = _find_file(path)
    if file.name.endswith(INDEX_SUFFIX):
        return open_sharded_safetensors(file)
    if file.suffix == ".safetensors":
        return open_safetensors(file)
    _refuse_pickle(file)
    if file.suffix == ".ckpt":
        return open_mindspore_checkpoint(file)
    raise CheckpointError(f"{path} is no .safetensors or .ckpt file; name one, or a folder that has one")


def read_config(path: Path) -> dict[str, Any] | None:
    """The config.json in a checkpoint's folder or beside a file that diffusers named, None if there is none."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file() or (path.is_file() and not path.name.startswith(_DIFFUSERS_STEMS)):
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {file} ({error}); fetch it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} is no JSON object; fetch it again")
    return config


def _find_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"there is no checkpoint at {path}; check the path")
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    for candidates in (
        [name for name in PREFERRED if name in names],
        [name for name in names if name.endswith(INDEX_SUFFIX)],
        [name for name in names if name.endswith((".safetensors", ".ckpt"))],
    ):
        if len(candidates) == 1:
            return path / candidates[0]
        if candidates:
            raise CheckpointError(f"{path} has several checkpoints ({', '.join(candidates)}); name one of the files")
    for name in names:
        _refuse_pickle(path / name)
    raise CheckpointError(f"{path} has no .safetensors or .ckpt file; put the weights there")


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise CheckpointError(f"cannot read {path} ({error}); check its permissions") from error
    if path.suffix in _PICKLE_SUFFIXES or (path.suffix == ".ckpt" and start.startswith(_PICKLE_STARTS)):
        raise CheckpointError(
            f"{path} is a PyTorch pickle, which can run code when opened; convert it to safetensors "
            "(safetensors.torch.save_file) and name that file"
        )
