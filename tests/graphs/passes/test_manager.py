"""The manager: who is blamed, what is reported, what is dumped."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError, GraphError, PassError
from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.passes.base import Pass, PassResult
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.passes.manager import FixedPoint, PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.text import format_module, parse_module
from coopdraw.graphs.types import DType, TensorType


@dataclass(frozen=True)
class ReverseNodes(Pass):
    """Leaves nodes in an order that isn't topological."""

    name = "reverse-nodes"

    def run(self, module: Module) -> PassResult:
        entry = module.entry.with_nodes(reversed(module.entry.nodes))
        return PassResult(module.with_graph(entry), True, 1)


@dataclass(frozen=True)
class Failing(Pass):
    """Raises what a bug raises."""

    name = "failing"

    def run(self, module: Module) -> PassResult:
        raise KeyError("x")


@dataclass(frozen=True)
class Restless(Pass):
    """Negates the first output once more at every run."""

    name = "restless"

    def run(self, module: Module) -> PassResult:
        old = module.entry.outputs[0]
        new = replace(old, name=f"{old.name}_")
        entry = module.entry.with_nodes([*module.entry.nodes, Node("neg", (old,), (new,))], [new])
        return PassResult(module.with_graph(entry), True, 1)


@dataclass(frozen=True)
class Dishonest(Pass):
    """Says that it changed nothing."""

    name = "dishonest"

    def run(self, module: Module) -> PassResult:
        return replace(Restless().run(module), modified=False)


def small_module() -> Module:
    """neg(x + (1 + 1)) with a node that does nothing at the end."""
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2,)))
    builder.source = "block.0"
    one = builder.constant(np.array(1.0, np.float32))
    y = builder.add("neg", builder.add("add", x, builder.add("add", one, one)))
    return Module(builder.build([builder.add("identity", y)], ["y"]))


def test_pass_that_breaks_the_graph_is_named_with_node_cell_and_predecessors() -> None:
    manager = PassManager([ConstantFolding(), IdentityRemoval(), ReverseNodes(), DeadCode()])
    with pytest.raises(PassError) as error:
        manager.run(small_module())
    message = str(error.value)
    assert "pass reverse-nodes left an invalid module: graph main, %neg (neg, Cell block.0)" in message
    assert "passes that ran before it: constant-folding, identity-removal;" in message


def test_pass_that_raises_is_named() -> None:
    with pytest.raises(PassError, match="pass failing failed: 'x'; passes that ran before it: none"):
        PassManager([Failing()]).run(small_module())


def test_pass_that_hides_a_change_is_stopped() -> None:
    with pytest.raises(PassError, match="pass dishonest must hand back the very module it got"):
        PassManager([Dishonest()]).run(small_module())


def test_invalid_input_is_not_blamed_on_a_pass() -> None:
    module = ReverseNodes().run(small_module()).module
    with pytest.raises(GraphError, match="isn't defined before it"):
        PassManager([DeadCode()]).run(module)


def test_verification_can_be_left_out() -> None:
    _, records = PassManager([ReverseNodes()], verify=False).run(small_module())
    assert records[0].rewrites == 1


def test_passes_that_never_settle_are_stopped() -> None:
    with pytest.raises(PassError, match="after 3 rounds restless still find something to change"):
        PassManager([FixedPoint((DeadCode(), Restless()), limit=3)]).run(small_module())


def test_fixed_point_gives_one_record_per_pass() -> None:
    module, records = PassManager([FixedPoint((IdentityRemoval(), ConstantFolding()))]).run(small_module())
    assert [(record.name, record.runs, record.rewrites) for record in records] == [
        ("identity-removal", 2, 1),
        ("constant-folding", 2, 1),
    ]
    assert records[1].notes == {"nodes_removed": 1, "flops_saved": 1, "bytes_saved": 12}
    assert len(module.entry.nodes) == 3


def test_manifest_is_json_without_times_and_repeats() -> None:
    reports = []
    for _ in range(2):
        _, records = PassManager(basic_passes()).run(small_module())
        assert all(record.seconds >= 0 for record in records)
        reports.append(json.dumps([record.as_manifest() for record in records]))
    assert reports[0] == reports[1]
    assert "seconds" not in reports[0]
    assert json.loads(reports[0])[1]["options"] == {"limit_bytes": 1 << 20}


def test_dump_has_the_input_and_every_change(tmp_path: Path) -> None:
    folder = tmp_path / "dumps" / "ir"
    module = small_module()
    result, _ = PassManager([ConstantFolding(), DeadCode(), IdentityRemoval()], dump_folder=folder).run(module)
    names = ["00-input.txt", "01-constant-folding.txt", "03-identity-removal.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert format_module(parse_module((folder / names[0]).read_text())) == format_module(module)
    assert (folder / names[2]).read_text() == format_module(result)


def test_dump_shows_the_graph_that_a_pass_broke(tmp_path: Path) -> None:
    with pytest.raises(PassError):
        PassManager([ReverseNodes()], dump_folder=tmp_path).run(small_module())
    assert (tmp_path / "01-reverse-nodes.txt").exists()


def test_dump_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CoopdrawError, match=r"cannot write to .*; choose another folder"):
        PassManager([], dump_folder=tmp_path / "file").run(small_module())


def test_progress_hears_of_every_run() -> None:
    heard: list[str] = []
    PassManager([FixedPoint((DeadCode(), IdentityRemoval()))], progress=heard.append).run(small_module())
    assert heard == ["dead-code", "identity-removal"] * 2
