"""The embedded runtime's own code under AddressSanitizer and UndefinedBehaviorSanitizer, with a fake for Lite."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from runtime.lite_bundle import (
    SHAPE,
    example_inputs,
    expected_outputs,
    sampling_plan,
    write_fake_model,
    write_lite_bundle,
    write_manifest,
    write_plan,
)

from coopdraw.runtime.errors import BackendError, BundleError
from coopdraw.runtime.lite_process import LiteProcess
from coopdraw.runtime.strict_json import parse_json

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "runtime" / "native"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PROGRAMS = {
    "coopdraw-run": ("main", "quiet_log", "runner", "serve"),
    "interface_check": ("coopdraw", "interface_check"),
    "reader_check": ("reader_check",),
}
COMMON = ("bundle", "file", "json", "npy", "npz", "plan", "session", "sha256", "tensor", "fake_model")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PROGRAMS."""
    folder = tmp_path_factory.mktemp("native")
    compiler = os.environ.get("CXX") or "g++"
    names = sorted({*COMMON, *(name for parts in PROGRAMS.values() for name in parts)})
    flags = ("-std=c++17", "-O0", "-g1", "-Wall", "-Wextra", "-Werror", *SANITIZERS, f"-I{NATIVE}")

    def source(name: str) -> Path:
        return next(path for path in (HERE / f"{name}.cc", NATIVE / f"{name}.cc") if path.is_file())

    for half in (names[::2], names[1::2]):
        running = [subprocess.Popen([compiler, *flags, "-c", source(n), "-o", folder / f"{n}.o"]) for n in half]
        assert [process.wait() for process in running] == [0] * len(running)
    for program, parts in PROGRAMS.items():
        objects = [folder / f"{name}.o" for name in (*COMMON, *parts)]
        subprocess.run([compiler, *SANITIZERS, "-pthread", *objects, "-o", folder / program], check=True)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_lite_bundle(tmp_path / "tiny.bundle", write_fake_model)


@pytest.fixture
def run(programs: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs coopdraw-run on inputs, `example_inputs()` unless given."""

    def call(bundle: Path, *options: str, **inputs: np.ndarray) -> subprocess.CompletedProcess[str]:
        np.savez(tmp_path / "in.npz", **(inputs or example_inputs()))
        files = ("--inputs", str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz"))
        return command(programs / "coopdraw-run", bundle, *files, *options)

    return call


def command(*arguments: Any, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(a) for a in arguments], input=text, capture_output=True, text=True, timeout=120)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a run that was refused; a sanitizer's report has another status and many lines."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_the_c_interface_does_what_its_header_says(programs: Path, bundle: Path, tmp_path: Path) -> None:
    slow = write_lite_bundle(tmp_path / "slow.bundle", write_fake_model)
    step = slow / "lite" / "sampling_models" / "step.mindir"
    step.write_text(step.read_text().replace("Add 3 2", "Wait 3 3\nAdd 4 2"))
    write_manifest(slow)
    done = command(programs / "interface_check", bundle, slow)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_header_is_plain_c(tmp_path: Path) -> None:
    (tmp_path / "user.c").write_text("#include <coopdraw.h>\ncoopdraw_options options = {0};\n")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{NATIVE}", "-c")
    subprocess.run([os.environ.get("CC") or "gcc", *flags, tmp_path / "user.c", "-o", tmp_path / "user.o"], check=True)
    example = NATIVE / "example" / "draw.c"
    subprocess.run([os.environ.get("CC") or "gcc", *flags, example, "-o", tmp_path / "draw.o"], check=True)


def test_a_run_on_files(run: Any, bundle: Path, tmp_path: Path) -> None:
    done = run(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    outputs = np.load(tmp_path / "out.npz")
    assert outputs.files == ["image", "latent"]
    for name, expected in expected_outputs(example_inputs()).items():
        np.testing.assert_array_equal(outputs[name], expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.npz", "tiny.bundle"]


def test_inputs_as_numpy_may_have_them(run: Any, bundle: Path, tmp_path: Path) -> None:
    inputs = example_inputs()
    assert run(bundle, **inputs).returncode == 0
    expected = (tmp_path / "out.npz").read_bytes()
    assert (
        run(bundle, **{name: np.asfortranarray(array, dtype=np.float64) for name, array in inputs.items()}).returncode
        == 0
    )
    assert (tmp_path / "out.npz").read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": np.zeros((3, 2), np.float32)}, "noise must be float32 (2, 3), but is float32 (3, 2); the noise"),
        ({"noise": np.zeros(SHAPE, np.int32)}, "noise must be float32 (2, 3), but is int32 (2, 3)"),
        ({"noise": np.full(SHAPE, np.nan, np.float32)}, "not finite"),
        ({"noise": np.full(SHAPE, 1e300)}, "not finite"),
        ({"nois": np.zeros(SHAPE, np.float32)}, "there is no input nois"),
        ({"noise": np.zeros(SHAPE, ">f4")}, "elements of type >f4"),
        ({"noise": np.zeros(SHAPE, "<c8")}, "elements of type <c8"),
    ],
)
def test_inputs_that_do_not_fit(run: Any, bundle: Path, change: dict[str, np.ndarray], message: str) -> None:
    assert message in refusal(run(bundle, **(example_inputs() | change)))


def test_an_input_that_is_missing(run: Any, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npz").write_text("before")
    assert "input context.text is missing; the context.text" in refusal(run(bundle, noise=example_inputs()["noise"]))
    assert (tmp_path / "out.npz").read_text() == "before"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the bundle is missing"),
        (("a.bundle",), "give --inputs and --outputs, or --serve"),
        (("a.bundle", "--inputs", "x.npz"), "give --inputs and --outputs, or --serve"),
        (("a.bundle", "--serve", "--inputs", "x.npz"), "give --inputs and --outputs, or --serve"),
        (("a.bundle", "--inputs"), "--inputs needs a value"),
        (("a.bundle", "--threads", "0"), "--threads 0 must be a number from 1"),
        (("a.bundle", "--threads", "2x"), "--threads 2x must be a number"),
        (("a.bundle", "--fast"), "--fast is not an option"),
        (("a.bundle", "b.bundle"), "b.bundle is not an option"),
    ],
)
def test_command_lines_that_are_refused(programs: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(command(programs / "coopdraw-run", *arguments))


def test_usage(programs: Path) -> None:
    done = command(programs / "coopdraw-run", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: coopdraw-run BUNDLE")


def test_outputs_that_cannot_be_written(programs: Path, bundle: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **example_inputs())
    done = command(
        programs / "coopdraw-run", bundle, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "no" / "x"
    )
    assert "cannot be written (No such file or directory)" in refusal(done)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "manifest.json cannot be opened"),
    "manifest is a link": (lambda b: link(b / "manifest.json"), "manifest.json cannot be opened"),
    "manifest is a pipe": (lambda b: pipe(b / "manifest.json"), "manifest.json is not a plain file"),
    "another format": (lambda b: write_manifest(b, format=2), "another format"),
    "no lite form": (lambda b: write_manifest(b, forms={}), "has no form for MindSpore Lite"),
    "a file is missing": (lambda b: constants(b).unlink(), "constants.bin is missing"),
    "a file too many": (lambda b: (b / "lite" / "new").write_text(""), "lite/new is not listed"),
    "a file is damaged": (lambda b: flip(constants(b)), "constants.bin is damaged"),
    "the plan is damaged": (lambda b: flip(b / "lite" / "sampling.json"), "sampling.json is damaged"),
    "a model is damaged": (lambda b: flip(b / "lite" / "sampling_models" / "step.mindir"), "step.mindir is damaged"),
    "a file is a link": (lambda b: link(constants(b)), "constants.bin is not a plain file"),
    "a file is a pipe": (lambda b: pipe(constants(b)), "constants.bin is not a plain file"),
    "a path leaves": (lambda b: write_manifest(b, files={"../x": "0" * 64}), "paths inside the bundle"),
    "a path is absolute": (lambda b: write_manifest(b, files={"/etc/passwd": "0" * 64}), "paths inside the bundle"),
    "no hash": (lambda b: write_manifest(b, files={"x": "0" * 63}), "64 hexadecimal digits"),
    "extents": (lambda b: write_manifest(b, inputs=[spec(shape=[2**31, 2])]), "must be an integer from 1 to 1"),
    "no extents": (lambda b: write_manifest(b, inputs=[spec(shape=[0])]), "must be an integer from 1"),
    "element type": (lambda b: write_manifest(b, inputs=[spec(dtype="complex64")]), "name of an element type"),
    "two names": (lambda b: write_manifest(b, inputs=[spec(), spec()]), "different names"),
}


def constants(bundle: Path) -> Path:
    return bundle / "lite" / "sampling_models" / "constants.bin"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere")
    path.symlink_to(path.parents[2] / "elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def spec(**changes: Any) -> dict[str, Any]:
    return {"name": "noise", "shape": [2, 3], "dtype": "float32", "meaning": "noise"} | changes


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_is_refused_before_anything_runs(run: Any, bundle: Path, tmp_path: Path, damage: str) -> None:
    # A model that ends the program if it runs.
    (bundle / "lite" / "sampling_models" / "step.mindir").write_text("float32\nAbort 0 0\n")
    write_manifest(bundle)
    assert run(bundle).returncode == -6
    action, message = DAMAGE[damage]
    action(bundle)
    assert message in refusal(run(bundle))
    assert not (tmp_path / "out.npz").exists()


PLANS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda p: p.update(format="plan"), "no plan of version 1"),
    "version": (lambda p: p.update(version=2), "no plan of version 1"),
    "no steps": (lambda p: p.update(steps=[]), "outputs"),
    "a model leaves": (lambda p: p["models"].__setitem__(0, "../../x"), "the path of a file of the bundle"),
    "an unknown model": (lambda p: p["models"].__setitem__(0, "x.mindir"), "the path of a file of the bundle"),
    "a model nobody runs": (lambda p: p["models"].append("sampling_models/words.mindir"), "models that are all run"),
    "a model's number": (lambda p: p["steps"][0].__setitem__(0, 2), "less than 2"),
    "a value's number": (lambda p: p["steps"][0][1].__setitem__(0, 99), "less than 8"),
    "a negative number": (lambda p: p["steps"][0][1].__setitem__(0, -1), "an integer from 0"),
    "read too early": (lambda p: p["steps"][0][1].__setitem__(0, 5), "a value that was made before"),
    "made twice": (lambda p: p["steps"][1][2].__setitem__(0, 3), "a value that nothing else makes"),
    "an input made twice": (lambda p: p["inputs"][1].__setitem__(1, 0), "a value that nothing else makes"),
    "another input": (lambda p: p["inputs"][0].__setitem__(0, "nois"), "the manifest's noise, float32 (2, 3)"),
    "another type": (lambda p: p["values"].__setitem__(0, ["float32", [3, 2]]), "the manifest's noise"),
    "an output nobody makes": (lambda p: (p["steps"].pop(), p["models"].pop()), "a value that was made before"),
    "types of a model": (lambda p: p["values"].__setitem__(4, ["int32", [2, 3]]), "same types"),
    "a constant too short": (lambda p: p["constants"][0].__setitem__(2, 65), "the place of float32 (2, 3)"),
    "a constant far off": (lambda p: p["constants"][0].__setitem__(2, 2**62), "the place of float32 (2, 3)"),
    "a step too short": (lambda p: p["steps"][0].pop(), "a list of 3 items"),
    "no list": (lambda p: p.update(values={}), "must be a list"),
    "nothing": (lambda p: p.pop("values"), 'has no "values"'),
}


@pytest.mark.parametrize("damage", PLANS)
def test_a_plan_that_cannot_be_is_refused(run: Any, bundle: Path, damage: str) -> None:
    plan = json.loads(json.dumps(sampling_plan()))
    action, message = PLANS[damage]
    action(plan)
    write_plan(bundle / "lite" / "sampling.json", plan)
    write_manifest(bundle)
    assert message in refusal(run(bundle))


def test_models_that_fail(run: Any, bundle: Path) -> None:
    model = bundle / "lite" / "sampling_models" / "last.mindir"
    for text, message in (("fail_load", "cannot load"), ("float32\nFail 0 0", "failed as it was told")):
        model.write_text(text)
        write_manifest(bundle)
        assert message in refusal(run(bundle))


@pytest.mark.parametrize("file", ["manifest.json", "lite/sampling.json"])
def test_any_damage_to_json_is_an_error(programs: Path, bundle: Path, file: str) -> None:
    done = command(programs / "reader_check", "damage-bundle", bundle, file)
    assert (done.returncode, done.stderr) == (0, "")
    refused, _, everything = done.stdout.split()
    assert 0 < int(refused) <= int(everything)


def test_any_damage_to_arrays_is_an_error(programs: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, noise=np.arange(6.0), mask=np.array([True]), text=np.zeros((2, 0, 3), np.int8))
    done = command(programs / "reader_check", "damage-npz", path)
    assert (done.returncode, done.stderr) == (0, "")
    refused, _, everything = done.stdout.split()
    # Times, versions and paddings mean nothing.
    assert int(refused) > 0.7 * int(everything)


ARRAYS = hnp.arrays(
    st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i4", "i8", "?"]),
    hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    arrays=st.dictionaries(st.sampled_from(["noise", "context.text", "ä b", "file_1"]), ARRAYS, max_size=3),
    fortran=st.booleans(),
)
def test_arrays_are_read_and_written_as_numpy_does(
    programs: Path, tmp_path: Path, arrays: dict[str, np.ndarray], fortran: bool
) -> None:
    np.savez(tmp_path / "in.npz", **{k: np.array(a, order="F" if fortran else "C") for k, a in arrays.items()})
    done = command(programs / "reader_check", "npz", tmp_path / "in.npz", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    found = np.load(tmp_path / "out.npz")
    assert found.files == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (
            array.dtype,
            array.shape,
            array.tobytes(),
        )


def test_arrays_that_are_compressed(programs: Path, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "in.npz", noise=np.zeros(3))
    done = command(programs / "reader_check", "npz", tmp_path / "in.npz", tmp_path / "out.npz")
    assert "is compressed (numpy.savez_compressed); save named arrays with numpy.savez" in done.stderr


JSON_TEXTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
# What a random change rarely makes.
JSON_CASES = [
    "", " ", "nul", "01", "-", "1.", ".5", "1e", "1e5", "-0", "[1,]", "[,1]", '{"a":1,"a":2}', '{"a":1,}', '{1:2}',
    '"\\ud800"', '"\\ud83d\\ude00"', '"\\ude00"', '"\\u0000"', '"\\x41"', '"\x7f"', '"\t"', '"\\t"',
    "[" * 64 + "]" * 64, "[" * 63 + "]" * 63, "[" * 62 + "0" + "]" * 62, "[" * 63 + "0" + "]" * 63,
    "[" * 64 + "0" + "]" * 64, "NaN", "Infinity", "1 2", "\ufeff1", "+1", "9223372036854775807",
    "9223372036854775808", "-9223372036854775807", "-9223372036854775809", "tru", "truefalse",
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    values=st.lists(JSON_TEXTS, max_size=30),
    changes=st.lists(
        st.tuples(st.integers(0, 200), st.characters(codec="utf-8", exclude_characters="\n\r")), max_size=30
    ),
    ascii_only=st.booleans(),
)
def test_json_is_what_python_takes_for_json(
    programs: Path, values: list[Any], changes: list[tuple[int, str]], ascii_only: bool
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    # Each change puts one character into a text.
    changed = [text[:at] + c + text[at + 1 :] for text, (at, c) in zip(texts, changes, strict=False)]
    lines = [line for line in (*JSON_CASES, *texts, *changed) if "\n" not in line and not huge_number(line)]
    done = subprocess.run(
        [programs / "reader_check", "json"], input="\n".join(lines).encode() + b"\n", capture_output=True
    )
    assert done.returncode == 0, done.stderr
    for line, answer in zip(lines, done.stdout.decode().split(), strict=True):
        assert answer == ("yes" if is_json(line) else "no"), line


def huge_number(text: str) -> bool:
    """Fractions beyond the largest double, which only Python looks at: nothing of a run depends on fractions."""
    try:
        parse_json(text, "text")
    except BundleError as error:
        return "not finite" in str(error) and text not in JSON_CASES
    return False


def is_json(text: str) -> bool:
    try:
        parse_json(text, "text")
    except BundleError:
        return False
    return True


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 2**20 - 1, 2**20 + 77])
def test_sha256(programs: Path, tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(data)
    assert (
        command(programs / "reader_check", "sha256", tmp_path / "file").stdout
        == hashlib.sha256(data).hexdigest() + "\n"
    )


def test_requests_that_make_no_sense_are_answered(programs: Path, bundle: Path, tmp_path: Path) -> None:
    requests = ["", "{", "[]", '{"id": 1}', '{"id": 2, "graph": "x"}', '{"id": 3, "graph": "sampling", "inputs": "no"}']
    done = command(programs / "coopdraw-run", bundle, "--serve", text="\n".join(requests) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [None, None, None, 1, 2, 3]
    assert all("error" in answer for answer in answers)


def test_the_process_of_a_session(programs: Path, bundle: Path) -> None:
    process = LiteProcess(programs / "coopdraw-run", bundle, 1)
    for seed in range(3):
        outputs = process.run("sampling", example_inputs(seed))
        for name, expected in expected_outputs(example_inputs(seed)).items():
            np.testing.assert_array_equal(outputs[name], expected)
    with pytest.raises(BackendError, match=r"input context\.text is missing"):
        process.run("sampling", {"noise": example_inputs()["noise"]})
    process.run("sampling", example_inputs())
    process.close()


def test_a_program_that_aborts_is_an_error_at_once(programs: Path, bundle: Path) -> None:
    (bundle / "lite" / "sampling_models" / "step.mindir").write_text("float32\nAbort 0 0\n")
    process = LiteProcess(programs / "coopdraw-run", bundle, 1)
    process.load("sampling")
    with pytest.raises(BackendError, match="was ended by SIGABRT"):
        process.run("sampling", example_inputs())
    shutil.rmtree(bundle)
    write_lite_bundle(bundle, write_fake_model)
    assert process.run("sampling", example_inputs())["latent"].shape == SHAPE
    process.close()


def test_a_program_that_says_nothing_is_ended(programs: Path, bundle: Path) -> None:
    (bundle / "lite" / "sampling_models" / "last.mindir").write_text("float32\n" + "Wait 0 0\n" * 1000)
    process = LiteProcess(programs / "coopdraw-run", bundle, None, longest_silence=1.0)
    process.load("sampling")
    with pytest.raises(BackendError, match="said nothing for 1 s"):
        process.run("sampling", example_inputs())
    process.close()
