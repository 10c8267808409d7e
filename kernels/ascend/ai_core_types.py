"""Element types that the device's AI cores take, by canonical operator; others run on its AI CPU, if at all.

Each entry is what the named public source decides by, `IsAiCoreSupport` of its op_api. `ops-math` and `ops-nn` are
repositories of CANN's operators (hicann).
"""

from __future__ import annotations

from dataclasses import dataclass

from coopdraw.graphs.types import DType

_FLOATS = frozenset((DType.FLOAT16, DType.FLOAT32))
_BFLOAT16 = frozenset((DType.BFLOAT16,))
_BYTES = frozenset((DType.INT8, DType.UINT8))
_INT32, _INT64, _INT8 = frozenset((DType.INT32,)), frozenset((DType.INT64,)), frozenset((DType.INT8,))
_UINT8, _BOOL = frozenset((DType.UINT8,)), frozenset((DType.BOOL,))
_NUMBERS = _FLOATS | _BYTES | _INT32 | _INT64
_NONE: frozenset[DType] = frozenset()


@dataclass(frozen=True)
class AiCoreTypes:
    """`everywhere` on any SoC, `separated` also where vector and cube cores are separate (910B)."""

    page: str
    everywhere: frozenset[DType]
    separated: frozenset[DType] = _BFLOAT16

    def taken(self, coupled: bool) -> frozenset[DType]:
        return self.everywhere if coupled else self.everywhere | self.separated


AI_CORE_TYPES: dict[str, AiCoreTypes] = {
    "abs": AiCoreTypes("ops-math:math/abs/op_api/abs.cpp", _FLOATS | _INT32, _BFLOAT16 | _INT64),
    "add": AiCoreTypes("ops-math:math/add/op_api/add.cpp", _NUMBERS | _BOOL),
    "broadcast_to": AiCoreTypes("ops-math:math/expand/op_api/expand.cpp", _NUMBERS | _BOOL),
    "ceil": AiCoreTypes("ops-math:math/ceil/op_api/ceil.cpp", _FLOATS),
    "cos": AiCoreTypes("ops-math:math/cos/op_api/cos.cpp", _FLOATS),
    "div": AiCoreTypes("ops-math:math/div/op_api/div.cpp", _FLOATS | _INT32 | _BYTES),
    "equal": AiCoreTypes("ops-math:math/equal/op_api/equal.cpp", _NUMBERS | _BOOL),
    "erf": AiCoreTypes("ops-math:math/erf/op_api/erf.cpp", _FLOATS),
    "exp": AiCoreTypes("ops-math:math/exp/op_api/exp.cpp", _FLOATS),
    "floor": AiCoreTypes("ops-math:math/floor/op_api/floor.cpp", _FLOATS),
    "gather": AiCoreTypes("ops-nn:index/gather_v2/op_api/gather_v2.cpp", _NUMBERS | _BOOL),
    "greater_equal": AiCoreTypes("ops-math:math/greater_equal/op_api/greater_equal.cpp", _NUMBERS),
    "less": AiCoreTypes("ops-math:math/less/op_api/less.cpp", _NUMBERS | _BOOL),
    "less_equal": AiCoreTypes("ops-math:math/less_equal/op_api/less_equal.cpp", _NUMBERS),
    "log": AiCoreTypes("ops-math:math/log/op_api/log.cpp", _FLOATS),
    "logical_and": AiCoreTypes("ops-math:math/logical_and/op_api/logical_and.cpp", _BOOL, _NONE),
    "logical_or": AiCoreTypes("ops-math:math/logical_or/op_api/logical_or.cpp", _BOOL, _NONE),
    "maximum": AiCoreTypes("ops-math:math/maximum/op_api/maximum.cpp", _FLOATS | _INT32 | _INT8 | _INT64),
    "minimum": AiCoreTypes("ops-math:math/minimum/op_api/minimum.cpp", _FLOATS | _INT32 | _INT8 | _INT64),
    "mul": AiCoreTypes("ops-math:math/mul/op_api/mul.cpp", _NUMBERS | _BOOL),
    "neg": AiCoreTypes("ops-math:math/neg/op_api/neg.cpp", _FLOATS | _INT32 | _INT8, _BFLOAT16 | _INT64),
    "not_equal": AiCoreTypes("ops-math:math/not_equal/op_api/not_equal.cpp", _NUMBERS | _BOOL),
    "pad": AiCoreTypes("ops-math:conversion/pad_v3/op_api/padv3.cpp", _FLOATS | _INT32, _BFLOAT16 | _INT8),
    "pow": AiCoreTypes("ops-math:math/pow/op_api/pow.cpp", _FLOATS | _INT32 | _BYTES),
    "reciprocal": AiCoreTypes("ops-math:math/reciprocal/op_api/reciprocal.cpp", _FLOATS),
    "reduce_max": AiCoreTypes(
        "ops-math:math/reduce_max/op_api/reduce_max.cpp", _FLOATS | _UINT8 | _INT32, _BFLOAT16 | _INT64 | _INT8
    ),
    "reduce_mean": AiCoreTypes("ops-math:math/reduce_mean/op_api/reduce_mean.cpp", _FLOATS),
    "reduce_min": AiCoreTypes(
        "ops-math:math/reduce_min/op_api/reduce_min.cpp", _FLOATS | _UINT8 | _INT32, _BFLOAT16 | _INT64 | _INT8
    ),
    "reduce_sum": AiCoreTypes(
        "ops-math:math/reduce_sum/op_api/reduce_sum_op.cpp", _FLOATS | _INT64, _BFLOAT16 | _INT32
    ),
    "round": AiCoreTypes("ops-math:math/round/op_api/round.cpp", _FLOATS | _INT32),
    "rsqrt": AiCoreTypes("ops-math:math/rsqrt/op_api/rsqrt.cpp", _FLOATS),
    "select": AiCoreTypes("ops-math:math/select/op_api/select.cpp", _NUMBERS),
    "sigmoid": AiCoreTypes("ops-nn:activation/sigmoid/op_api/sigmoid.cpp", _FLOATS),
    "sign": AiCoreTypes("ops-math:math/sign/op_api/sign.cpp", _FLOATS | _INT32),
    "sin": AiCoreTypes("ops-math:math/sin/op_api/sin.cpp", _FLOATS),
    "slice": AiCoreTypes("ops-math:conversion/slice/op_api/slice.cpp", _NUMBERS | _BOOL),
    "split": AiCoreTypes("ops-math:conversion/split_v/op_api/split_v.cpp", _FLOATS | _INT64 | _BYTES),
    "square": AiCoreTypes("ops-math:math/square/op_api/square.cpp", _FLOATS | _INT32, _BFLOAT16 | _INT64),
    "sub": AiCoreTypes("ops-math:math/sub/op_api/sub.cpp", _NUMBERS | _BOOL),
    "tile": AiCoreTypes("ops-math:math/tile/op_api/tile.cpp", _FLOATS | _INT32 | _INT64 | _BOOL),
    "transpose": AiCoreTypes("ops-math:conversion/transpose/op_api/transpose.cpp", _NUMBERS | _BOOL),
}

MATRIX_TYPES: dict[str, AiCoreTypes] = {
    "avg_pool2d": AiCoreTypes("ops-nn:pooling/avg_pool3_d/docs/aclnnAvgPool2d.md", _FLOATS),
    "conv2d": AiCoreTypes("ops-nn:conv/convolution_forward/docs/aclnnConvolution.md", _FLOATS),
    "group_norm": AiCoreTypes("ops-nn:norm/group_norm/docs/aclnnGroupNorm.md", _FLOATS),
    "linear": AiCoreTypes("ops-nn:matmul/mat_mul_v3/docs/aclnnMatmul.md", _FLOATS),
    "matmul": AiCoreTypes("ops-nn:matmul/mat_mul_v3/docs/aclnnMatmul.md", _FLOATS),
    "gelu": AiCoreTypes("ops-nn:activation/gelu/docs/aclnnGelu.md", _FLOATS),
    "silu": AiCoreTypes("ops-nn:activation/swish/docs/aclnnSilu.md", _FLOATS),
}
"""Operators that have no form at all for other types."""
