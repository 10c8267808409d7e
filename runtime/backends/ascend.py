"""Runs converted models on an Ascend NPU with the official mindspore_lite package. Not run on an NPU so far.

The calls are those of mindspore-ai/docs:docs/lite/docs/source_en/mindir/runtime_python.md and runtime_cpp.md
("Multiple Models Sharing Weights") and of mindspore-ai/mindspore-lite:mindspore-lite/python/api/.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from coopdraw.runtime.ascend_conversion import RUNTIME_CONFIG, converted_models, work_folder
from coopdraw.runtime.backends import LoadedGraph
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.manifest import MANIFEST_NAME
from coopdraw.runtime.manifest_reader import parse_manifest

DEVICE_VARIABLE = "COOPDRAW_DEVICE_ID"
"""Environment variable with the number of the NPU; 0 if it isn't set."""
_DEVICES = Path("/dev")
_FAILURES = (RuntimeError, ValueError, TypeError, MemoryError)


def open_backend(num_threads: int | None) -> Callable[[Path], LoadedGraph]:
    """A loader of the graphs `ascend/*.mindir` of bundles: it loads what convert.sh made of them.

    Raises BackendError when mindspore_lite or the NPU isn't there.
    """
    device = _device_id()
    if not any(_DEVICES.glob("davinci[0-9]*")):
        raise BackendError("there is no Ascend NPU (no /dev/davinci*); see `coopdraw doctor --target ascend`")
    if "mindspore" in sys.modules:
        raise BackendError(
            "MindSpore is loaded in this process, and mindspore_lite brings a libmindspore_core.so of its own; "
            "use the backend ascend in another process"
        )
    try:
        lite = importlib.import_module("mindspore_lite")
    except ImportError as error:
        raise BackendError(
            f"mindspore_lite cannot be imported ({error}); install its wheel for Ascend from mindspore.cn, "
            "see `coopdraw doctor --target ascend`"
        ) from error
    return _Loader(lite, device, num_threads)


def _device_id() -> int:
    text = os.environ.get(DEVICE_VARIABLE, "0")
    if not (text.isascii() and text.isdigit()):
        raise BackendError(f"{DEVICE_VARIABLE} is {text!r}, which is no number of an NPU; see `npu-smi info`")
    return int(text)


class _Loader:
    """Loads models on one NPU; those of a bundle share their workspace, and openings of one model their weights."""

    def __init__(self, lite: ModuleType, device: int, num_threads: int | None) -> None:
        self._lite = lite
        self._device = device
        self._num_threads = num_threads
        self._grouped: set[Path] = set()

    def __call__(self, path: Path) -> LoadedGraph:
        bundle = path.parent.parent
        models = converted_models(bundle)
        if path.stem not in models:
            raise BackendError(f"{path} is missing; compile the bundle for an Atlas target")
        config = work_folder(bundle) / RUNTIME_CONFIG
        try:
            if len(models) > 1 and bundle not in self._grouped:
                self._group([str(model.path) for model in models.values()])
                self._grouped.add(bundle)
            model = self._lite.Model()
            model.build_from_file(
                str(models[path.stem].path),
                self._lite.ModelType.MINDIR,
                self._context(),
                str(config) if config.is_file() else "",
            )
        except _FAILURES as error:
            raise BackendError(
                f"MindSpore Lite cannot load {models[path.stem].path} on NPU {self._device}: {_first_line(error)}; "
                "run the bundle's deploy/check.sh"
            ) from error
        return _Graph(model, models[path.stem].path, _input_names(bundle, path))

    def _context(self) -> Any:
        """A new context: a group and each of its models need one of their own."""
        context = self._lite.Context()
        context.target = ["ascend"]
        context.ascend.device_id = self._device
        if self._num_threads is not None:
            context.cpu.thread_num = self._num_threads
        return context

    def _group(self, paths: list[str]) -> None:
        """Must be there before the first of the models is built. The models of a session never run at the same time."""
        group = self._lite.ModelGroup(self._lite.ModelGroupFlag.SHARE_WEIGHT_WORKSPACE)
        group.add_model(paths)
        group.cal_max_size_of_workspace(self._lite.ModelType.MINDIR, self._context())


def _input_names(bundle: Path, graph: Path) -> list[str]:
    manifest = parse_manifest((bundle / MANIFEST_NAME).read_text(encoding="utf-8"))
    encoder = manifest.text_encoder
    if encoder is not None and graph.stem == Path(encoder.graph).stem:
        return [encoder.tokens.name]
    return [spec.name for spec in manifest.inputs]


class _Graph:
    """One loaded model."""

    def __init__(self, model: Any, path: Path, names: Sequence[str]) -> None:
        self._model = model
        self._path = path
        self._names = names

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        try:
            tensors = self._model.get_inputs()
            for tensor, array in zip(tensors, self._in_order(tensors, inputs), strict=True):
                tensor.set_data_from_numpy(np.ascontiguousarray(array))
            # Copied, since the next run writes into the same memory.
            return tuple(np.array(tensor.get_data_to_numpy()) for tensor in self._model.predict(tensors))
        except _FAILURES as error:
            raise BackendError(
                f"MindSpore Lite failed in {self._path}: {_first_line(error)}; run the bundle's deploy/check.sh"
            ) from error

    def _in_order(self, tensors: Sequence[Any], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The arrays in the order of the model's inputs: by name if the converter has kept the names."""
        arrays = list(inputs)
        given = [tensor.name for tensor in tensors]
        if sorted(given) == sorted(self._names):
            by_name = dict(zip(self._names, arrays, strict=True))
            arrays = [by_name[name] for name in given]
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if shapes != [array.shape for array in arrays]:
            raise BackendError(
                f"{self._path} takes inputs of other shapes ({shapes}) than its manifest says; "
                "run the bundle's deploy/convert.sh again"
            )
        return arrays


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .:;!") if lines else type(error).__name__
