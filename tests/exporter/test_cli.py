"""The command line: exit codes, one-sentence errors, whole files or none, and a quick `--help`."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from runtime.tiny_bundle import INPUTS, expected_outputs, write_bundle

from coopdraw.exporter.cli.app import COMMANDS, app
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.runtime import npz

RECIPE = """\
[pipeline]
name = "shapes"
image_size = [64, 64]
steps = 20
guidance = { text = 5.0 }
experts = { structure = "unet", texture = "unet" }
vae = "vae"
[models.unet]
kind = "unet"
weights = "weights"
[models.vae]
kind = "vae"
weights = "weights"
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny.bundle")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe and input tensors."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "shapes.toml").write_text(RECIPE)
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "in.npz", **{s.name: generator.standard_normal(s.shape).astype(s.dtype) for s in INPUTS})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="coopdraw")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def refused(*arguments: object, code: int = 2) -> str:
    """Standard error of a command that must fail without a traceback."""
    result = run(*arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert errors
    return "\n".join(errors)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Help and versions


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_has_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert "--debug" in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from coopdraw.exporter.cli import main\n"
        "sys.argv = ['coopdraw', *{arguments}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(*(m for m in ('numpy', 'mindspore', 'pydantic', 'rich', 'PIL', 'google') if m in sys.modules))"
    )
    for arguments in (["--help"], ["run", "--help"], ["compile", "--help"], ["--version"]):
        script = code.replace("{arguments}", repr(arguments))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "", f"{arguments} imports {done.stdout.splitlines()[-1]}"


def test_version() -> None:
    assert run("--version").stdout.startswith("coopdraw 0.")


def test_unknown_commands_and_options() -> None:
    assert "did you mean inspect" in refused("inspekt")
    assert "No such command" in refused("zzz")
    refused("run", "--prmpt", "x")


# What every command does with failures


@dataclass
class Verdict:
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        return {"passed": self.passed}

    def lines(self) -> list[str]:
        return [f"passed: {self.passed}"]


@dataclass
class Calls:
    """Stands in for the compiler and the verification, and remembers how it was called."""

    failure: BaseException | None = None
    passed: bool = True
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def __call__(self, *arguments: Any, **options: Any) -> Verdict:
        self.made.append((arguments, options))
        if self.failure is not None:
            raise self.failure
        return Verdict(self.passed)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    found = Calls()
    for module, function in (("compiler", "compile_pipeline"), ("verification", "verify_bundle")):
        fake = ModuleType(module)
        setattr(fake, function, found)
        monkeypatch.setitem(sys.modules, f"coopdraw.exporter.{module}", fake)
    return found


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (CheckError("the image has 12 dB; look"), 1, "error: the image has 12 dB; look"),
        (
            OSError(errno.ENOSPC, "No space left on device", "b"),
            2,
            "error: b: No space left on device; free some space",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "b"), 2, "error: b: Permission denied; change its"),
        (MemoryError(), 2, "error: there is not enough memory"),
        (
            ZeroDivisionError("division"),
            70,
            "error: internal error: ZeroDivisionError: division; run again with --debug",
        ),
    ],
)
def test_failures(folder: Path, calls: Calls, failure: Exception, code: int, message: str) -> None:
    calls.failure = failure
    assert refused("compile", "shapes.toml", "-o", "b", code=code).startswith(message)


@pytest.mark.parametrize("arguments", [["--debug", "compile"], ["compile", "--debug"]])
def test_debug_shows_the_traceback(folder: Path, calls: Calls, arguments: list[str]) -> None:
    calls.failure = ZeroDivisionError("division")
    result = run(*arguments, "shapes.toml", "-o", "b")
    assert result.exit_code == 70
    assert "Traceback" in result.stderr


def test_interrupted(folder: Path, calls: Calls) -> None:
    calls.failure = KeyboardInterrupt()
    result = run("compile", "shapes.toml", "-o", "b")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


# compile and verify


def test_compile_passes_its_options_on(folder: Path, calls: Calls) -> None:
    result = run("compile", "shapes.toml", "-o", "b", "--no-verify", "--dump-ir", "ir", "--report", "r.json")
    assert result.exit_code == 0
    assert "wrote b" in result.stdout
    (((recipe, output), options),) = calls.made
    assert recipe.pipeline.name == "shapes"
    assert output == Path("b")
    del options["progress"]
    assert options == {"verify": False, "dump_ir": Path("ir"), "report": Path("r.json")}


def test_compile_shows_every_mistake(folder: Path, calls: Calls) -> None:
    (folder / "shapes.toml").write_text(RECIPE.replace("steps = 20", "stpes = 20"))
    shown = refused("compile", "shapes.toml", "-o", "b")
    assert shown.count("error: shapes.toml: key pipeline.") == 2
    assert not calls.made


def test_compile_keeps_what_is_there(folder: Path, bundle: Path, calls: Calls) -> None:
    assert "--force" in refused("compile", "shapes.toml", "-o", bundle)
    assert "no bundle" in refused("compile", "shapes.toml", "-o", folder, "--force")
    (folder / "link").symlink_to(bundle)
    assert "no bundle" in refused("compile", "shapes.toml", "-o", "link", "--force")
    assert "not a folder" in refused("compile", "shapes.toml", "-o", "gone/b")
    assert not calls.made
    assert run("compile", "shapes.toml", "-o", bundle, "--force").exit_code == 0


def test_compile_trusts_code_only_when_told(folder: Path, calls: Calls) -> None:
    (folder / "shapes.toml").write_text(RECIPE + 'cell = "my.cells:vae"\ninputs = { latent = [4, 8, 8] }\n')
    assert "--trust-code" in refused("compile", "shapes.toml", "-o", "b")
    assert run("compile", "shapes.toml", "-o", "b", "--trust-code").exit_code == 0


@pytest.mark.parametrize("passed", [True, False])
def test_verify(folder: Path, bundle: Path, calls: Calls, passed: bool) -> None:
    calls.passed = passed
    plain = run("verify", bundle)
    assert plain.exit_code == (0 if passed else 1)
    assert plain.stdout == f"passed: {passed}\n"
    as_json = run("verify", bundle, "--json", "--recipe", "shapes.toml")
    assert as_json.exit_code == (0 if passed else 1)
    assert json.loads(as_json.stdout) == {"passed": passed}
    assert [arguments[1] is None for arguments, _ in calls.made] == [True, False]


def test_verify_opens_only_whole_bundles(folder: Path, calls: Calls) -> None:
    assert "manifest.json" in refused("verify", folder)
    assert not calls.made


# run


def test_run_on_tensors(folder: Path, bundle: Path) -> None:
    result = run("run", bundle, "--inputs", "in.npz", "--outputs", "out.npz")
    assert result.exit_code == 0
    assert "wrote out.npz" in result.stdout
    outputs = np.load("out.npz")
    assert sorted(outputs) == ["image", "latent"]
    for name, expected in expected_outputs(np.load("in.npz")).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)  # float32 sums in another order
    first = (folder / "out.npz").read_bytes()
    assert run("run", bundle, "--inputs", "in.npz", "--outputs", "out.npz").exit_code == 0
    assert (folder / "out.npz").read_bytes() == first


def test_run_on_captions(folder: Path, bundle: Path) -> None:
    result = run("run", bundle, "--prompt", "red ring", "--prompt", "blue", "--prompt", "red", "-o", "sheet.png")
    assert result.exit_code == 0
    assert "3 pictures, seeds 0 to 2" in result.stdout
    first = (folder / "sheet.png").read_bytes()
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 2 * 160
    run("run", bundle, "--prompt", "red ring", "--prompt", "blue", "--prompt", "red", "-o", "sheet.png", "--seed", 0)
    assert (folder / "sheet.png").read_bytes() == first
    one = run("run", bundle, "--prompt", "red", "-o", "one.png", "--seed", 5, "--branch", "uncond=blue")
    assert "2 pictures, seeds 5 to 6" in one.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either"),
        (["--prompt", "red", "--inputs", "in.npz"], "give either"),
        (["--prompt", "red"], "-o is missing"),
        (["-o", "x.png"], "--prompt is missing"),
        (["--seed", "1"], "--prompt is missing"),
        (["--inputs", "in.npz"], "--outputs is missing"),
        (["--outputs", "out.npz"], "--inputs is missing"),
        (["--prompt", "red", "-o", "x.jpg"], "must end with .png"),
        (["--prompt", "red", "-o", "x.png", "--branch", "style"], "NAME=TEXT"),
        (["--prompt", "red", "-o", "x.png", "--branch", "text=blue"], "two captions"),
        (["--prompt", "red", "-o", "x.png", "--seed", "-1"], "--seed"),
        (["--prompt", "red", "-o", "x.png", "--backend", "tensorrt"], "--backend"),
        (["--prompt", "red rign", "-o", "x.png"], "did you mean ring"),
        (["--prompt", "red", "-o", "x.png", "--branch", "style=red"], "no guidance branch style"),
        (["--inputs", "shapes.toml", "--outputs", "out.npz"], "not a readable .npz"),
        (["--inputs", "gone.npz", "--outputs", "out.npz"], "gone.npz does not exist"),
        (["--inputs", "in.npz", "--outputs", "gone/out.npz"], "not a folder"),
    ],
)
def test_run_refuses(folder: Path, bundle: Path, arguments: list[str], message: str) -> None:
    before = names(folder)
    assert message in refused("run", bundle, *arguments)
    assert names(folder) == before


def test_run_refuses_other_tensors(folder: Path, bundle: Path) -> None:
    np.savez("few.npz", noise=np.zeros((2, 3, 2, 2), np.float32), contxt=np.zeros(1))
    shown = refused("run", bundle, "--inputs", "few.npz", "--outputs", "out.npz")
    assert "context.text is missing" in shown
    assert "contxt is no input" in shown
    with zipfile.ZipFile("text.npz", "w") as archive:
        archive.writestr("noise", "no array")
    refused("run", bundle, "--inputs", "text.npz", "--outputs", "out.npz")


def test_full_disk_leaves_the_old_output(folder: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(file: Any, arrays: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder / "out.npz").write_text("old")
    before = names(folder)
    monkeypatch.setattr(npz, "write_npz", fill_disk)
    shown = refused("run", bundle, "--inputs", "in.npz", "--outputs", "out.npz")
    assert shown == "error: No space left on device; free some space or write elsewhere"
    assert (folder / "out.npz").read_text() == "old"
    assert names(folder) == before


def test_run_in_a_process(folder: Path, bundle: Path) -> None:
    def coopdraw(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from coopdraw.exporter.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = coopdraw("run", bundle, "--inputs", "in.npz", "--outputs", "out.npz")
    assert (done.returncode, done.stdout.startswith("wrote out.npz")) == (0, True)
    assert [line[:5] for line in done.stderr.splitlines()] == ["[1/3]", "[2/3]", "[3/3]"]
    failed = coopdraw("run", folder, "--inputs", "in.npz", "--outputs", "out.npz")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in failed.stderr


# inspect and doctor


def test_inspect_bundle(bundle: Path) -> None:
    result = run("inspect", bundle)
    assert result.exit_code == 0
    for part in ("tiny: 2 steps", "context.text", "structure", "999", "sampling.mindir", "fold-constants", "91.5"):
        assert part in result.stdout
    assert "\x1b" not in result.stdout
    as_json = run("inspect", bundle, "--format", "json")
    assert as_json.stdout == (bundle / "manifest.json").read_text()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """What `inspect` finds in a .mindir, whatever the file."""
    image = TensorType(DType.FLOAT32, (1, 2))
    function = GraphBuilder('vae."decode"')
    function.source = "decoder.conv_in"
    x = function.input("x", image)
    decoded = function.build([function.add("mul", x, function.constant(np.array([np.inf, 1.0], np.float32)))], ["y"])
    entry = GraphBuilder("sampling")
    noise = entry.input("noise", image)
    scaled = entry.add("add", noise, entry.weight("scale", image))
    (out,) = entry.call(decoded, scaled)
    scale = ArrayWeight(np.zeros((1, 2), np.float32))
    found = Module(entry.build([out], ["image"]), {decoded.name: decoded}, {"scale": scale})
    monkeypatch.setattr("coopdraw.graphs.mindir.reader.read_mindir", lambda path: found)
    return found


def test_inspect_json(folder: Path, module: Module) -> None:
    data = json.loads(run("inspect", "any.mindir", "--format", "json").stdout)
    assert [node["operator"] for node in data["entry"]["nodes"]] == ["weight", "add", "call"]
    assert data["entry"]["outputs"] == [{"name": "image", "value": "y"}]
    assert data["weights"] == {"scale": {"dtype": "float32", "shape": [1, 2]}}
    one = json.loads(run("inspect", "any.mindir", "--function", 'vae."decode"', "--format", "json").stdout)
    constant = one["nodes"][0]
    assert constant["attributes"]["value"] == {"dtype": "float32", "shape": [2], "values": ["inf", 1.0]}
    assert constant["source"] == "decoder.conv_in"


def test_inspect_dot(folder: Path, module: Module) -> None:
    dot = run("inspect", "any.mindir", "--format", "dot").stdout
    assert dot.startswith('digraph "sampling" {')
    for line in (
        'input0 [shape=ellipse, label="noise"];',
        'node0 [label="weight scale", style=dashed];',
        'node2 [label="call vae.\\"decode\\""];',
        'input0 -> node1 [label="float32[1, 2]"];',
        'node2 -> output0 [label="float32[1, 2]"];',
    ):
        assert f"  {line}\n" in dot
    function = run("inspect", "any.mindir", "--function", 'vae."decode"', "--format", "dot").stdout
    assert 'label="mul\\ndecoder.conv_in"' in function


def test_inspect_text(folder: Path, module: Module) -> None:
    assert "call" in run("inspect", "any.mindir").stdout
    assert "mul" in run("inspect", "any.mindir", "--function", 'vae."decode"').stdout
    assert "choose one such as" in refused("inspect", "any.mindir", "--function", "vae.encode")


def test_inspect_a_real_file(bundle: Path) -> None:
    shown = run("inspect", bundle / "sampling.mindir")
    assert shown.exit_code == 0
    assert "sigmoid" in shown.stdout


def test_inspect_what_is_no_bundle(folder: Path) -> None:
    (folder / "bad.mindir").write_bytes(b"no protobuf")
    for path in ("gone", "bad.mindir", "weights"):
        refused("inspect", path)


def test_doctor(folder: Path) -> None:
    plain, as_json = run("doctor"), run("doctor", "--json")
    findings = json.loads(as_json.stdout)
    assert plain.exit_code == as_json.exit_code == int(any(item["status"] == "missing" for item in findings))
    for item in findings:
        assert item["name"] in plain.stdout
        assert set(item) == {"name", "status", "detail", "fix"}
