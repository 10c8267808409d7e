"""What a deploy kit has to know about its bundle, and how the converter must be called for each SoC."""

from __future__ import annotations

import re
from dataclasses import dataclass

from coopdraw.exporter.errors import RecipeError
from coopdraw.runtime.manifest import TensorSpec, TextEncoder

_OPERATOR = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


@dataclass(frozen=True)
class Device:
    """How MindSpore Lite's converter is called for a SoC.

    `optimize` is its option; `precision_mode` keeps the element types of the graph as far as the SoC can; `chips` is
    the shell pattern of the names that `npu-smi info` has for it.
    """

    optimize: str
    precision_mode: str
    chips: str
    product: str


# The types in the graph are meant: the default, enforce_fp16, would undo its float32 islands. enforce_origin refuses an
# operator that has no float32 form, such as the convolution of the 310P; preferred_fp32 narrows only these.
# mindspore-ai/docs:docs/lite/docs/source_en/mindir/converter_tool_ascend.md (table 1),
# mindspore-ai/mindspore-lite:mindspore-lite/tools/converter/adapter/acl/cxx_api_lite/cxx_api/acl_utils.h,
# https://www.hiascend.com/document/detail/zh/canncommercial/601/devtools/auxiliarydevtool/aoepar_16_044.html
DEVICES = {
    "ascend910b": Device("ascend_oriented:910b", "enforce_origin", "910B*", "Atlas A2 (Ascend 910B)"),
    "ascend310p": Device("ascend_oriented", "preferred_fp32", "310P*", "Atlas inference series (Ascend 310P)"),
}


@dataclass(frozen=True)
class DeployFacts:
    """What the scripts and instructions depend on.

    `soc` is a key of DEVICES; `precision` that of the networks ("float16" or "float32"), which is only told to readers.
    `custom_operators` are the device types of the `Custom` nodes in `ascend/sampling.onnx`; if there are any, the
    bundle has an operator project, which needs CANN `cann` (a major version). `fuse_attention` says that every
    attention of the graph scales by 1 / sqrt(head dimension), which is all that MindSpore Lite's own FlashAttention
    can; `fuse_geglu` that its GeGluV2 mistakes nothing for GEGLU. `mindspore` is the version whose MindIR
    `ascend/sampling.mindir` is. Raises RecipeError for a SoC that isn't known.
    """

    name: str
    soc: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    text_encoder: TextEncoder | None
    custom_operators: tuple[str, ...]
    fuse_attention: bool
    mindspore: str
    cann: int = 8
    fuse_geglu: bool = True

    def __post_init__(self) -> None:
        if self.soc not in DEVICES:
            raise RecipeError(f"there is no deploy kit for {self.soc}; set target.name to one of {', '.join(DEVICES)}")
        for operator in self.custom_operators:
            if not _OPERATOR.fullmatch(operator):
                raise RecipeError(f"{operator!r} is no name of a custom operator; use letters and digits")

    @property
    def device(self) -> Device:
        return DEVICES[self.soc]

    @property
    def models(self) -> tuple[str, ...]:
        """The graphs to convert, by file name without its ending."""
        return ("sampling",) if self.text_encoder is None else ("sampling", "text_encoder")

    @property
    def plugin_operators(self) -> str:
        """The value of `plugin_custom_ops`: the fusions that MindSpore Lite may make."""
        fused = {
            "FlashAttention": self.fuse_attention,
            "LayerNormV3": True,
            "GeGluV2": self.fuse_geglu,
            "GroupNormSilu": True,
        }
        return "All" if all(fused.values()) else ",".join(name for name, wanted in fused.items() if wanted)

    @property
    def mindspore_release(self) -> str:
        """Major and minor version of `mindspore`, which MindSpore Lite must have at least to read its MindIR."""
        return ".".join(self.mindspore.split(".")[:2])
