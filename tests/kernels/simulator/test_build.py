"""Building kernels: tiling data of both layouts, what the compiler says about unknown names, and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coopdraw.kernels.simulator.build import build_kernel, tiling_definitions
from coopdraw.kernels.simulator.simulation import SimulationError, simulate
from coopdraw.kernels.simulator.soc import SOCS
from coopdraw.runtime.errors import KernelBuildError

SOC = SOCS["ascend910b"]
FIELDS = "uint8_t kind; int64_t first; float scale; uint16_t sizes[3];"
LAYOUT = np.dtype({"names": ["kind", "first", "scale", "sizes"], "formats": ["u1", "<i8", "<f4", ("<u2", 3)],
                   "offsets": [0, 8, 16, 20], "itemsize": 32})  # fmt: skip
KERNEL = """
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void echo(GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    %s
    GET_TILING_DATA(data, tiling);
    AscendC::GlobalTensor<float> out;
    out.SetGlobalBuffer((__gm__ float*)z);
    out.SetValue(0, data.kind);
    out.SetValue(1, data.first);
    out.SetValue(2, data.scale);
    out.SetValue(3, data.sizes[2]);
}
"""
HEADER = """
#include "no/such/header.h"
namespace optiling {
BEGIN_TILING_DATA_DEF(EchoTiling)
TILING_DATA_FIELD_DEF(uint8_t, kind);
TILING_DATA_FIELD_DEF(int64_t, first);
TILING_DATA_FIELD_DEF(float, scale);
TILING_DATA_FIELD_DEF_ARR(uint16_t, 3, sizes);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(Echo, EchoTiling)
class OnlyTheHostKnowsThis : public Elsewhere {};
}
"""


def tiling() -> bytes:
    data = np.zeros(1, LAYOUT)
    data["kind"], data["first"], data["scale"], data["sizes"] = 3, -7, 0.5, (1, 2, 65535)
    return data.tobytes()


@pytest.mark.parametrize("layout", ["macros", "struct", "registered"])
def test_tiling_data(layout: str) -> None:
    struct = f"struct EchoTiling {{ {FIELDS} }};"
    registration = "REGISTER_TILING_DEFAULT(EchoTiling);" if layout == "registered" else ""
    program = build_kernel(
        KERNEL % registration,
        "echo",
        1,
        SOC,
        tiling=tiling_definitions(HEADER) if layout == "macros" else struct,
        tiling_struct="EchoTiling" if layout == "struct" else None,
    )
    result = simulate(program, [], [((4,), np.float32)], tiling())
    np.testing.assert_array_equal(result.outputs[0], [3, -7, 0.5, 65535])
    with pytest.raises(SimulationError, match="reads 32 bytes of tiling data, but it was given 24"):
        simulate(program, [], [((4,), np.float32)], tiling()[:24])


def test_unknown_name_is_a_compile_error() -> None:
    source = KERNEL.replace("out.SetValue(0, data.kind)", "AscendC::FrobnicateAll(out)")
    with pytest.raises(KernelBuildError, match="FrobnicateAll"):
        build_kernel(source % "", "echo", 1, SOC, tiling=f"struct T {{ {FIELDS} }};", tiling_struct="T")


def test_host_compiler_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelBuildError, match="no-such-compiler"):
        build_kernel("", "echo", 1, SOC)


def test_cache_follows_every_file(tmp_path: Path) -> None:
    (tmp_path / "value.h").write_text("constexpr int VALUE = 1;")
    source = tmp_path / "kernel.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n#include "value.h"\n'
        "void one(GM_ADDR z, GM_ADDR, GM_ADDR) { AscendC::GlobalTensor<int32_t> out;"
        " out.SetGlobalBuffer((__gm__ int32_t*)z); out.SetValue(0, VALUE); }"
    )
    first = build_kernel(source, "one", 1, SOC)
    assert build_kernel(source, "one", 1, SOC) == first
    (tmp_path / "value.h").write_text("constexpr int VALUE = 2;")
    second = build_kernel(source, "one", 1, SOC)
    assert second.vector != first.vector
    values = [int(simulate(program, [], [((1,), np.int32)]).outputs[0][0]) for program in (first, second)]
    assert values == [1, 2]


def test_branches_of_the_socs() -> None:
    source = """
    #include "kernel_operator.h"
    void which(GM_ADDR z, GM_ADDR, GM_ADDR) {
        AscendC::GlobalTensor<int32_t> out;
        out.SetGlobalBuffer((__gm__ int32_t*)z);
        out.SetValue(0, __CCE_AICORE__);
        out.SetValue(1, DTYPE_X(7.9f));
    }"""
    for name, expected in (("ascend910b", 220), ("ascend310p", 200)):
        program = build_kernel(source, "which", 1, SOCS[name], defines={"DTYPE_X": "int32_t"})
        result = simulate(program, [], [((2,), np.int32)])
        np.testing.assert_array_equal(result.outputs[0], [expected, 7])


def test_division_by_zero_and_endless_loops() -> None:
    source = """
    #include "kernel_operator.h"
    void wrong(GM_ADDR z, GM_ADDR, GM_ADDR tiling) {
        volatile int32_t zero = 0;
        if (TILING_KEY_IS(1)) { zero = 100 / zero; }
        while (TILING_KEY_IS(2)) { zero = 0; }
    }"""
    program = build_kernel(source, "wrong", 1, SOC)
    with pytest.raises(SimulationError, match="divides"):
        simulate(program, [None], [], tiling_key=1)
    with pytest.raises(SimulationError, match="did not end within"):
        simulate(program, [None], [], tiling_key=2, timeout=1)
