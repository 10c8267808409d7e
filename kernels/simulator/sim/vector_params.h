// Parameter structures and enumerations of the vector API, with the public field names and defaults.
// asc-devkit:docs/zh/api/SIMD-API/基础API/辅助数据结构, asc-devkit:include/basic_api/kernel_struct_*.h
#pragma once

#include <utility>

#include "report.h"
#include "types.h"

namespace coopdraw::sim {

// A parameter field of the device's width. The device compiler cuts a larger value off without a word; here it is a
// fault.
template <typename Word>
class Limited {
public:
    template <typename Value>
        requires std::is_integral_v<Value>
    constexpr Limited(Value value) : word_(static_cast<Word>(value)) {
        const int64_t wide = static_cast<int64_t>(value);
        if (wide < 0 || wide > int64_t{std::numeric_limits<Word>::max()}) {
            fail(Kind::argument, "a repeat or stride parameter is %lld, but its field holds 0 to %lld; split the call",
                 static_cast<long long>(wide), static_cast<long long>(std::numeric_limits<Word>::max()));
        }
    }
    constexpr operator Word() const { return word_; }

private:
    Word word_;
};

using Limited8 = Limited<uint8_t>;
using Limited16 = Limited<uint16_t>;

}  // namespace coopdraw::sim

namespace AscendC {

using coopdraw::sim::Limited16;
using coopdraw::sim::Limited8;

constexpr uint64_t MASK_PLACEHOLDER = 0;
constexpr uint64_t MASK_PLACEHOLDER_LIST[2] = {0, 0};
constexpr int32_t NCHW_CONV_ADDR_LIST_SIZE = 16;

enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };
enum class CMPMODE : uint8_t { LT = 0, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR = 0, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX = 0, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };
enum class ReduceType { NONE = -1, SUM = 0, MAX, MIN };
enum class GatherMaskMode : uint8_t { VERSION_V1 = 0, VERSION_V2 = 1 };
enum class RoundMode : uint8_t {
    CAST_NONE = 0,
    CAST_RINT,
    CAST_FLOOR,
    CAST_CEIL,
    CAST_ROUND,
    CAST_TRUNC,
    CAST_ODD,
    UNKNOWN = 0xFF,
};
enum class TransposeType : uint8_t {
    TRANSPOSE_TYPE_NONE,
    TRANSPOSE_NZ2ND_0213,
    TRANSPOSE_NZ2NZ_0213,
    TRANSPOSE_NZ2NZ_012_WITH_N,
    TRANSPOSE_NZ2ND_012_WITH_N,
    TRANSPOSE_NZ2ND_012_WITHOUT_N,
    TRANSPOSE_NZ2NZ_012_WITHOUT_N,
    TRANSPOSE_ND2ND_ONLY,
    TRANSPOSE_ND_UB_GM,
    TRANSPOSE_GRAD_ND_UB_GM,
    TRANSPOSE_ND2ND_B16,
    TRANSPOSE_NCHW2NHWC,
    TRANSPOSE_NHWC2NCHW,
};

struct UnaryRepeatParams {
    UnaryRepeatParams() = default;
    UnaryRepeatParams(Limited16 dst_block, Limited16 src_block, Limited8 dst_repeat, Limited8 src_repeat,
                      bool half_block = false)
        : dstBlkStride(dst_block),
          srcBlkStride(src_block),
          dstRepStride(dst_repeat),
          srcRepStride(src_repeat),
          halfBlock(half_block) {}

    uint32_t blockNumber = DEFAULT_BLK_NUM;
    Limited16 dstBlkStride = DEFAULT_BLK_STRIDE;
    Limited16 srcBlkStride = DEFAULT_BLK_STRIDE;
    Limited8 dstRepStride = DEFAULT_REPEAT_STRIDE;
    Limited8 srcRepStride = DEFAULT_REPEAT_STRIDE;
    bool repeatStrideMode = false;
    bool strideSizeMode = false;
    bool halfBlock = false;
};

struct BinaryRepeatParams {
    BinaryRepeatParams() = default;
    BinaryRepeatParams(Limited8 dst_block, Limited8 src0_block, Limited8 src1_block, Limited8 dst_repeat,
                       Limited8 src0_repeat, Limited8 src1_repeat)
        : dstBlkStride(dst_block),
          src0BlkStride(src0_block),
          src1BlkStride(src1_block),
          dstRepStride(dst_repeat),
          src0RepStride(src0_repeat),
          src1RepStride(src1_repeat) {}

    uint32_t blockNumber = DEFAULT_BLK_NUM;
    Limited8 dstBlkStride = DEFAULT_BLK_STRIDE;
    Limited8 src0BlkStride = DEFAULT_BLK_STRIDE;
    Limited8 src1BlkStride = DEFAULT_BLK_STRIDE;
    Limited8 dstRepStride = DEFAULT_REPEAT_STRIDE;
    Limited8 src0RepStride = DEFAULT_REPEAT_STRIDE;
    Limited8 src1RepStride = DEFAULT_REPEAT_STRIDE;
    bool repeatStrideMode = false;
    bool strideSizeMode = false;
};

struct CopyRepeatParams {
    CopyRepeatParams() = default;
    CopyRepeatParams(Limited16 dst_stride, Limited16 src_stride, Limited16 dst_repeat, Limited16 src_repeat)
        : dstStride(dst_stride), srcStride(src_stride), dstRepeatSize(dst_repeat), srcRepeatSize(src_repeat) {}

    Limited16 dstStride = 0;
    Limited16 srcStride = 0;
    Limited16 dstRepeatSize = DEFAULT_REPEAT_STRIDE;
    Limited16 srcRepeatSize = DEFAULT_REPEAT_STRIDE;
};

struct BrcbRepeatParams {
    BrcbRepeatParams() = default;
    BrcbRepeatParams(Limited16 dst_block, Limited16 dst_repeat) : dstRepStride(dst_repeat), dstBlkStride(dst_block) {}

    uint32_t blockNumber = DEFAULT_BLK_NUM;
    Limited16 dstRepStride = DEFAULT_REPEAT_STRIDE;
    Limited16 dstBlkStride = DEFAULT_BLK_STRIDE;
};

struct GatherRepeatParams {
    GatherRepeatParams() = default;
    GatherRepeatParams(Limited8 dst_block, Limited8 dst_repeat)
        : dstRepStride(static_cast<uint8_t>(dst_repeat)), dstBlkStride(dst_block) {}

    uint32_t blockNumber = DEFAULT_BLK_NUM;
    Limited16 dstRepStride = DEFAULT_REPEAT_STRIDE;
    Limited8 dstBlkStride = DEFAULT_BLK_STRIDE;
};

struct GatherMaskParams {
    GatherMaskParams() = default;
    GatherMaskParams(Limited8 src0_block, Limited16 repeats, Limited16 src0_repeat, Limited8 src1_repeat)
        : src0BlockStride(src0_block),
          repeatTimes(repeats),
          src0RepeatStride(src0_repeat),
          src1RepeatStride(src1_repeat) {}

    Limited8 src0BlockStride = DEFAULT_BLK_STRIDE;
    Limited16 repeatTimes = 0;
    Limited16 src0RepeatStride = DEFAULT_REPEAT_STRIDE;
    Limited8 src1RepeatStride = DEFAULT_REPEAT_STRIDE;
};

struct TransDataTo5HDParams {
    TransDataTo5HDParams() = default;
    TransDataTo5HDParams(bool dst_high_half, bool src_high_half, Limited8 repeats, Limited16 dst_repeat,
                         Limited16 src_repeat)
        : dstHighHalf(dst_high_half),
          srcHighHalf(src_high_half),
          repeatTimes(repeats),
          dstRepStride(dst_repeat),
          srcRepStride(src_repeat) {}

    bool dstHighHalf = false;
    bool srcHighHalf = false;
    Limited8 repeatTimes = 1;
    Limited16 dstRepStride = 0;
    Limited16 srcRepStride = 0;
};

struct TransposeParamsExt {
    TransposeParamsExt() = default;
    TransposeParamsExt(Limited16 n, Limited16 c, Limited16 h, Limited16 w, TransposeType type)
        : nSize(n), cSize(c), hSize(h), wSize(w), transposeType(type) {}

    Limited16 nSize = 0;
    Limited16 cSize = 0;
    Limited16 hSize = 0;
    Limited16 wSize = 0;
    TransposeType transposeType = TransposeType::TRANSPOSE_ND2ND_B16;
};

}  // namespace AscendC
