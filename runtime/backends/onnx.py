"""Runs `.onnx` graphs with ONNX Runtime on the CPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from coopdraw.runtime.backends import LoadedGraph
from coopdraw.runtime.errors import BackendError

_PROVIDERS = ("CPUExecutionProvider",)
_SILENT = 4
"""What fails comes as an exception."""
_PREFIXES = re.compile(r".*(\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |, Error (?=Data of ))")


def open_backend(num_threads: int | None) -> Callable[[Path], LoadedGraph]:
    """Imports ONNX Runtime; None leaves it as many threads as the machine has cores."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"ONNX Runtime cannot be imported ({error}); `pip install onnxruntime`") from error
    return lambda path: _Graph(onnxruntime, path, num_threads)


class _Graph:
    """One loaded `.onnx`, optimised for this processor; its weights stay in the files beside it where they can."""

    def __init__(self, onnxruntime: ModuleType, path: Path, num_threads: int | None) -> None:
        self._path = path
        options = onnxruntime.SessionOptions()
        # A graph of steps has nothing to run side by side: all threads belong to the operators.
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = num_threads or 0
        options.log_severity_level = _SILENT
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=list(_PROVIDERS))
        except Exception as error:  # its exceptions have no common class of their own
            raise BackendError(
                f"ONNX Runtime cannot load {path}: {_first_line(error)}; compile the bundle again"
            ) from error
        self._inputs = tuple((item.name, tuple(item.shape)) for item in self._session.get_inputs())

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        self._check(inputs)
        names = (name for name, _ in self._inputs)
        try:
            return tuple(self._session.run(None, dict(zip(names, inputs, strict=True))))
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime failed in {self._path}: {_first_line(error)}; run `coopdraw doctor`"
            ) from error

    def _check(self, inputs: Sequence[np.ndarray]) -> None:
        """ONNX Runtime itself lets a wrong batch of some operators pass."""
        if len(inputs) != len(self._inputs):
            raise BackendError(
                f"{self._path} has {len(self._inputs)} inputs, but was given {len(inputs)}; compile the bundle again"
            )
        for (name, shape), array in zip(self._inputs, inputs, strict=True):
            if array.shape != shape:
                raise BackendError(
                    f"{self._path} takes {name} of shape {list(shape)}, not {list(array.shape)}; "
                    "compile the bundle again"
                )


def _first_line(error: Exception) -> str:
    """The innermost cause: without error codes and places in ONNX Runtime's source, and without further lines."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return _PREFIXES.sub("", text).strip().rstrip(" .:;")
