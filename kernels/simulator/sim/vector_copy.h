// Copies within the unified buffer by the vector unit.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/数据搬运/Copy（UBToUB掩码式高维数据搬运）.md
#pragma once

#include "vector_fill.h"

#if __NPU_ARCH__ == 2201
namespace coopdraw::sim {

struct Unchanged {
    template <typename T>
    T operator()(T x) const {
        return x;
    }
};

// In counter mode the count is for each repeat, in whole blocks, and the repeats count.
template <typename T>
Lanes copy_lanes(const char* api, int64_t repeats) {
    MaskRegisters& mask = mask_registers();
    if (!mask.counter) {
        return lanes_of_repeats(api, repeats, elements_per_repeat(sizeof(T)));
    }
    constexpr uint32_t per_block = BLOCK_BYTES / sizeof(T);
    const auto elements = static_cast<uint32_t>((mask.low & 0xffffffffU) + per_block - 1) / per_block * per_block;
    mask.counter = false;
    Lanes lanes = lanes_of_repeats(api, repeats, elements_per_repeat(sizeof(T)));
    mask.counter = true;
    lanes.per_repeat = lanes.first = lanes.last = elements;
    lanes.prefix = true;
    return lanes;
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const Mask& mask, int64_t repeatTime,
          const CopyRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    static_assert(sim::copied_by_vector<T>,
                  "Copy: T must be one of int16_t, uint16_t, half, bfloat16_t, int32_t, uint32_t, float");
    for (const uint32_t stride : {static_cast<uint16_t>(repeatParams.dstRepeatSize),
                                  static_cast<uint16_t>(repeatParams.srcRepeatSize)}) {
        if (stride > 4095) {
            sim::fail(sim::Kind::argument, "Copy: a repeat stride is %u, but 0 to 4095 are documented", stride);
        }
    }
    sim::lanes_of_mask<isSetMask>("Copy", mask, 0, sim::elements_per_repeat(sizeof(T)));
    // Bits are moved, so every type goes as an integer of its size: NaN and bfloat16_t stay what they are.
    using Word = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
    sim::elementwise<false>(
        "Copy", sim::copy_lanes<T>("Copy", repeatTime), sim::Overlap::same_or_apart, sim::Unchanged{},
        sim::Operand<Word>(dst.template ReinterpretCast<Word>(), repeatParams.dstStride, repeatParams.dstRepeatSize),
        sim::Operand<Word>(src.template ReinterpretCast<Word>(), repeatParams.srcStride, repeatParams.srcRepeatSize));
}

}  // namespace AscendC
#endif
