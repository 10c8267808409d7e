"""Which of the public API the generated kernels call: what the device compiler has to have."""

from __future__ import annotations

import re

import pytest

from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.render import kernel_source
from coopdraw.kernels.group_norm.ascend import ASCEND as GROUP_NORM
from coopdraw.kernels.linear_combination.ascend import ASCEND as LINEAR_COMBINATION

TYPES = {"DataCopyExtParams", "DataCopyPadExtParams", "GlobalTensor", "HardEvent", "LocalTensor", "RoundMode"}
TYPES |= {"TBuf", "TEventID", "TPipe", "TPosition", "TQue"}
MOVES = {"DataCopy", "DataCopyPad", "PipeBarrier", "SetFlag", "WaitFlag", "GetBlockIdx"}
TILES = {"Cast", "Muls"}
ALLOWED = {
    GROUP_NORM: TYPES
    | MOVES
    | TILES
    | {"Add", "Adds", "Div", "Duplicate", "Exp", "GetUserWorkspace", "Mul", "ReduceSum", "Sqrt", "SyncAll"},
    LINEAR_COMBINATION: TYPES | MOVES | TILES | {"Axpy"},
}
MACROS = {"GET_TILING_DATA", "KERNEL_TASK_TYPE", "REGISTER_TILING_DEFAULT", "TILING_KEY_IS"}


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("kernel", ALLOWED, ids=lambda kernel: kernel.type_name)
def test_only_these_are_called(kernel: AscendKernel, layout: Layout) -> None:
    source = re.sub(r"//.*", "", kernel_source(kernel, layout))
    called = set(re.findall(r"AscendC::(\w+)", source))
    assert called <= ALLOWED[kernel]
    assert called >= ALLOWED[kernel] - TYPES  # the list says no more than the kernel needs
    assert set(re.findall(r"\b([A-Z][A-Z_]+[A-Z])\(", source)) <= MACROS


@pytest.mark.parametrize("kernel", ALLOWED, ids=lambda kernel: kernel.type_name)
def test_vector_instructions_are_of_the_counted_form(kernel: AscendKernel) -> None:
    """The other forms take masks and strides, whose rules differ between processors."""
    source = kernel_source(kernel, Layout.CANN9)
    assert "repeat" not in source.lower()
    assert "mask" not in source.lower()


def test_310p_has_no_padded_copies_and_no_hardware_synchronisation() -> None:
    for kernel in ALLOWED:
        source = kernel_source(kernel, Layout.CANN9)
        kept, depth = [], []
        for line in source.splitlines():  # what is left where __NPU_ARCH__ is 2002
            if line.startswith("#if"):
                depth.append("!(" not in line)
            elif line.startswith("#else"):
                depth[-1] = not depth[-1]
            elif line.startswith("#endif"):
                depth.pop()
            elif all(depth):
                kept.append(line)
        text = "\n".join(kept)
        assert "DataCopyPad" not in text
        assert "KERNEL_TASK_TYPE" not in text
        if "SyncAll" in text:  # in a branch of a template that only the other processors instantiate
            assert "GroupNorm<DTYPE_X, true>" not in text
