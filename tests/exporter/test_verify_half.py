"""`coopdraw verify --precision float16` on a small bundle that is made and run without MindSpore."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from exporter.shapes import compiled, coopdraw, write_recipe
from runtime.tiny_bundle import hash_files

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.describing import GRAPH_FILE
from coopdraw.exporter.half_precision import kept_names
from coopdraw.exporter.loading import program_settings
from coopdraw.exporter.recipe import Recipe, recipe_as_compiled
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, Weight
from coopdraw.runtime.manifest import MANIFEST_NAME, Function, Manifest, Model, Step, TensorSpec

SIZE = (8, 8)
CHANNELS = 4
RECIPE: dict[str, Any] = {
    "pipeline": {
        "name": "toys",
        "image_size": SIZE,
        "steps": 4,
        "guidance": {"text": 3.0},
        "experts": {"structure": "structure", "texture": "structure"},
        "vae": "vae",
        "context_length": 2,
    },
    "models": {"structure": {"kind": "unet", "weights": "unet"}, "vae": {"kind": "vae", "weights": "vae"}},
}


class Net:
    """Builds one network of convolutions with random weights; `scales` multiply those of the named Cells."""

    def __init__(self, function: str, scales: dict[str, float]) -> None:
        self.builder = GraphBuilder(function)
        self.weights: dict[str, Weight] = {}
        self._model = function.partition(".")[0]
        self._scales = scales
        self._random = np.random.default_rng(len(function))

    def input(self, name: str, *shape: int) -> Value:
        return self.builder.input(name, TensorType(DType.FLOAT32, shape))

    def weight(self, name: str, array: np.ndarray) -> Value:
        full = f"{self._model}.{self.builder.source}.{name}"
        self.weights[full] = ArrayWeight((array * self._scales.get(self.builder.source, 1.0)).astype(np.float32))
        return self.builder.weight(full, TensorType.of(self.weights[full].read()))

    def conv(self, cell: str, x: Value, channels: int) -> Value:
        self.builder.source = cell
        shape = (channels, x.type.shape[1], 3, 3)
        kernel = self.weight("weight", self._random.standard_normal(shape) / np.sqrt(9 * shape[1]))
        window = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
        return self.builder.add("conv2d", x, kernel, **window)

    def norm(self, cell: str, x: Value) -> Value:
        self.builder.source = cell
        gamma, beta = (
            self.weight(name, np.full(x.type.shape[1], one)) for name, one in (("gamma", 1.0), ("beta", 0.0))
        )
        normalised = self.builder.add("group_norm", x, gamma, beta, groups=2, epsilon=1e-5)
        return self.builder.add("silu", normalised)

    def linear(self, cell: str, x: Value, width: int) -> Value:
        self.builder.source = cell
        return self.builder.add("linear", x, self.weight("weight", self._random.standard_normal((width, 5)) / 5))

    def module(self, output: Value, name: str) -> Module:
        return Module(self.builder.build([output], [name]), {}, self.weights)


def unet(scales: dict[str, float]) -> Module:
    net = Net("structure.unet", scales)
    x = net.input("latent", 2, CHANNELS, *SIZE)
    t, context = net.input("timestep", 1), net.input("context", 2, 2, 5)
    shift = net.builder.add("reduce_mean", net.linear("context_proj", context, 8), axes=(1,), keepdims=False)
    shift = net.builder.add("add", shift, net.builder.add("sin", t))
    hidden = net.builder.add("add", net.conv("conv_in", x, 8), net.builder.add("reshape", shift, shape=(2, 8, 1, 1)))
    hidden = net.norm("mid.norm2", net.conv("mid.conv1", net.norm("mid.norm1", hidden), 8))
    return net.module(net.conv("conv_out", hidden, CHANNELS), "epsilon")


def vae(scales: dict[str, float]) -> Module:
    net = Net("vae.decode", scales)
    x = net.input("latent", 1, CHANNELS, *SIZE)
    hidden = net.conv("decoder.conv_in", x, 8)
    hidden = net.norm("decoder.norm_out", net.conv("decoder.mid.block_1.conv2", hidden, 8))
    return net.module(net.conv("decoder.conv_out", hidden, 3), "image")


def write_bundle(folder: Path, scales: dict[str, float] | None = None, **tables: Any) -> Path:
    """A bundle of the toy pipeline; `tables` are further tables of its recipe."""
    recipe = Recipe.model_validate(RECIPE | tables)
    space = Space(TensorType(DType.FLOAT32, (1, CHANNELS, *SIZE)), vae(scales or {}), None)
    networks = {"structure": Network({2: unet(scales or {})}, "", {})}
    program, _ = PassManager(basic_passes()).run(build_program(program_settings(recipe), networks, {MAIN: space}))
    folder.mkdir()
    write_mindir(program, folder / GRAPH_FILE)
    specs = [
        tuple(TensorSpec(name, v.type.shape, "float32", name) for name, v in zip(names, values, strict=True))
        for names, values in (
            ([v.name for v in program.entry.inputs], program.entry.inputs),
            (program.entry.output_names, program.entry.outputs),
        )
    ]
    manifest = Manifest(
        name="toys",
        inputs=specs[0],
        outputs=specs[1],
        graph=GRAPH_FILE,
        text_encoder=None,
        forms={},
        device={},
        steps=(Step(0, 999, 14.6, 0.0, "structure"),),
        models={name: Model(table["kind"], {}) for name, table in RECIPE["models"].items()},
        functions=tuple(Function(name, len(graph.nodes), "0" * 64) for name, graph in program.functions.items()),
        weights={},
        passes=(),
        verification={},
        tools={},
        recipe=recipe_as_compiled(recipe),
        files=hash_files(folder),
    )
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("half") / "toys.bundle")


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the VAE of SDXL: huge activations in the decoder, which the next norm takes back."""
    scales = {"decoder.mid.block_1.conv2": 1e5}
    return write_bundle(tmp_path_factory.mktemp("half") / "overflowing.bundle", scales)


def verify_half(bundle: Path, *options: object, precision: str = "float16") -> Result:
    arguments = ["verify", str(bundle), "--precision", precision, *map(str, options)]
    result = CliRunner().invoke(app, arguments, prog_name="coopdraw")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def as_json(bundle: Path, *options: object, code: int = 0, precision: str = "float16") -> dict[str, Any]:
    """The result, read as strictly as JSON is defined."""
    result = verify_half(bundle, "--json", *options, precision=precision)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout, parse_constant=no_constant)
    return found


def test_sound_pipeline_passes(bundle: Path) -> None:
    result = verify_half(bundle)
    assert result.exit_code == 0, result.output
    first, *functions, latent, image = result.stdout.splitlines()
    assert first == "float16, emulated on the CPU, not run on an NPU; vae and the sampler stay in float32"
    assert [line.partition(",")[0] for line in functions] == ["sampling", "structure.unet"]
    assert all("all finite" in line for line in functions)
    assert latent.startswith("latent: ")
    assert image.endswith("at least 30: ok")


def test_json_has_every_function(bundle: Path) -> None:
    found = as_json(bundle)
    assert found["passed"] is True
    assert (found["precision"], found["keep_float32"], found["failures"]) == ("float16", ["vae"], [])
    assert found["executor"] == "NumPy: emulated on the CPU, not run on an NPU"
    functions = {function["name"]: function for function in found["functions"]}
    calls = {name: (function["precision"], function["calls"]) for name, function in functions.items()}
    assert calls["structure.unet"] == ("float16", 4)
    assert calls["vae.decode"] == ("float32", 1)
    network = functions["structure.unet"]
    assert 0.0 < network["error"] == max(network["errors"]) < 0.01
    assert network["headroom"] == pytest.approx(np.log2(65504 / network["largest"]), rel=0.01)
    assert (network["infinite"], network["invalid"]) == (0, 0)
    assert functions["vae.decode"]["largest"] == 0.0
    assert functions["vae.decode"]["headroom"] is None
    # Half of the UNet's weights, but for norms, which stay in float32; the VAE's stay as well.
    assert found["pass"]["notes"]["weight_bytes_removed"] > 0


def test_same_bundle_gives_the_same_result(bundle: Path) -> None:
    assert as_json(bundle) == as_json(bundle)


def test_vae_is_kept_by_default_and_overflows_without(overflowing: Path) -> None:
    """The float16 VAE that gives black pictures."""
    assert as_json(overflowing)["passed"] is True
    found = as_json(overflowing, "--keep-float32", "", code=1)
    assert found["keep_float32"] == []
    (failure,) = found["failures"]
    assert failure["graph"] == "vae.decode"
    assert failure["cell"] == "decoder.mid.block_1.conv2"
    assert failure["node"].endswith("(conv2d, Cell decoder.mid.block_1.conv2)")
    assert failure["largest"] > 65504
    assert failure["keep_float32"] == ["vae"]
    (check,) = found["checks"]
    assert check["figure"] == 0.0
    decode = {function["name"]: function for function in found["functions"]}["vae.decode"]
    assert (decode["error"], decode["errors"]) == (None, [None])
    assert decode["infinite"] > 0
    assert decode["headroom"] < 0


def test_overflow_says_what_to_do(overflowing: Path) -> None:
    result = verify_half(overflowing, "--keep-float32", "")
    assert result.exit_code == 1
    (advice,) = [line for line in result.stdout.splitlines() if line.startswith("not finite")]
    assert "(conv2d, Cell decoder.mid.block_1.conv2) of vae.decode" in advice
    assert "float16 ends at 65504" in advice
    assert 'set keep_float32 = ["vae"] in [target]' in advice
    assert 'perhaps "vae.decode/decoder.mid.block_1.conv2" is enough' in advice
    # The advice holds: the Cell's result goes into a norm, which is float32 anyway.
    assert verify_half(overflowing, "--keep-float32", "vae.decode/decoder.mid.block_1.conv2").exit_code == 0


def test_overflow_in_a_unet_is_found(tmp_path: Path) -> None:
    broken = write_bundle(tmp_path / "broken.bundle", {"mid.conv1": 1e5})
    found = as_json(broken, code=1)
    (failure, *_) = found["failures"]
    assert (failure["graph"], failure["cell"]) == ("structure.unet", "mid.conv1")
    assert failure["keep_float32"] == ["vae", "structure"]
    assert as_json(broken, "--keep-float32", "vae", "--keep-float32", "structure")["passed"] is True
    assert as_json(broken, precision="bfloat16")["failures"] == []


def test_weight_that_half_precision_cannot_hold(tmp_path: Path) -> None:
    broken = write_bundle(tmp_path / "broken.bundle", {"mid.conv1": 1e6})
    (failure, *_) = as_json(broken, code=1)["failures"]
    assert failure["weight"] == "structure.mid.conv1.weight"
    assert "structure.mid.conv1.weight is above float16's largest number" in verify_half(broken).stdout


def test_recipe_says_what_stays_and_how_good_it_must_be(tmp_path: Path) -> None:
    target = {"keep_float32": ["structure", "vae.decode"]}
    kept = write_bundle(tmp_path / "kept.bundle", target=target)
    found = as_json(kept)
    assert found["keep_float32"] == ["structure", "vae.decode"]
    assert {function["precision"] for function in found["functions"]} == {"float32"}
    assert found["latent_error"] == 0.0
    strict = write_bundle(tmp_path / "strict.bundle", verify={"half_psnr": 149.0})
    (check,) = as_json(strict, code=1)["checks"]
    assert check["at_least"] == 149.0
    assert 40.0 < check["figure"] < 149.0


def test_unknown_names_are_refused(bundle: Path) -> None:
    for name in ("va", "structure.unet/nothing", "sampling"):
        result = verify_half(bundle, "--keep-float32", name)
        assert result.exit_code == 2
        assert f"error: keep_float32 names {name}, which the program doesn't have" in result.stderr
        assert "name one of structure, structure.unet, vae, vae.decode, or a Cell as in vae.decode/" in result.stderr


def test_models_that_no_step_uses_may_be_named(tmp_path: Path) -> None:
    models = RECIPE["models"] | {"partner_vae": {"kind": "vae", "weights": "vae"}}
    found = as_json(write_bundle(tmp_path / "toys.bundle", models=models))
    assert found["keep_float32"] == ["vae"]


def test_names_need_half_precision(bundle: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(bundle), "--keep-float32", "vae"])
    assert result.exit_code == 2
    assert "add --precision float16" in result.stderr


def test_damaged_bundles_are_refused(bundle: Path, tmp_path: Path) -> None:
    damaged = write_bundle(tmp_path / "toys.bundle")
    path = next(damaged.glob("*_variables/*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = verify_half(damaged)
    assert result.exit_code == 2
    assert "is damaged" in result.stderr


# The recipe


def recipe_text(target: str) -> Callable[[str], str]:
    return lambda text: text[: text.index("[target]")] + f"[target]\n{target}\n"


def test_every_vae_is_kept_by_default(tmp_path: Path) -> None:
    assert kept_names(load_recipe(write_recipe(tmp_path))) == ("vae",)
    assert kept_names(load_recipe(write_recipe(tmp_path, recipe_text("keep_float32 = []")))) == ()
    named = recipe_text('keep_float32 = ["vae.decode", "structure.unet/input_blocks.0"]')
    assert kept_names(load_recipe(write_recipe(tmp_path, named))) == ("vae.decode", "structure.unet/input_blocks.0")


def test_float16_is_not_for_the_cpu(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, recipe_text('precision = "float16"'))
    done = coopdraw("compile", path, "-o", tmp_path / "b")
    assert done.returncode == 2
    assert "key target.precision is float16, but the CPU computes in float32" in done.stderr
    assert "coopdraw verify BUNDLE --precision float16" in done.stderr


def test_unknown_models_in_the_recipe_are_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, recipe_text('keep_float32 = ["vea", "structure/middle_block", "bridge"]'))
    done = coopdraw("compile", path, "-o", tmp_path / "b")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "target.keep_float32 names" in line]
    assert [line.partition("names ")[2].split(",")[0] for line in lines] == ["vea", "bridge"]
    assert all("they are structure, texture, vae, words" in line for line in lines)


@pytest.mark.slow
def test_shapes_stay_in_range(tmp_path: Path) -> None:
    """The demo pipeline with its trained weights, as it is compiled and with its VAE in float16, too."""
    bundle = compiled(write_recipe(tmp_path), tmp_path / "shapes.bundle", "--no-verify")
    found = as_json(bundle)
    networks = [function for function in found["functions"] if function["precision"] == "float16"]
    assert {function["name"].partition(".")[0] for function in networks} == {"structure", "texture"}
    # Trained with weight decay: activations up to 44, six powers of two more would do.
    assert all(function["headroom"] > 6 and function["infinite"] == 0 for function in networks)
    # Each result is rounded by up to 2^-11 = 0.05 %; measured are 0.2 %.
    assert all(function["error"] < 0.01 for function in networks)
    assert as_json(bundle, "--keep-float32", "")["passed"] is True
