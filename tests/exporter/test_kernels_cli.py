"""`coopdraw kernels`: list, project, simulate, tune."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from coopdraw.exporter.cli.app import app
from coopdraw.kernels.ascend.catalogue import ASCEND_KERNELS, WORDS

NODE = ("simulate", "group_norm", "--input", "1x32x16x16")


def kernels(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["kernels", *map(str, arguments)], prog_name="coopdraw")
    assert result.exit_code == code, result.output
    return result


def refusal(*arguments: object) -> str:
    return kernels(*arguments, code=2).stderr


class TestList:
    def test_everything_that_has_a_kernel(self) -> None:
        entries = {entry["operator"]: entry for entry in json.loads(kernels("list", "--json").stdout)}
        assert set(entries) >= {"attention", "conv2d", "fused_group_norm", "geglu", "linear_combination"}
        assert entries["attention"]["ascend"] == "CoopdrawAttention"
        assert entries["attention"]["status"] == WORDS
        assert entries["fused_group_norm"]["socs"] == ["ascend910b", "ascend310p"]
        assert entries["fused_group_norm"]["built_in"] == "GroupNormSilu"
        assert entries["conv2d"]["ascend"] is None
        assert entries["conv2d"]["status"] == "no Ascend kernel"

    def test_the_exact_words_are_printed_once(self) -> None:
        text = kernels("list").stdout
        assert text.count(WORDS) == 1
        assert "CoopdrawLinearCombination" in text


class TestProject:
    @pytest.mark.parametrize(("layout", "mark"), [("cann8", "BEGIN_TILING_DATA_DEF"), ("cann9", "struct ")])
    def test_all_kernels(self, tmp_path: Path, layout: str, mark: str) -> None:
        done = kernels("project", tmp_path / "operators", "--layout", layout)
        assert all(kernel.type_name in done.stdout for kernel in ASCEND_KERNELS)
        headers = list((tmp_path / "operators").glob("op_*/*_tiling.h"))
        assert len(headers) == len(ASCEND_KERNELS)
        assert all(mark in header.read_text() for header in headers)

    def test_one_kernel_for_one_soc(self, tmp_path: Path) -> None:
        kernels("project", tmp_path / "operators", "--soc", "ascend310p", "--kernel", "group_norm")
        (host,) = (tmp_path / "operators" / "op_host").glob("*.cpp")
        assert 'AddConfig("ascend310p"' in host.read_text()
        assert 'AddConfig("ascend910b"' not in host.read_text()

    def test_a_folder_with_something_in_it_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("")
        assert "is not empty" in refusal("project", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]

    def test_an_unknown_kernel_is_refused(self, tmp_path: Path) -> None:
        assert "no Ascend kernel conv2d" in refusal("project", tmp_path / "new", "--kernel", "conv2d")
        assert not (tmp_path / "new").exists()


class TestSimulateAnOperator:
    def test_the_report(self) -> None:
        run = json.loads(kernels(*NODE, "--set", "groups=4", "--json").stdout)
        # One rounding to float16 of values below 8.
        assert run["errors"][0] <= 2.0**-8
        figures = run["figures"]
        assert figures["least_bytes"] == (2 * 32 * 256 + 2 * 32) * 2
        assert figures["moved_bytes"] >= figures["least_bytes"]
        assert figures["busy"]["vector"][0] > 0
        assert figures["seconds"] > 0
        assert 0 < run["memory"]["ub"][0] <= run["memory"]["ub"][1]
        assert run["tiling"]["group_elements"] == 8 * 256
        assert run["status"] == WORDS
        assert run["choice"]["operator"] == "group_norm"

    def test_the_report_for_people(self) -> None:
        text = kernels(*NODE).stdout
        for part in ("max error", "bytes moved", "busy cores", "UB", "tiling", "workspace", "(an estimate)", WORDS):
            assert part in text

    def test_the_seed_makes_the_data(self) -> None:
        first, again, other = (kernels(*NODE, "--json", "--seed", seed).stdout for seed in (1, 1, 2))
        assert first == again
        assert json.loads(first)["errors"] != json.loads(other)["errors"]

    @pytest.mark.parametrize(
        ("arguments", "operands"),
        [
            (("fused_group_norm", "--input", "1x64x8x8", "--set", "add=channel"), ["1, 64, 8, 8", "64", "64", "1, 64"]),
            (("linear_combination", "--input", "4x64", "--set", "weights=1,-2,3"), ["4, 64"] * 3),
            (("attention", "--input", "1x32x128"), ["1, 32, 128"] * 3),
            (("attention", "--input", "1x2x32x16", "--input", "1x2x48x16"), ["1, 2, 32, 16", *["1, 2, 48, 16"] * 2]),
        ],
    )
    def test_operands_follow_from_the_first(self, arguments: tuple[str, ...], operands: list[str]) -> None:
        run = json.loads(kernels("simulate", *arguments, "--json").stdout)
        assert [text.partition("[")[2].rstrip("]") for text in run["operands"]] == operands

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (("group_norm", "--input", "1x32x7x7", "--target", "ascend310p"), "copies multiples of 32 bytes only"),
            (("group_norm", "--input", "1x32x16x16", "--set", "groups=5"), "groups"),
            (("group_norm", "--input", "1x32x16x16", "--set", "group=5"), "has no attribute group; it has groups"),
            (("group_norm", "--input", "1x32x16x16", "--set", "groups=many"), "groups is int, not 'many'"),
            (("group_norm", "--input", "1xtwo"), "'1xtwo' is no shape"),
            (("group_norm",), "give that of its first operand"),
            (("group_norm", *["--input", "32"] * 4), "the operands are x, gamma, beta"),
            (("attention", "--input", "1x32x128", "--dtype", "float32"), "takes float16"),
            (("conv2d", "--input", "1x4x8x8"), "choose one of attention"),
            ((), "name an operator, or a folder with --source"),
            (("group_norm", "--input", "1x32x16x16", "--set", "groups"), "is no NAME=VALUE"),
        ],
    )
    def test_what_is_refused(self, arguments: tuple[str, ...], part: str) -> None:
        assert part in refusal("simulate", *arguments)


class TestTune:
    def test_trials_are_sorted(self) -> None:
        done = kernels("tune", "linear_combination", "--input", "1x4x64x64", "--json")
        trials = json.loads(done.stdout)
        times = [trial["seconds"] for trial in trials if trial["seconds"] is not None]
        assert times == sorted(times)
        assert len({tuple(trial["varied"].items()) for trial in trials}) == len(trials) > 2
        assert [trial["own"] for trial in trials].count(True) == 1
        assert trials[0]["own"]
        # What doesn't fit is shown with the simulator's sentence, last.
        assert "UB" in trials[-1]["fault"]

    def test_tiles_that_do_not_stay_are_read_again(self) -> None:
        done = kernels("tune", "group_norm", "--input", "1x32x64x64", "--json")
        trials = [trial for trial in json.loads(done.stdout) if trial["fault"] is None]
        moved = {trial["varied"]["resident_tiles"]: trial["moved_bytes"] for trial in trials}
        assert moved[0] > moved[max(moved)]

    def test_the_table(self) -> None:
        text = kernels("tune", "linear_combination", "--input", "4x512").stdout
        assert "tile bytes" in text
        assert "times are an estimate" in text


KERNEL = """
#include "kernel_operator.h"
{includes}
extern "C" __global__ __aicore__ void scaled_copy(GM_ADDR x, GM_ADDR bias, GM_ADDR y, GM_ADDR workspace, GM_ADDR tiling)
{{
{register}
    GET_TILING_DATA(data, tiling);
    AscendC::TPipe pipe;
    AscendC::TQue<AscendC::TPosition::VECIN, 1> in;
    AscendC::TQue<AscendC::TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 1, data.count * sizeof(DTYPE_X));
    pipe.InitBuffer(out, 1, data.count * sizeof(DTYPE_X));
    AscendC::GlobalTensor<DTYPE_X> from, to;
    from.SetGlobalBuffer(reinterpret_cast<__gm__ DTYPE_X*>(x), data.total);
    to.SetGlobalBuffer(reinterpret_cast<__gm__ DTYPE_X*>(y), data.total);
    const int64_t first = AscendC::GetBlockIdx() * data.count;
    AscendC::LocalTensor<DTYPE_X> a = in.AllocTensor<DTYPE_X>();
    AscendC::DataCopy(a, from[first], data.count);
    in.EnQue(a);
    a = in.DeQue<DTYPE_X>();
    AscendC::LocalTensor<DTYPE_X> b = out.AllocTensor<DTYPE_X>();
    AscendC::Muls(b, a, static_cast<DTYPE_X>(data.scales[data.which]), data.count);
    out.EnQue(b);
    b = out.DeQue<DTYPE_X>();
    AscendC::DataCopy(to[first], b, data.count);
    in.FreeTensor(a);
    out.FreeTensor(b);
}}
"""
MACROS = """
// a host header, with what only the host has
#include "register/tilingdata_base.h"
namespace optiling {
BEGIN_TILING_DATA_DEF(ScaledCopyTiling)
TILING_DATA_FIELD_DEF(uint8_t, which); /* then three
                                          bytes of nothing */
TILING_DATA_FIELD_DEF(uint32_t, count);
TILING_DATA_FIELD_DEF_ARR(float, 3, scales);
TILING_DATA_FIELD_DEF(int64_t, total);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(ScaledCopy, ScaledCopyTiling)
}
class HostOnly : public Nothing {};
"""
PLAIN = """
#pragma once
#include <cstdint>
struct ScaledCopyTiling {
    uint8_t which = 0;
    uint32_t count; // elements of a core
    float scales[3];
    int64_t total;
};
"""


class TestSimulateAFolder:
    @pytest.fixture(params=["cann8", "cann9"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """An operator of ours as the public repositories have them, with struct by macros or plainly."""
        folder = tmp_path / "scaled_copy"
        (folder / "op_kernel").mkdir(parents=True)
        (folder / "op_host").mkdir()
        macros = request.param == "cann8"
        header = folder / ("op_host" if macros else "op_kernel") / "scaled_copy_tiling.h"
        header.write_text(MACROS if macros else PLAIN)
        source = KERNEL.format(
            includes="" if macros else '#include "scaled_copy_tiling.h"',
            register="" if macros else "    REGISTER_TILING_DEFAULT(ScaledCopyTiling);",
        )
        (folder / "op_kernel" / "scaled_copy.cpp").write_text(source)
        (folder / "op_kernel" / "another.cpp").write_text("// nothing of it")
        np.savez(tmp_path / "in.npz", x=np.arange(256, dtype=np.float32))
        self.write_tiling(tmp_path)
        return folder

    def write_tiling(self, tmp_path: Path, **changed: object) -> None:
        values: dict[str, object] = {"which": 1, "count": 64, "scales": [1, 0.5, 2.0], "total": 256}
        text = json.dumps({name: value for name, value in {**values, **changed}.items() if value is not None})
        (tmp_path / "tiling.json").write_text(text)

    def arguments(self, folder: Path, *more: str, output: str = "y=256:float32") -> list[object]:
        work = folder.parent
        return [
            *(
                "simulate",
                "--source",
                folder,
                "--entry",
                "scaled_copy",
                "--inputs",
                work / "in.npz",
                "--output",
                output,
            ),
            *("--tiling", work / "tiling.json", "--cores", "4", "--define", "DTYPE_X=float", *more),
        ]

    def test_a_run(self, folder: Path, tmp_path: Path) -> None:
        done = kernels(*self.arguments(folder, "--outputs", str(tmp_path / "out.npz"), "--synchronisation", "strict"))
        with np.load(tmp_path / "out.npz") as outputs:
            np.testing.assert_array_equal(outputs["y"], 0.5 * np.arange(256, dtype=np.float32))
        assert "4 of 40 vector" in done.stdout
        assert "2048, 1.000 of the least" in done.stdout

    def test_the_report(self, folder: Path) -> None:
        report = json.loads(kernels(*self.arguments(folder, "--json", "--target", "ascend310p")).stdout)
        assert report["outputs"] == {"y": {"dtype": "float32", "shape": [256]}}
        assert report["figures"]["busy"] == {"coupled": [4, 8]}

    def test_a_fault_is_a_failed_check(self, folder: Path, tmp_path: Path) -> None:
        self.write_tiling(tmp_path, count=128)
        stderr = kernels(*self.arguments(folder, "--outputs", str(tmp_path / "out.npz")), code=1).stderr
        assert stderr.startswith("error: ")
        assert "DataCopy" in stderr
        assert not (tmp_path / "out.npz").exists()

    @pytest.mark.parametrize(
        ("changed", "part"),
        [
            ({"count": None}, "the tiling lacks count of ScaledCopyTiling"),
            ({"counts": 1}, "ScaledCopyTiling has no field counts"),
            ({"count": 2**40}, "count is uint32_t"),
            ({"count": 1.5}, "count is uint32_t"),
            ({"scales": [1, 2]}, "scales is float[3]"),
            ({"which": "one"}, "which is uint8_t"),
        ],
    )
    def test_tilings_that_do_not_fit(self, folder: Path, tmp_path: Path, changed: dict[str, object], part: str) -> None:
        self.write_tiling(tmp_path, **changed)
        assert part in refusal(*self.arguments(folder))

    def test_tensors_that_do_not_fit(self, folder: Path, tmp_path: Path) -> None:
        assert "has no tensor z; it has x, bias, y" in refusal(*self.arguments(folder, output="z=4:float32"))
        assert "is no NAME=SHAPE:DTYPE" in refusal(*self.arguments(folder, output="y=256:half"))
        assert "is no NPZ file" in refusal(*self.arguments(folder, "--inputs", str(tmp_path / "tiling.json")))

    def test_an_output_that_is_an_input_too(self, folder: Path, tmp_path: Path) -> None:
        np.savez(tmp_path / "in.npz", x=np.ones(256, np.float32), y=np.zeros(256, np.float32))
        report = json.loads(kernels(*self.arguments(folder, "--json")).stdout)
        assert list(report["outputs"]) == ["y"]

    def test_folders_without_the_kernel(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        arguments = self.arguments(folder)
        assert "has no folder op_kernel" in refusal(
            *[tmp_path / "empty" if item == folder else item for item in arguments]
        )
        assert "defines other" in refusal(*["other" if item == "scaled_copy" else item for item in arguments])

    def test_what_lacks_is_named(self, folder: Path) -> None:
        assert "--source needs --inputs, --tiling, too" in refusal("simulate", "--source", folder, "--entry", "x")
