"""MindIR's protobuf classes, taken from the installed MindSpore without importing it (which costs seconds)."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from coopdraw.graphs.errors import MindirError

_MODULE = "mindspore.train.mind_ir_pb2"


@cache
def schema() -> Any:
    """The generated module of `mind_ir.proto` (plain protobuf); raises MindirError if MindSpore isn't installed."""
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        return loaded
    package = importlib.util.find_spec("mindspore")
    if package is None or package.origin is None:
        raise MindirError("MindSpore is not installed; run `pip install mindspore==2.10.0`")
    return _load(Path(package.origin).parent / "train" / "mind_ir_pb2.py")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("coopdraw_mind_ir_pb2", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MindirError("the installed MindSpore has no mind_ir_pb2.py; install mindspore==2.10.0")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
