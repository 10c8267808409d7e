"""How the Ascend kernel of attention divides its work.

A task is a block of queries of one head; a vector core has contiguous tasks, so that cores next to each other share
keys and values in the L2 cache. For every block of keys the cube core multiplies queries and keys into the workspace,
the vector core turns the scores into weights (softmax with a running maximum and sum in float32), the cube multiplies
them with the values, and the vector core adds that to what it has (Dao et al., FlashAttention, arXiv:2205.14135,
algorithm 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.attention import attention_extents
from coopdraw.kernels.ascend.capacity import COPY_BYTES, ceil_div, round_up, usable_ub_bytes
from coopdraw.kernels.ascend.tiling import Float32, Int32, Int64, Launch, Tiling
from coopdraw.kernels.simulator.soc import Soc

QUERY_BLOCKS = (128, 64, 32, 16)
"""Queries of a task, the largest first."""

KEY_BLOCK = 512
"""Most keys that are worked on at once."""

TILES = (8192, 6144, 4096)
"""Sizes of a tile in the unified buffer, in float32 elements, the largest first."""

SOFTMAX_ROWS = 64
"""Most rows of a tile: the unified buffer also has 64 lanes for each of them."""

WIDTHS = 16, 256
"""A head's width is a multiple of the first, at most the second: fractals of the cube, and one block of its results."""

MOST_COLUMNS = 65535
"""Elements of a row of query, key or value that the copy into the cube's layout steps over."""

TASK_COST = 16
"""What a task costs beside its queries, in queries: the shape of the first and the last step."""

CUBE_COLUMNS, CUBE_DEPTH = 128, 64
"""Most columns and depth of one multiplication of the cube."""

_FLOAT, _HALF = 4, 2
_LANES, _BLOCK = 64, 8


@dataclass(frozen=True)
class AttentionProblem:
    """query (batch, heads, queries, width), key (..., keys, width), value (..., keys, value_width) in float16.

    `split`: the heads lie side by side in the rows (BSH), not one after the other (BNSD).
    """

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    value_width: int
    scale: float
    split: bool


@dataclass(frozen=True)
class AttentionTiling(Tiling):
    """Numbers of elements, but for `scale` and counts.

    Steps from one batch and one head to the next in query, key, value and y, and from row to row. `rows` queries to a
    task, `key_block` keys to a step. A tile has `tile` float32; `softmax_rows` rows of scores or `product_rows` rows of
    products are in it. The `cube_...` are the blocks of one multiplication of the cube, for scores and for products.
    `cores` vector cores share `tasks`.
    """

    query_batch: Int64
    query_head: Int64
    key_batch: Int64
    key_head: Int64
    value_batch: Int64
    value_head: Int64
    y_batch: Int64
    y_head: Int64
    query_row: Int32
    key_row: Int32
    value_row: Int32
    y_row: Int32
    heads: Int32
    queries: Int32
    keys: Int32
    width: Int32
    value_width: Int32
    query_blocks: Int32
    tasks: Int32
    cores: Int32
    rows: Int32
    key_block: Int32
    tile: Int32
    softmax_rows: Int32
    product_rows: Int32
    cube_columns: Int32
    cube_depth: Int32
    product_depth: Int32
    transfer_bytes: Int32
    scale: Float32


def problem(node: Node) -> AttentionProblem:
    """What the tiling depends on."""
    extents = attention_extents([value.type for value in node.inputs], node.attributes)
    return AttentionProblem(
        batch=extents.batch,
        heads=extents.heads,
        queries=extents.queries,
        keys=extents.keys,
        width=extents.width,
        value_width=extents.value_width,
        scale=float(node.attributes["scale"]),  # type: ignore[arg-type]
        split=node.attributes["layout"] == "BSH",
    )


def limits(node: Node, soc: Soc) -> str | None:
    """Why the kernel can't compute the node on the SoC, as a clause; None if it can."""
    if len(node.inputs) > 3:
        return "the Ascend kernel of attention takes no mask"
    shape = problem(node)
    multiple, most = WIDTHS
    for width, value in ((shape.width, node.inputs[0]), (shape.value_width, node.inputs[2])):
        if width % multiple or width > most:
            return (
                f"the heads of %{value.name}, which is {value.type}, are {width} wide, but the Ascend kernel of "
                f"attention takes multiples of {multiple} up to {most}"
            )
        if shape.split and shape.heads * width > MOST_COLUMNS:
            return f"%{value.name} is {value.type}, whose rows are longer than {MOST_COLUMNS} elements"
    if shape.scale <= 0:
        return f"the scale is {shape.scale:g}, but the Ascend kernel of attention takes one above 0"
    if min(shape.batch, shape.queries, shape.keys) == 0:
        return f"%{node.inputs[0].name} or %{node.inputs[1].name} has no elements"
    return None


def launch(shape: AttentionProblem, soc: Soc) -> Launch:
    """How to start the kernel for a problem that `limits` has no reason against."""
    return launch_with(shape, soc, *_best_blocks(shape, soc))


def launch_with(shape: AttentionProblem, soc: Soc, rows: int, tile: int) -> Launch:
    """As `launch`, with `rows` queries to a task and tiles of `tile` elements, one of `blocks`."""
    query_blocks = ceil_div(shape.queries, rows)
    tasks = shape.batch * shape.heads * query_blocks
    cores = min(tasks, soc.vector_cores)
    key_block = _key_block(shape.keys)
    queries, keys, values, results = _steps(shape)
    tiling = AttentionTiling(
        **{f"query_{name}": step for name, step in queries.items()},
        **{f"key_{name}": step for name, step in keys.items()},
        **{f"value_{name}": step for name, step in values.items()},
        **{f"y_{name}": step for name, step in results.items()},
        heads=shape.heads,
        queries=shape.queries,
        keys=shape.keys,
        width=shape.width,
        value_width=shape.value_width,
        query_blocks=query_blocks,
        tasks=tasks,
        cores=cores,
        rows=rows,
        key_block=key_block,
        tile=tile,
        softmax_rows=_softmax_rows(rows, key_block, tile),
        product_rows=_product_rows(rows, shape.value_width, tile),
        cube_columns=min(key_block, CUBE_COLUMNS),
        cube_depth=min(shape.width, CUBE_DEPTH),
        product_depth=min(key_block, CUBE_DEPTH),
        transfer_bytes=_transfer_bytes(shape, rows) if soc.coupled else 0,
        scale=shape.scale,
    )
    return Launch(
        tiling=tiling,
        cores=cores if soc.coupled else ceil_div(cores, 2),
        key=1,
        workspace_bytes=cores * _workspace_bytes(tiling),
        memory={"ub": _ub_bytes(shape, soc, rows, tile), **_cube_bytes(tiling)},
    )


def _steps(shape: AttentionProblem) -> tuple[dict[str, int], ...]:
    """Steps from batch to batch, head to head, row to row, of query, key, value and y."""
    result = []
    for length, width in (
        (shape.queries, shape.width),
        (shape.keys, shape.width),
        (shape.keys, shape.value_width),
        (shape.queries, shape.value_width),
    ):
        head, row = (width, shape.heads * width) if shape.split else (length * width, width)
        result.append({"batch": shape.heads * length * width, "head": head, "row": row})
    return tuple(result)


def _key_block(keys: int) -> int:
    """Keys of a step: the steps are of one length, but for the last, in whole fractals."""
    return round_up(ceil_div(keys, ceil_div(keys, KEY_BLOCK)), 16)


def blocks(shape: AttentionProblem, soc: Soc) -> Iterator[tuple[int, int]]:
    """Queries of a task and elements of a tile, as far as they fit into the unified buffer."""
    for rows in QUERY_BLOCKS:
        for tile in TILES:
            if _ub_bytes(shape, soc, rows, tile) <= usable_ub_bytes(soc):
                yield rows, tile


def _best_blocks(shape: AttentionProblem, soc: Soc) -> tuple[int, int]:
    """Of `blocks`, what keeps the last core busy for the least time."""

    def cost(rows: int) -> int:
        tasks = shape.batch * shape.heads * ceil_div(shape.queries, rows)
        return ceil_div(tasks, soc.vector_cores) * (rows + TASK_COST)

    return min(blocks(shape, soc), key=lambda block: cost(block[0]))


def _softmax_rows(rows: int, key_block: int, tile: int) -> int:
    return min(rows, SOFTMAX_ROWS, tile // key_block // _BLOCK * _BLOCK)


def _product_rows(rows: int, value_width: int, tile: int) -> int:
    return min(rows, tile // value_width // _BLOCK * _BLOCK)


def _ub_bytes(shape: AttentionProblem, soc: Soc, rows: int, tile: int) -> int:
    """Two tiles in and two out, the result so far, lanes and partial results of a tile's rows, five values a row."""
    softmax_rows = _softmax_rows(rows, _key_block(shape.keys), tile)
    spread_rows = max(softmax_rows, _product_rows(rows, shape.value_width, tile))
    floats = 2 * tile + rows * shape.value_width + softmax_rows * (_LANES + _BLOCK) + spread_rows * _BLOCK + 5 * rows
    transfer = 2 * _transfer_bytes(shape, rows) if soc.coupled else 0
    return floats * _FLOAT + 2 * tile * _HALF + transfer


def _transfer_bytes(shape: AttentionProblem, rows: int) -> int:
    """310P: the largest block on its way between the unified buffer and the cube.

    asc-devkit:impl/adv_api/tiling/matmul/matmul_tiling_algorithm.cpp GetTransLength
    """
    key_block = _key_block(shape.keys)
    columns, depth = min(key_block, CUBE_COLUMNS), min(shape.width, CUBE_DEPTH)
    product_depth = min(key_block, CUBE_DEPTH)
    halves = max(rows * depth, columns * depth, rows * product_depth, shape.value_width * product_depth)
    return max(halves * _HALF, rows * max(columns, shape.value_width) * _FLOAT)


def _workspace_bytes(tiling: AttentionTiling) -> int:
    """Of one core: scores, products and weights, each twice."""
    scores, products = tiling.rows * tiling.key_block, tiling.rows * tiling.value_width
    return round_up(2 * ((scores + products) * _FLOAT + scores * _HALF), COPY_BYTES)


def _cube_bytes(tiling: AttentionTiling) -> dict[str, int]:
    """The cube's buffers, by the product that needs more of each. The kernel gives Matmul the same numbers of blocks.

    asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Tiling类/TCubeTiling结构体.md, table 2
    """
    score_steps = ceil_div(tiling.width, tiling.cube_depth)
    product_steps = min(2, ceil_div(tiling.key_block, tiling.product_depth))
    scores = (tiling.cube_columns, tiling.cube_depth, score_steps)
    products = (tiling.value_width, tiling.product_depth, product_steps)
    return {
        "l1": max(2 * steps * (tiling.rows + columns) * depth * _HALF for columns, depth, steps in (scores, products)),
        "l0a": max(2 * tiling.rows * depth * _HALF for _, depth, _ in (scores, products)),
        "l0b": max(2 * columns * depth * _HALF for columns, depth, _ in (scores, products)),
        "l0c": max(tiling.rows * columns * _FLOAT for columns, _, _ in (scores, products)),
    }
