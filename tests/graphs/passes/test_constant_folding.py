"""constant-folding: what it refuses, and how it fails."""

from __future__ import annotations

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import Miss
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.manager import PassManager


def module_of(builder: GraphBuilder, *outputs: Value) -> Module:
    return Module(builder.build(outputs, [f"y{index}" for index in range(len(outputs))]))


def test_growth_over_the_limit_is_a_miss_with_the_sizes() -> None:
    builder = GraphBuilder("main")
    builder.source = "mask"
    wide = builder.add("broadcast_to", builder.constant(np.array(1.0, np.float32)), shape=(100,))
    module = module_of(builder, wide)

    refused = ConstantFolding(limit_bytes=399).run(module)

    assert refused.module is module
    reason = "folding would make a constant of 400 bytes; the limit is 399 (limit_bytes)"
    assert refused.misses == (Miss("main", "%broadcast_to (broadcast_to, Cell mask)", reason),)
    folded = ConstantFolding(limit_bytes=400).run(module)
    assert folded.misses == ()
    assert dict(folded.notes) == {"nodes_removed": 1, "bytes_saved": 404, "constant_bytes_added": 396}


def test_what_does_not_grow_is_folded_whatever_its_size() -> None:
    builder = GraphBuilder("main")
    turned = builder.add("transpose", builder.constant(np.ones((20, 30), np.float32)), permutation=(1, 0))
    result = ConstantFolding(limit_bytes=0).run(module_of(builder, turned))
    (node,) = result.module.entry.nodes
    array = node.attributes["value"]
    assert isinstance(array, np.ndarray)
    assert array.flags.c_contiguous


def test_scalars_stay_scalars() -> None:
    builder = GraphBuilder("main")
    doubled = builder.add("exp", builder.constant(np.array(0.0, np.float32)))
    (node,) = ConstantFolding().run(module_of(builder, doubled)).module.entry.nodes
    array = node.attributes["value"]
    assert isinstance(array, np.ndarray)
    assert (array.shape, array.dtype, float(array)) == ((), np.float32, 1.0)


def test_failure_names_pass_node_and_cell() -> None:
    builder = GraphBuilder("main")
    builder.source = "token_embedding"
    x, indices = builder.constant(np.ones(3, np.float32)), builder.constant(np.array([7], np.int32))
    module = module_of(builder, builder.add("gather", x, indices, axis=0, name="row"))
    with pytest.raises(
        PassError, match=r"constant-folding failed: graph main, %row \(gather, Cell token_embedding\).*in 0\.\.2"
    ):
        PassManager([ConstantFolding()]).run(module)
