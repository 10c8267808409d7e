"""The plan of a Lite program, its models and files, without Lite: parts run by the interpreter give the whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from graphs.mindir.lite.image_cases import CASES as IMAGE_CASES
from graphs.mindir.lite.plan_interpreter import run_by_parts
from graphs.mindir.operator_cases import module_cases, normal
from graphs.passes.fusions.random_blocks import blocks
from hypothesis import given, settings

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.lite.legalisation import legalise
from coopdraw.graphs.mindir.lite.partition import partition
from coopdraw.graphs.mindir.lite.writer import write_lite
from coopdraw.graphs.mindir.reader import parse_model
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight

# Sums of float32 in another order, of values around 1.
TOLERANCE = 2e-5
LATENT = TensorType(DType.FLOAT32, (1, 4, 8, 8))


def loop(steps: int) -> Module:
    """A network that is called in every step, with arithmetic between its calls that differs in constants alone."""
    network = GraphBuilder("net")
    x = network.input("x", LATENT)
    settings = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    y = network.add("conv2d", x, network.weight("w", TensorType(DType.FLOAT32, (4, 4, 3, 3))), **settings)
    function = network.build([network.add("tanh", y)], ["epsilon"])
    main = GraphBuilder("main")
    latent = main.input("noise", LATENT)
    for step in range(steps):
        (epsilon,) = main.call(function, main.add("mul", latent, main.constant(np.float32(1.0 / (step + 2)))))
        latent = main.add("linear_combination", latent, epsilon, weights=(1.0, -0.1 * (step + 1)))
    entry = main.build([latent, latent], ["latent", "again"])
    return Module(entry, {"net": function}, {"w": ArrayWeight(normal(4, 4, 3, 3))})


def assert_parts_are_the_whole(module: Module, feeds: dict[str, np.ndarray]) -> None:
    wanted, found = interpreter.run(module, feeds), run_by_parts(module, feeds)
    assert list(found) == list(wanted)
    for name, exact in wanted.items():
        np.testing.assert_allclose(found[name], exact, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def random_feeds(module: Module) -> dict[str, np.ndarray]:
    return {
        value.name: np.zeros(value.type.shape, np.int32)
        if value.type.dtype is DType.INT32
        else normal(*value.type.shape)
        for value in module.entry.inputs
    }


@pytest.mark.parametrize("name", list(IMAGE_CASES))
def test_parts_of_images(name: str) -> None:
    assert_parts_are_the_whole(IMAGE_CASES[name], random_feeds(IMAGE_CASES[name]))


def test_parts_of_calls() -> None:
    assert_parts_are_the_whole(*module_cases()["calls"])


@given(module=blocks())
@settings(max_examples=60)
def test_parts_of_random_blocks(module: Module) -> None:
    assert_parts_are_the_whole(module, random_feeds(module))


def test_steps_share_models_and_differ_in_constants() -> None:
    for steps in (3, 9):
        parts = partition(legalise(loop(steps)))
        # The network, the first factor, sum and factor in between, and the last sum.
        assert len(parts.models) == 4
        assert len(parts.runs) == 2 * steps + 1
        assert [run.model for run in parts.runs].count("net") == steps
    assert_parts_are_the_whole(loop(3), {"noise": normal(*LATENT.shape)})


def test_the_plan_defines_each_value_once_and_before_it_is_read(tmp_path: Path) -> None:
    for name, module in {"calls": module_cases()["calls"][0], "loop": loop(4)}.items():
        write_lite(module, tmp_path / f"{name}.json")
        plan = json.loads((tmp_path / f"{name}.json").read_text())
        defined = [value for _, value in plan["inputs"]] + [value for value, _, _ in plan["constants"]]
        for model, inputs, outputs in plan["steps"]:
            assert set(inputs) <= set(defined)
            assert (tmp_path / plan["models"][model]).is_file()
            defined += outputs
        assert sorted(defined) == list(range(len(plan["values"])))
        assert {value for _, value in plan["outputs"]} <= set(defined)
        assert [name for name, _ in plan["outputs"]] == list(module.entry.output_names)
        for value, file, offset in plan["constants"]:
            dtype, shape = plan["values"][value]
            assert offset + int(np.prod(shape)) * np.dtype(dtype).itemsize <= (tmp_path / file).stat().st_size


def test_a_result_that_needs_no_model_is_no_step(tmp_path: Path) -> None:
    """Inputs handed through and stored results: the plan says which values they are."""
    module, _ = module_cases()["calls"]
    plan = write_lite(module, tmp_path / "graph.json")
    values = dict(plan.outputs)
    assert values["noise_again"] == values["and_again"] == dict(plan.inputs)["noise"]
    assert values["bias_itself"] in {constant.value for constant in plan.constants}


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    module = loop(3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_lite(module, tmp_path / name / "graph.json")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_that_a_bundle_has_are_not_stored_again(tmp_path: Path) -> None:
    module = loop(3)
    placements = write_mindir(module, tmp_path / "sampling.mindir")
    (tmp_path / "lite").mkdir()
    write_lite(module, tmp_path / "lite" / "sampling.json", placements, tmp_path)
    models = tmp_path / "lite" / "sampling_models"
    assert not (models / "variables").exists()
    (parameter,) = parse_model((models / "net.mindir").read_bytes(), "net.mindir").graph.parameter
    place = parameter.external_data
    assert (models / place.location).samefile(tmp_path / "sampling_variables" / "data_0")
    stored = np.fromfile(models / place.location, np.uint8)[place.offset : place.offset + place.length]
    assert stored.tobytes() == module.weights["w"].read().tobytes()


def test_files_stay_in_their_folder_whatever_functions_are_called(tmp_path: Path) -> None:
    functions = {}
    main = GraphBuilder("main")
    value = main.input("x", LATENT)
    for name in ("../escape", "a/b", "a_b", ".hidden", ""):
        builder = GraphBuilder(name)
        functions[name] = builder.build([builder.add("abs", builder.input("x", LATENT))], ["y"])
        (value,) = main.call(functions[name], value)
    plan = write_lite(Module(main.build([value], ["y"]), functions), tmp_path / "graph.json")
    assert len(set(plan.models)) == len(functions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.json", "graph_models"]
    for file in plan.models:
        assert (tmp_path / file).parent == tmp_path / "graph_models"
        assert not Path(file).name.startswith(".")
        assert (tmp_path / file).is_file()
