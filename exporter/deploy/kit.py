"""Writes the deploy kit from its templates."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import numpy as np

from coopdraw.exporter.deploy.facts import DeployFacts
from coopdraw.runtime.ascend_conversion import RUNTIME_CONFIG, STAMP_SUFFIX, WORK_SUFFIX
from coopdraw.runtime.manifest import TensorSpec

_TEMPLATES = Path(__file__).parent / "templates"
_EXECUTABLE = ("check.sh", "build_kernels.sh", "convert.sh", "run.sh", "bench.sh")
_PLAIN = ("common.sh", "converter.cfg", RUNTIME_CONFIG, "README.md")
ONNX_LEAST_LITE = "2.7"
"""The oldest MindSpore Lite whose description of `Custom` nodes in ONNX the kit follows."""


def write_deploy_kit(folder: Path, facts: DeployFacts) -> None:
    """Writes the kit into `folder`, the new folder `deploy` of a bundle. The same facts always give the same bytes.

    Without custom operators there is no `build_kernels.sh`.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(sh=shlex.quote, bytes=_bytes)
    folder.mkdir(parents=True)
    for name in (*_EXECUTABLE, *_PLAIN):
        if name == "build_kernels.sh" and not facts.custom_operators:
            continue
        text = environment.get_template(f"{name}.j2").render(
            facts=facts,
            device=facts.device,
            work_suffix=WORK_SUFFIX,
            stamp_suffix=STAMP_SUFFIX,
            runtime_config=RUNTIME_CONFIG,
            onnx_least_lite=ONNX_LEAST_LITE,
        )
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if name in _EXECUTABLE else 0o644)


def _bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
