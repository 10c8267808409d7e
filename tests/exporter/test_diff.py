"""`coopdraw diff`: only what differs, an exit code that says whether anything does, and both read without MindSpore."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from exporter.loop_bundles import FUSION, Loop, write_loop
from exporter.shapes import compiled, write_recipe

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.reporting.changes import changes, flat
from coopdraw.exporter.reporting.function_diff import function_diff
from coopdraw.exporter.reporting.step_changes import changed_steps
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.text import format_graph
from coopdraw.graphs.types import DType, TensorType
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Model, Step

UNET = Model("unet", {"channels": [4]})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_loop(tmp_path_factory.mktemp("diff") / "loop.bundle")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["diff", *map(str, arguments)], prog_name="coopdraw")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def difference(before: Path, after: Path) -> dict[str, Any]:
    """The JSON of two bundles that differ; the text must name the same parts."""
    result, text = run(before, after, "--json"), run(before, after)
    assert result.exit_code == text.exit_code == 1, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found.pop("equal") is False
    headings = [line for line in text.stdout.splitlines() if not line.startswith(" ")]
    assert headings == [name.replace("_", " ") for name in found]
    return found


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


# Equal bundles


def test_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(bundle, tmp_path / "elsewhere")
    again = write_loop(tmp_path / "again.bundle")
    for other in (bundle, elsewhere, again):
        result = run(bundle, other)
        assert (result.exit_code, result.stdout) == (0, "no difference\n")
        as_json = run(bundle, other, "--json")
        assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, {"equal": True})
        assert run(bundle, other, "--function", "unet").exit_code == 0


def test_graphs_are_read_only_if_they_differ(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("coopdraw.graphs.mindir.reader.read_mindir", fail)
    assert run(bundle, bundle).exit_code == 0


# What differs


def test_other_steps(bundle: Path, tmp_path: Path) -> None:
    other = write_loop(tmp_path / "steps.bundle", Loop(steps=2))
    found = difference(bundle, other)
    assert set(found) == {"steps", "functions", "cost", "passes", "recipe", "files"}
    assert found["steps"] == {
        "before": 3,
        "after": 2,
        "ranges": [
            {"first": 1, "last": 1, "before": {"sigma_next": [8.0, 8.0]}, "after": {"sigma_next": [0.0, 0.0]}},
            {
                "first": 2,
                "last": 2,
                "before": {
                    "t": [799, 799],
                    "sigma": [8.0, 8.0],
                    "sigma_next": [0.0, 0.0],
                    "model": ["unet"],
                    "partners": [],
                    "transfers": [],
                    "adapters": [],
                    "branches": ["text"],
                },
                "after": {},
            },
        ],
    }
    assert set(found["functions"]["changed"]) == {"sampling"}
    assert found["functions"]["changed"]["sampling"]["operators"]["call"] == [3, 2]
    assert found["recipe"]["changed"] == {"pipeline.steps": [3, 2]}
    costs = [measure(read_mindir(path / "sampling.mindir")) for path in (bundle, other)]
    assert found["cost"]["changed"]["flops"] == [cost.flops for cost in costs]
    assert found["cost"]["changed"]["bytes_moved"] == [cost.bytes_moved for cost in costs]
    shown = run(bundle, other).stdout
    assert "~ number: 3 -> 2" in shown
    assert "- step 2: t 799, sigma 8, sigma_next 0, model unet" in shown
    assert "~ step 1: sigma_next 8 -> 0" in shown


def test_the_other_way_round(bundle: Path, tmp_path: Path) -> None:
    """What was removed is added, and pairs are swapped."""
    other = write_loop(tmp_path / "steps.bundle", Loop(steps=2, bias=2.0))
    there, back = difference(bundle, other), difference(other, bundle)
    assert set(there) == set(back)
    for name in ("recipe", "cost", "files"):
        assert there[name]["changed"] == {key: pair[::-1] for key, pair in back[name]["changed"].items()}
        assert (there[name]["added"], there[name]["removed"]) == (back[name]["removed"], back[name]["added"])
    assert there["steps"]["ranges"][1]["before"] == back["steps"]["ranges"][1]["after"]


def test_other_guidance(bundle: Path, tmp_path: Path) -> None:
    other = write_loop(tmp_path / "guidance.bundle", Loop(guidance=3.0))
    found = difference(bundle, other)
    assert set(found) == {"functions", "recipe", "files"}
    nodes = len(read_mindir(bundle / "sampling.mindir").entry.nodes)
    assert found["functions"]["changed"] == {"sampling": {"nodes": [nodes, nodes], "operators": {}}}
    assert found["recipe"]["changed"] == {"pipeline.guidance.text": [5.0, 3.0]}
    assert "the same operators, used in another way" in run(bundle, other).stdout
    shown = run(bundle, other, "--function", "sampling")
    assert shown.exit_code == 1
    changed = [line[0] for line in shown.stdout.splitlines()[2:] if line[0] in "+-"]
    assert Counter(changed) == {"-": 3, "+": 3}
    assert run(bundle, other, "--function", "unet").stdout == "no difference\n"


def test_one_weight(bundle: Path, tmp_path: Path) -> None:
    other = write_loop(tmp_path / "weight.bundle", Loop(bias=2.0))
    found = difference(bundle, other)
    assert set(found) == {"weights", "files"}
    assert found["weights"]["changed"] == {"names": ["unet.proj.bias"], "bytes": [16, 16]}
    assert found["weights"]["added"]["names"] == found["weights"]["removed"]["names"] == []
    assert list(found["files"]["changed"]) == ["sampling_variables/data_0"]
    assert "~ 1 weights, 16 B: unet.proj.bias" in run(bundle, other).stdout


def test_another_operator(bundle: Path, tmp_path: Path) -> None:
    other = write_loop(tmp_path / "silu.bundle", Loop(activation="silu"))
    (change,) = difference(bundle, other)["functions"]["changed"].values()
    assert change["operators"] == {"silu": [0, 1], "softmax": [1, 0]}
    diff = json.loads(run(bundle, other, "--function", "unet", "--json").stdout)
    assert (diff["equal"], diff["function"]) == (False, "unet")
    removed = [line for line in diff["diff"] if line.startswith("-")]
    assert any("= softmax(" in line for line in removed)
    # neg reads another node now, mul reads neg as before.
    assert not any("= mul(" in line for line in removed)


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("name", "other", {"changed": {"name": ["loop", "other"]}}),
        ("models", {"unet": Model("unet", {"channels": [8]})}, {"changed": {"unet.config.channels": [[4], [8]]}}),
        ("models", {"a.b": Model("vae", {}), "unet": UNET}, {"added": {'"a.b".kind': "vae"}}),
        ("passes", (FUSION,), {"removed": {"constant-folding": "1 rewrites"}}),
        ("tools", {"coopdraw": "0.2.0"}, {"changed": {"coopdraw": ["0.1.0", "0.2.0"]}}),
        ("recipe", {}, {"removed": {"pipeline.steps": 3, "pipeline.guidance.text": 5.0}}),
        ("verification", {"passed": False, "checks": []}, {"changed": {"passed": [True, False]}}),
    ],
    ids=["name", "config", "model", "pass", "tools", "recipe", "verification"],
)
def test_members_of_the_manifest(
    bundle: Path, tmp_path: Path, member: str, value: object, expected: dict[str, Any]
) -> None:
    other = write_loop(tmp_path / "other.bundle", **{member: value})
    (found,) = difference(bundle, other).values()
    for part, values in expected.items():
        assert values.items() <= found[part].items()


def test_figures_of_the_verification(tmp_path: Path) -> None:
    def verification(figure: float | None, error: float) -> dict[str, Any]:
        check = {"what": "image", "unit": "PSNR in dB", "figure": figure, "at_least": 60.0}
        budget = {"step": 0, "transfer": "b", "sigma": 1.0, "round_trip": 0.1, "epsilon_error": error}
        return {"passed": True, "checks": [check], "error_budget": [budget], "reference": "host loop"}

    first = write_loop(tmp_path / "a", verification=verification(130.0, 0.1))
    second = write_loop(tmp_path / "b", verification=verification(121.5, 0.2))
    assert difference(first, second)["verification"]["changed"] == {
        "image, PSNR in dB": [130.0, 121.5],
        "error budget, worst error": [0.1, 0.2],
    }
    assert difference(first, write_loop(tmp_path / "c", verification={}))["verification"]["removed"]["passed"] is True


def test_passes_and_their_notes(bundle: Path, tmp_path: Path) -> None:
    busier = {**FUSION, "rewrites": 2, "notes": {"nodes_removed": 4}, "misses": []}
    other = write_loop(tmp_path / "busier", passes=(*Bundle.open(bundle).manifest.passes[:1], busier, busier))
    found = difference(bundle, other)["passes"]
    assert found["added"] == {
        "attention-fusion (2)": "2 rewrites",
        "attention-fusion.notes.nodes_removed": 4,
    }
    assert found["changed"] == {"attention-fusion.rewrites": [0, 2]}
    assert [name.partition(":")[0] for name in found["removed"]] == ["attention-fusion.misses.unet"]
    reports = Bundle.open(bundle).manifest.passes
    order = difference(bundle, write_loop(tmp_path / "order", passes=reports[::-1]))["passes"]
    assert order["changed"] == {"order": [[r["name"] for r in reports], [r["name"] for r in reports[::-1]]]}


def test_what_no_part_shows_is_still_a_difference(bundle: Path, tmp_path: Path) -> None:
    """A manifest whose functions don't fit its graph."""
    manifest = Bundle.open(bundle).manifest
    functions = tuple(replace(function, sha256="0" * 64) for function in manifest.functions)
    found = difference(bundle, write_loop(tmp_path / "odd.bundle", functions=functions))
    assert list(found) == ["other"]
    assert list(found["other"]["changed"]) == ["functions[0].sha256"]


def test_long_parts_are_cut_in_the_text_only(bundle: Path, tmp_path: Path) -> None:
    tools = {f"tool{index}": "1" * 300 for index in range(50)}
    other = write_loop(tmp_path / "tools.bundle", tools=tools)
    shown = run(bundle, other).stdout.splitlines()
    assert shown[-1] == "  and 31 more; --json lists all"
    assert len(shown) == 22
    assert max(map(len, shown)) < 120
    assert difference(bundle, other)["tools"]["added"] == tools


# Plans


def plan(*models: str) -> list[Step]:
    return [Step(index, 999 - index, 9.0 - index, 8.0 - index, model) for index, model in enumerate(models)]


def test_ranges_of_steps() -> None:
    before, after = plan("a", "a", "b", "b", "b"), plan("a", "b", "b", "b", "b")
    after[3] = replace(after[3], partners=("p",), t=5)
    after[4] = replace(after[4], partners=("p", "q"), t=4)
    first, second = changed_steps(before, after)
    assert (first.first, first.last, first.before, first.after) == (1, 1, {"model": ("a",)}, {"model": ("b",)})
    assert (second.first, second.last) == (3, 4)
    assert second.before == {"t": (996, 995), "partners": ()}
    assert second.after == {"t": (5, 4), "partners": ("p", "q")}
    assert changed_steps(before, before) == ()


# Trees


def test_trees_are_flat_and_keep_what_is_empty() -> None:
    tree = {"a": {"b": 1, "c": {}, "d": []}, "e": [{"f": 2}, {"f": 3}], "g.h": {"i": None}, "j": [1, 2]}
    assert flat(tree) == {
        "a.b": 1,
        "a.c": {},
        "a.d": [],
        "e[0].f": 2,
        "e[1].f": 3,
        '"g.h".i': None,
        "j": [1, 2],
    }
    assert flat({}) == {}


def test_numbers_of_other_types_differ() -> None:
    found = changes({"a": 1, "b": 1, "c": 1}, {"a": 1.0, "b": True, "c": 1})
    assert sorted(found.changed) == ["a", "b"]


# Functions


def function(*operators: str) -> Graph:
    builder = GraphBuilder("unet")
    value = builder.input("x", TensorType(DType.FLOAT32, (2,)))
    for index, operator in enumerate(operators):
        builder.source = f"block.{index}"
        value = builder.add(operator, value)
    return builder.build([value], ["y"])


def sides(lines: list[str]) -> tuple[list[str], list[str]]:
    """What a diff says of both sides."""
    body = [line for line in lines if not line.startswith("@@")]
    return tuple([line[1:] for line in body if line[0] in " " + mark] for mark in "-+")  # type: ignore[return-value]


def test_a_node_more_is_one_line() -> None:
    """All values after it have other names."""
    before = function("neg", "neg", "exp", "neg", "neg", "neg")
    builder = GraphBuilder("unet")
    value = builder.input("x", TensorType(DType.FLOAT32, (2,)))
    for source, operator in (("new", "neg"), *((node.source, node.operator) for node in before.nodes)):
        builder.source = source
        value = builder.add(operator, value)
    after = builder.build([value], ["y"])
    lines = function_diff(before, after)
    # The next node reads another value.
    assert [line[:6] for line in lines if line[0] in "+-"] == ["-  %ne", "+  %ne", "+  %ne"]


def test_unified_diffs_have_the_lines_that_diff_has(tmp_path: Path) -> None:
    """`patch` makes the second text of the first where names agree."""
    before, after = function("neg", "exp", "sin", "cos", "abs", "relu"), function("neg", "exp", "sin", "tanh", "relu")
    for name, graph in (("before", before), ("after", after)):
        (tmp_path / name).write_text(format_graph(graph))
    lines = function_diff(before, after)
    old, new = sides(lines)
    text = format_graph(before).splitlines()
    assert old == text[text.index(old[0]) : text.index(old[-1]) + 1]
    assert all(line in format_graph(after).splitlines() or line in text for line in new)
    known = subprocess.run(
        ["diff", "-u", tmp_path / "before", tmp_path / "after"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    hunks = [line for line in known if line.startswith("@@")]
    assert [line for line in lines if line.startswith("@@")] == hunks


def test_equal_and_missing_functions() -> None:
    graph = function("neg", "exp")
    assert function_diff(graph, function("neg", "exp")) == []
    whole = format_graph(graph).splitlines()
    assert function_diff(None, graph) == [f"@@ -0,0 +1,{len(whole)} @@", *(f"+{line}" for line in whole)]
    assert function_diff(graph, None) == [f"@@ -1,{len(whole)} +0,0 @@", *(f"-{line}" for line in whole)]


def test_constants_are_compared_by_all_their_elements() -> None:
    def constant(last: float) -> Graph:
        builder = GraphBuilder("main")
        array = np.zeros(100, np.float32)
        array[-1] = last
        return builder.build([builder.constant(array)], ["y"])

    assert function_diff(constant(0.0), constant(1.0))
    assert not function_diff(constant(1.0), constant(1.0))


# Misuse


def test_what_is_no_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "not a folder" in refused(bundle, tmp_path / "gone")
    assert "manifest.json" in refused(tmp_path, bundle)
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / "manifest.json").write_text("{")
    assert "not valid JSON" in refused(bundle, broken)
    graphless = write_loop(tmp_path / "graphless", Loop(steps=2))
    (graphless / "sampling.mindir").write_bytes(b"no protobuf")
    assert "is not a MindIR file" in refused(bundle, graphless)
    assert CliRunner().invoke(app, ["diff", str(bundle)]).exit_code == 2


def test_functions_that_nobody_has(bundle: Path) -> None:
    assert "neither bundle has a function unit; choose one such as unet" in refused(
        bundle, bundle, "--function", "unit"
    )


# The demo


@pytest.mark.slow
def test_the_demo_with_other_steps_guidance_and_one_weight(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    def quick(text: str) -> str:
        return text.replace("steps = 20", "steps = 8")

    def changed(text: str) -> str:
        return text.replace("steps = 20", "steps = 7").replace("text = 5.0", "text = 3.0")

    base = compiled(write_recipe(tmp_path / "base", quick), tmp_path / "base.bundle", "--no-verify")
    again = compiled(write_recipe(tmp_path / "again", quick), tmp_path / "again.bundle", "--no-verify")
    assert run(base, again).stdout == "no difference\n"

    other = compiled(write_recipe(tmp_path / "other", changed), tmp_path / "other.bundle", "--no-verify")
    found = difference(base, other)
    assert {"steps", "functions", "cost", "recipe"} <= set(found)
    assert found["recipe"]["changed"]["pipeline.steps"] == [8, 7]
    assert found["recipe"]["changed"]["pipeline.guidance.text"] == [5.0, 3.0]
    assert "weights" not in found
    assert run(base, other, "--function", "vae.decode").exit_code == 0

    recipe = write_recipe(tmp_path / "weight", quick)
    weights = shutil.copytree((recipe.parent / "weights").resolve(), tmp_path / "copied")
    (recipe.parent / "weights").unlink()
    weights.rename(recipe.parent / "weights")
    path = recipe.parent / "weights" / "structure_unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"] * np.float32(2)
    path.unlink()
    save_file(tensors, path)
    found = difference(base, compiled(recipe, tmp_path / "weight.bundle", "--no-verify"))
    assert set(found) == {"weights", "files"}
    assert len(found["weights"]["changed"]["names"]) == 1
