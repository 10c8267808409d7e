"""Runs the host side of generated operator projects (tiling, inference of shapes) against stubs of CANN's host API."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Attribute, Node
from coopdraw.graphs.types import DType, TensorType
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.project import project_files
from coopdraw.kernels.simulator.soc import Soc
from coopdraw.runtime.native_build import NativeSources, built_file

_STUBS = Path(__file__).resolve().parent / "host_stubs"


@dataclass(frozen=True)
class HostResult:
    """What the host side decided about a call; workspaces are in bytes."""

    cores: int
    key: int
    schedule_mode: int
    workspace_bytes: int
    library_workspace_bytes: int
    tiling: bytes
    outputs: tuple[TensorType, ...]


def host_program(kernels: Sequence[AscendKernel], layout: Layout) -> Path:
    """The program that runs op_host of these kernels, built at first use; raises KernelBuildError when it can't be."""
    socs = sorted(set.intersection(*(set(kernel.socs) for kernel in kernels)))
    files = {
        name: text.encode()
        for name, text in project_files(kernels, layout, socs).items()
        if name.startswith("op_host/") or name.endswith("_tiling.h")
    }
    stubs = (path for path in sorted(_STUBS.rglob("*")) if path.is_file())
    files |= {f"host_stubs/{path.relative_to(_STUBS).as_posix()}": path.read_bytes() for path in stubs}
    return built_file(NativeSources("the operators' host sides", files, "host_stubs/build.sh"), Path("op_host"))


def call_line(kernel: AscendKernel, node: Node, soc: Soc) -> str:
    """A node as the program reads it."""
    call = kernel.call(node)
    platform = (
        int(soc.coupled),
        *(soc.vector_cores, soc.cube_cores, soc.ub_bytes, soc.l1_bytes),
        *(soc.l0a_bytes, soc.l0b_bytes, soc.l0c_bytes, soc.l2_bytes),
    )
    inputs = ("-" if index is None else _tensor(node.inputs[index].type) for index in call.inputs)
    return " ".join([kernel.type_name, *map(str, platform), *inputs, "/", *map(_attribute, call.attributes)])


def run_host(program: Path, lines: Sequence[str]) -> list[HostResult | None]:
    """What the host side says to each call, None where it refuses; CheckError for a call that no definition fits."""
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=60)
    answers = done.stdout.splitlines()
    if done.returncode or len(answers) != len(lines):
        raise CheckError(
            f"op_host failed after {len(answers)} of {len(lines)} calls; run {program} on them in a debugger"
        )
    return [_result(line, answer) for line, answer in zip(lines, answers, strict=True)]


def _result(line: str, answer: str) -> HostResult | None:
    status, *words = answer.split()
    if status == "failed":
        return None
    if status != "ok":
        raise CheckError(f"op_host can't take the call {line!r} ({answer}); fix the kernel's definition")
    cores, key, mode, workspace, library = map(int, words[:5])
    outputs = tuple(_output(word) for word in words[6:])
    return HostResult(cores, key, mode, workspace, library, bytes.fromhex(words[5]), outputs)


def _tensor(type: TensorType) -> str:
    return f"{type.dtype}:{','.join(map(str, type.shape))}"


def _output(word: str) -> TensorType:
    dtype, _, shape = word.partition(":")
    return TensorType(DType(dtype), tuple(int(extent) for extent in shape.split(",") if extent))


def _attribute(value: Attribute) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_attribute, value))
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(np.float32(value)))  # as frameworks hand it over
    raise CheckError(f"attribute {value!r} has no form on the device; make it a number or a tuple of numbers")
