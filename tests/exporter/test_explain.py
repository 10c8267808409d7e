"""`coopdraw explain`: a node's Cell, passes, neighbours, cost and weights, and names that mean nothing or too much."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from exporter.loop_bundles import FUSION, MISS, write_loop
from exporter.shapes import compiled, write_recipe

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.reporting.explanation import Explainer
from coopdraw.exporter.reporting.node_search import FoundCell, FoundValue, find
from coopdraw.exporter.reporting.origins import measure_origins
from coopdraw.exporter.reporting.page import render_report
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.types import DType, TensorType
from coopdraw.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_loop(tmp_path_factory.mktemp("explain") / "loop.bundle")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)], prog_name="coopdraw")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def explained(path: Path, node: str) -> dict[str, Any]:
    result = run(path, node, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


# One node


def test_a_node_with_all_that_is_known(bundle: Path) -> None:
    found = explained(bundle, "unet:%softmax")
    assert (found["function"], found["name"], found["operator"]) == ("unet", "softmax", "softmax")
    assert found["attributes"] == {"axis": 1}
    assert found["outputs"] == [{"name": "softmax", "type": "float32[2, 4]", "bytes": 32}]
    assert found["cell"] == "blocks.0.attn"
    assert found["passes"] == []
    assert [(value["name"], value["operator"], value["cell"]) for value in found["inputs"]] == [
        ("linear", "linear", "proj")
    ]
    assert [(value["name"], value["operator"], value["cell"]) for value in found["users"]] == [
        ("neg", "neg", "blocks.01")
    ]
    assert found["returned_as"] == []
    assert found["weights"] == []


def test_passes_with_what_they_reported(bundle: Path) -> None:
    (report,) = explained(bundle, "unet:%constant")["passes"]
    # One node was folded: neg is gone and the constant that it read.
    assert report["name"] == "constant-folding"
    assert (report["runs"], report["rewrites"], report["misses"]) == (1, 1, 0)
    assert report["notes"]["nodes_removed"] == 1
    assert "constant-folding: 1 rewrites" in run(bundle, "unet:%constant").stdout


def test_why_a_node_was_not_fused(bundle: Path) -> None:
    (miss,) = explained(bundle, "unet:%softmax")["misses"]
    assert miss == {"by": "attention-fusion", "node": MISS["node"], "reason": MISS["reason"]}
    assert explained(bundle, "unet:%mul")["misses"] == []
    assert explained(bundle, "unet:%linear")["misses"] == []
    assert MISS["reason"] in run(bundle, "unet:%softmax").stdout


def test_costs_count_every_call(bundle: Path) -> None:
    cost = explained(bundle, "unet:%mul")["cost"]
    # 8 elements; it reads two tensors of 32 bytes and writes one; the loop has three steps.
    assert (cost["flops"], cost["bytes_moved"], cost["calls"]) == (8, 96, 3)
    assert (cost["loop_flops"], cost["loop_bytes_moved"]) == (24, 288)
    whole = measure(read_mindir(bundle / "sampling.mindir"))
    assert cost["flops_share"] == 24 / whole.flops
    assert cost["bytes_share"] == 288 / whole.bytes_moved


def test_costs_of_all_nodes_add_up_to_the_loop(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    explainer = Explainer(module)
    costs = [
        explainer.explain(FoundValue(graph, node.outputs[0])).cost
        for graph in module.graphs()
        for node in graph.nodes
        if node.operator != "call"
    ]
    assert sum(cost.loop_flops for cost in costs) == measure(module).flops
    assert sum(cost.loop_bytes_moved for cost in costs) == measure(module).bytes_moved
    # Shares are quotients of whole numbers: a few roundings.
    assert sum(cost.flops_share for cost in costs) == pytest.approx(1.0, abs=1e-12)


def test_weights_of_a_node_and_of_a_call(bundle: Path) -> None:
    weights = [
        {"name": "unet.proj.weight", "type": "float32[4, 4]", "bytes": 64},
        {"name": "unet.proj.bias", "type": "float32[4]", "bytes": 16},
    ]
    assert explained(bundle, "unet:%linear")["weights"] == weights
    module = read_mindir(bundle / "sampling.mindir")
    call = next(node for node in module.entry.nodes if node.operator == "call")
    assert explained(bundle, f"sampling:%{call.output.name}")["weights"] == weights
    assert "2 weights, 80 B" in run(bundle, "unet:%linear").stdout


def test_weights_are_seen_through_views() -> None:
    builder = GraphBuilder("main")
    weight = builder.weight("w", TensorType(DType.FLOAT32, (2, 3)))
    turned = builder.add("transpose", weight, permutation=(1, 0))
    x = builder.input("x", TensorType(DType.FLOAT32, (4, 3)))
    product = builder.add("matmul", x, turned, transpose_a=False, transpose_b=False)
    graph = builder.build([builder.add("neg", product)], ["y"])
    module = Module(graph, {}, {"w": loop_weight((2, 3))})
    explainer = Explainer(module)
    assert [weight.name for weight in explainer.explain(FoundValue(graph, product)).weights] == ["w"]
    assert explainer.explain(FoundValue(graph, graph.outputs[0])).weights == ()


def loop_weight(shape: tuple[int, ...]) -> Any:
    from coopdraw.graphs.weights import ArrayWeight

    return ArrayWeight(np.zeros(shape, np.float32))


def test_an_input_and_what_is_returned(bundle: Path) -> None:
    noise = explained(bundle, "sampling:%noise")
    assert (noise["operator"], noise["inputs"], noise["cost"]["flops"]) == ("input", [], 0)
    assert [user["operator"] for user in noise["users"]] == ["call"]
    last = read_mindir(bundle / "sampling.mindir").entry.outputs[0]
    assert explained(bundle, f"sampling:%{last.name}")["returned_as"] == ["image"]
    assert "as image" in run(bundle, f"sampling:%{last.name}").stdout


# Cells


def test_a_cell_lists_its_nodes_and_those_inside(bundle: Path) -> None:
    found = explained(bundle, "unet:blocks.0")
    assert [(node["name"], node["cell"]) for node in found["nodes"]] == [
        ("softmax", "blocks.0.attn"),
        ("constant", "blocks.0"),
        ("mul", "blocks.0"),
    ]
    assert [node["passes"] for node in found["nodes"]] == [[], ["constant-folding"], []]
    assert [miss["node"] for miss in found["misses"]] == [MISS["node"]]
    assert found["cost"]["loop_flops"] == sum(node["cost"]["loop_flops"] for node in found["nodes"])
    shown = run(bundle, "unet:blocks.0").stdout
    assert "unet:@blocks.0\n" in shown
    assert "blocks.01" not in shown
    assert MISS["reason"] in shown


def test_a_cell_that_only_has_cells(bundle: Path) -> None:
    assert len(explained(bundle, "blocks")["nodes"]) == 4
    assert explained(bundle, "@proj")["cell"] == "proj"


# Names


def test_the_function_may_be_left_out(bundle: Path) -> None:
    assert explained(bundle, "%softmax") == explained(bundle, "softmax") == explained(bundle, "unet:softmax")


def test_a_name_of_several_functions_lists_them(bundle: Path) -> None:
    shown = refused(bundle, "%mul")
    assert "sampling:%mul" in shown
    assert "unet:%mul" in shown
    assert explained(bundle, "sampling:%mul")["function"] == "sampling"


def test_a_name_that_is_a_value_and_a_cell(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    builder.source = "neg"
    graph = builder.build([builder.add("neg", builder.input("x", TensorType(DType.FLOAT32, (2,))))])
    module = Module(graph)
    with pytest.raises(GraphError, match="neg can be main:%neg, main:@neg; name one of them"):
        find(module, "neg")
    assert isinstance(find(module, "%neg"), FoundValue)
    assert isinstance(find(module, "main:@neg"), FoundCell)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sofmax", "did you mean %softmax"),
        ("unet:%sofmax", "did you mean %softmax"),
        ("unet:block.0", "did you mean"),
        ("unit:%softmax", "there is no function unit; choose one such as unet"),
        ("unet", "unet is a function"),
        ("unet:", "unet: is a function"),
        ("qqqqqqq", "`coopdraw inspect` prints the names"),
        ("%", "there is no value or Cell %"),
        ("@softmax", "there is no value or Cell @softmax"),
        ("%proj", "there is no value or Cell %proj"),
    ],
)
def test_names_that_mean_nothing(bundle: Path, name: str, message: str) -> None:
    assert message in refused(bundle, name)


def test_every_printed_name_is_found(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    for graph in module.graphs():
        for value in graph.values:
            found = find(module, f"{graph.name}:%{value.name}")
            assert isinstance(found, FoundValue)
            assert found.value is value


# Files


def test_a_bare_file_has_no_reports(bundle: Path) -> None:
    found = explained(bundle / "sampling.mindir", "unet:%constant")
    assert found["passes"] == [
        {"name": "constant-folding", "runs": None, "rewrites": None, "notes": {}, "misses": None}
    ]
    assert explained(bundle / "sampling.mindir", "unet:%softmax")["misses"] == []


def test_reports_of_another_form_are_passed_over(tmp_path: Path) -> None:
    reports = (
        {"name": "constant-folding"},
        {"name": "odd", "misses": "many"},
        {"name": "odder", "misses": [3, {"graph": "unet", "node": 4, "reason": None}], "notes": [1]},
        FUSION,
    )
    path = write_loop(tmp_path / "odd.bundle", passes=reports)
    (report,) = explained(path, "unet:%constant")["passes"]
    assert (report["runs"], report["rewrites"], report["notes"]) == (0, 0, {})
    assert len(explained(path, "unet:%softmax")["misses"]) == 1


def test_what_is_no_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "gone", "%x")
    assert "manifest.json" in refused(tmp_path, "%x")
    (tmp_path / "bad.mindir").write_bytes(b"no protobuf")
    refused(tmp_path / "bad.mindir", "%x")
    broken = write_loop(tmp_path / "broken.bundle")
    (broken / "manifest.json").write_text("{")
    assert "not valid JSON" in refused(broken, "%softmax")
    assert CliRunner().invoke(app, ["explain", str(bundle)]).exit_code == 2


def test_mindspore_is_not_imported(bundle: Path) -> None:
    script = (
        "import sys; from coopdraw.exporter.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(*(name for name in ('mindspore', 'rich', 'jinja2') if name in sys.modules), file=sys.stderr)"
    )
    for arguments in (["explain", str(bundle), "unet:%softmax"], ["diff", str(bundle), str(bundle)]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done.stderr == "\n"


# The report


def test_origins_of_functions(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    entry, unet = measure_origins(module)
    assert (entry.name, entry.fused, entry.passes) == ("sampling", {}, {})
    assert (unet.name, unet.fused, unet.passes) == ("unet", {}, {"constant-folding": 1})
    assert "constant-folding 1" in render_report(Bundle.open(bundle), module)


# The demo


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    recipe = write_recipe(folder, lambda text: text.replace("steps = 20", "steps = 5"))
    return compiled(recipe, folder / "shapes.bundle", "--no-verify")


def test_the_demo_knows_where_its_nodes_came_from(shapes: Path) -> None:
    opened = Bundle.open(shapes, check=False)
    module = read_mindir(opened.graph_path)
    reported = {str(report["name"]) for report in opened.manifest.passes if report["rewrites"]}
    nodes = [node for graph in module.graphs() for node in graph.nodes]
    names = {name for node in nodes for name in node.passes}
    assert names <= reported | {"decomposition"}
    assert {"attention-fusion", "group-norm-fusion", "fold-constant-arguments"} <= names
    attention = next(node for node in nodes if "attention-fusion" in node.passes)
    found = explained(shapes, f"structure.unet:{attention.source}")
    assert any("attention-fusion" in node["passes"] for node in found["nodes"])


def test_every_node_of_the_demo_can_be_explained(shapes: Path) -> None:
    opened = Bundle.open(shapes, check=False)
    module = read_mindir(opened.graph_path)
    explainer = Explainer(module, opened.manifest.passes)
    found = [explainer.explain(FoundValue(graph, node.outputs[0])) for graph in module.graphs() for node in graph.nodes]
    loop = sum(item.cost.loop_flops for item in found if item.operator != "call")
    assert loop == measure(module).flops
    unet = next(item for item in found if item.attributes.get("function") == "structure.unet")
    own = set(module.functions["structure.unet"].weight_names())
    assert own <= {weight.name for weight in unet.weights}
