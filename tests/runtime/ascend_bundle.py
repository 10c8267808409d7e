"""The tiny bundle as one for Atlas with converted models beside it, and a stand-in for mindspore_lite that runs them.

The stand-in has the names, signatures and checks of mindspore-ai/mindspore-lite:mindspore-lite/python/api/ (model.py,
context.py, tensor.py) as far as the backend may use them, writes down every call, and computes what the
tiny bundle does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from runtime.tiny_bundle import INPUTS, TOKENS, expected_outputs, expected_text, hash_files, tiny_manifest

from coopdraw.runtime.manifest import MANIFEST_NAME, Form


def write_ascend_bundle(folder: Path, *, text_encoder: bool = True) -> Path:
    """The bundle; its graphs are stand-ins, since nothing here reads them."""
    models = ("sampling", "text_encoder") if text_encoder else ("sampling",)
    for name in models:
        for path in (folder / f"{name}.mindir", folder / "ascend" / f"{name}.mindir"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name}\n")
    manifest = tiny_manifest(hash_files(folder))
    if not text_encoder:
        manifest = replace(manifest, text_encoder=None)
    form = Form("ascend/sampling.mindir", "ascend/text_encoder.mindir" if text_encoder else None)
    (folder / MANIFEST_NAME).write_text(replace(manifest, forms={"ascend": form}).to_json())
    return folder


def write_converted(bundle: Path, names: Sequence[str] = ("sampling", "text_encoder")) -> Path:
    """What deploy/convert.sh leaves; tests/exporter/test_deploy_scripts.py checks that it is the same."""
    work = bundle.with_name(bundle.name + ".ascend")
    work.mkdir(exist_ok=True)
    sha256 = hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).hexdigest()
    for name in names:
        (work / f"{name}_graph.mindir").write_text("converted\n")
        stamp = f"bundle={sha256}\nroute=onnx\nsoc=ascend910b\nmodel={name}_graph.mindir\n"
        (work / f"{name}.stamp").write_text(stamp)
    (work / "runtime.cfg").write_text("[ascend_context]\nprecision_mode=enforce_origin\n")
    return work


class FakeLite:
    """A module `mindspore_lite`. `calls` is what was done with it; `fail` may raise in a call, by its name."""

    def __init__(self, input_names: Callable[[str], str] = lambda name: name, order: int = 1) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fail: dict[str, Exception] = {}
        self.input_names = input_names
        self.order = order
        self.module = ModuleType("mindspore_lite")
        lite = self
        contexts = iter(range(100))

        class Options:
            def __init__(self, context: int, device: str) -> None:
                self.__dict__["_owner"] = (context, device)

            def __setattr__(self, name: str, value: object) -> None:
                context, device = self._owner
                lite.record("set", context, f"{device}.{name}", value)

        class Context:
            def __init__(self) -> None:
                self.__dict__["number"] = next(contexts)
                self.__dict__["cpu"] = Options(self.number, "cpu")
                self.__dict__["ascend"] = Options(self.number, "ascend")

            def __setattr__(self, name: str, value: object) -> None:
                lite.record("set", self.number, name, value)

        class ModelType(Enum):
            MINDIR = 0
            MINDIR_LITE = 4

        class ModelGroupFlag(Enum):
            SHARE_WEIGHT = 1
            SHARE_WORKSPACE = 2
            SHARE_WEIGHT_WORKSPACE = 3

        class ModelGroup:
            def __init__(self, flags: ModelGroupFlag = ModelGroupFlag.SHARE_WORKSPACE) -> None:
                lite.record("group", flags.name)

            def add_model(self, models: list[str]) -> None:
                lite.record("add_model", [Path(path).name for path in models])

            def cal_max_size_of_workspace(self, model_type: ModelType, context: Context) -> None:
                lite.record("cal_max_size_of_workspace", model_type.name, context.number)

        class Model:
            def build_from_file(
                self, model_path: str, model_type: ModelType, context: Context | None = None, config_path: str = ""
            ) -> None:
                assert context is not None
                lite.record("build", Path(model_path).name, model_type.name, context.number, Path(config_path).name)
                self.name = Path(model_path).name.removesuffix("_graph.mindir")
                specs = (TOKENS,) if self.name == "text_encoder" else INPUTS
                self.inputs = [FakeTensor(lite.input_names(s.name), np.zeros(s.shape, s.dtype)) for s in specs][
                    :: lite.order
                ]

            def get_inputs(self) -> list[FakeTensor]:
                return self.inputs

            def predict(self, inputs: list[FakeTensor], outputs: None = None) -> list[FakeTensor]:
                lite.record("predict", self.name)
                specs = (TOKENS,) if self.name == "text_encoder" else INPUTS
                arrays = {spec.name: tensor.data for spec, tensor in zip(specs, inputs[:: lite.order], strict=True)}
                results = (
                    expected_text(arrays["tokens"])
                    if self.name == "text_encoder"
                    else {name: expected_outputs(arrays)[name] for name in ("image", "latent")}
                )
                return [FakeTensor(name, array) for name, array in results.items()]

        for name, value in list(locals().items()):
            if isinstance(value, type):
                setattr(self.module, name, value)

    def record(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.fail:
            raise self.fail[call[0]]


class FakeTensor:
    """A tensor with the checks of tensor.py."""

    def __init__(self, name: str, data: np.ndarray) -> None:
        self.name = name
        self.data = data

    @property
    def shape(self) -> list[int]:
        return list(self.data.shape)

    def set_data_from_numpy(self, array: np.ndarray) -> None:
        if not array.flags["C_CONTIGUOUS"]:
            raise RuntimeError("the array must be contiguous")
        if array.dtype != self.data.dtype:
            raise RuntimeError(f"data type not equal! Numpy type: {array.dtype}, Tensor type: {self.data.dtype}")
        if array.nbytes != self.data.nbytes:
            raise RuntimeError(f"data size not equal! Numpy size: {array.nbytes}, Tensor size: {self.data.nbytes}")
        self.data = array.copy()

    def get_data_to_numpy(self) -> np.ndarray:
        return self.data
