"""The MindSpore primitives that the built-in models are written with.

`mindspore.ops` has functions of the same names, but those are Python that is traced once and then shared: every node of
a second use would carry the Cell path of the first one, and tracing would take longer.
"""

from __future__ import annotations

from mindspore import ops
from mindspore.ops import auto_generate

add = ops.Add()
mul = ops.Mul()
div = ops.Div()
maximum = ops.Maximum()
greater = ops.Greater()
sin = ops.Sin()
cos = ops.Cos()
erf = ops.Erf()
relu = ops.ReLU()
silu = auto_generate.SiLU()
softmax = ops.Softmax(axis=-1)
cast = ops.Cast()
reshape = ops.Reshape()
transpose = ops.Transpose()
concat = ops.Concat(axis=1)
tile = ops.Tile()
gather = ops.Gather()
reduce_sum = ops.ReduceSum()
matmul = ops.BatchMatMul()
matmul_transposed = ops.BatchMatMul(transpose_b=True)
dense = ops.Dense()
bias_add = ops.BiasAdd()
group_norm = auto_generate.GroupNorm()
halve = ops.AvgPool(kernel_size=2, strides=2)
resize_nearest = ops.ResizeNearestNeighborV2()
