"""`[expect.fusions]` is a contract: what is missed fails the build and is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter.shapes import coopdraw, write_recipe

from coopdraw.exporter.expectations import check_fusions
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.fusions.counting import FUSIONS, fusion_counts
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import full_passes, pass_names, passes
from coopdraw.graphs.types import DType, TensorType


def scores_are_read_twice() -> Module:
    """Attention whose probabilities are an output too."""
    builder = GraphBuilder("main")
    builder.source = "middle_block.1.attn1"
    q, k, v = (builder.input(name, TensorType(DType.FLOAT32, (1, 2, 4, 8))) for name in "qkv")
    scores = builder.add("matmul", q, k, transpose_a=False, transpose_b=True)
    probabilities = builder.add("softmax", scores, axis=3)
    mixed = builder.add("matmul", probabilities, v, transpose_a=False, transpose_b=False)
    return Module(builder.build([mixed, probabilities], ["mixed", "probabilities"]))


def test_a_missed_fusion_is_told_with_its_cell_and_reason() -> None:
    module, records = PassManager(full_passes()).run(scores_are_read_twice())
    with pytest.raises(CheckError) as error:
        check_fusions({"attention": 1}, module, records)
    first, miss = str(error.value).splitlines()
    assert first == "[expect.fusions] has attention = 1, but the graph has 0:"
    assert "main: %softmax (softmax, Cell middle_block.1.attn1): " in miss
    assert miss.endswith("; mend the model or lower the number in [expect.fusions]")


def test_more_than_expected_is_fine() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 3)))
    sums = builder.add("linear_combination", x, x, weights=(1.0, 2.0))
    module = Module(builder.build([sums]))
    assert fusion_counts(module) == {"linear-combination": 1}
    _, records = PassManager(full_passes()).run(module)
    check_fusions({"linear-combination": 1, "geglu": 0}, module, records)


def test_nothing_is_expected_of_passes_that_were_left_out() -> None:
    check_fusions({"attention": 1}, scores_are_read_twice(), ())
    module, records = PassManager(passes("full", ["attention-fusion"])).run(scores_are_read_twice())
    check_fusions({"attention": 1}, module, records)


def test_every_fusion_names_passes_that_there_are() -> None:
    assert {name for fusion in FUSIONS.values() for name in fusion.passes} <= set(pass_names())


def test_a_recipe_that_expects_too_much_is_not_built(tmp_path: Path) -> None:
    expected = "\n[expect.fusions]\nattention = 17\ngeglu = 9\n"
    recipe = write_recipe(tmp_path, lambda text: text + expected)
    done = coopdraw("compile", recipe, "-o", tmp_path / "x.bundle", "--no-verify")
    assert done.returncode == 1
    assert "[expect.fusions] has geglu = 9, but the graph has 8" in done.stderr
    assert "attention" not in done.stderr
    assert not (tmp_path / "x.bundle").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[expect.fusions]\nattentoin = 1\n", "key expect.fusions.attentoin is no fusion; the fusions are attention, "),
        ("[expect.fusions]\nattention = -1\n", "key expect.fusions.attention is -1"),
        (
            '[passes]\ndisabled = ["cse"]\n',
            "key passes.disabled names cse, which is no pass; the passes are dead-code",
        ),
        ('[passes]\nlevel = "all"\n', "key passes.level is 'all'; choose 'full', 'basic' or 'none'"),
    ],
)
def test_names_that_nobody_has(table: str, message: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, lambda text: text + "\n" + table)
    done = coopdraw("compile", recipe, "-o", tmp_path / "x.bundle")
    assert done.returncode == 2
    assert message in done.stderr
