// The mask registers of the vector unit and the functions that set them.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/SIMD计算说明/掩码.md, .../掩码操作/*.md
#pragma once

#include "core.h"
#include "vector_params.h"

namespace coopdraw::sim {

// In normal mode a bit for every element of one repeat; in counter mode `low` is the element count of the whole call.
struct MaskRegisters {
    bool counter = false;
    uint64_t low = ~uint64_t{0};
    uint64_t high = ~uint64_t{0};
};

inline MaskRegisters& mask_registers() { return core_state<MaskRegisters>(); }

// The bits of "the first `elements` of a repeat". As the public implementation does, 64 fills the low word only.
inline MaskRegisters mask_of_first(uint64_t elements) {
    const auto ones = [](uint64_t count) { return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; };
    return {false, ones(elements), elements > 64 ? ones(elements - 64) : 0};
}

inline void set_mask_bits(uint64_t high, uint64_t low) {
    mask_registers().low = low;
    mask_registers().high = high;
}

// What the count forms leave behind: normal mode with every element taking part.
inline void reset_mask_registers() { mask_registers() = MaskRegisters{}; }

}  // namespace coopdraw::sim

namespace AscendC {

inline void SetMaskCount() { coopdraw::sim::mask_registers().counter = true; }
inline void SetMaskNorm() { coopdraw::sim::mask_registers().counter = false; }
inline void ResetMask() { coopdraw::sim::set_mask_bits(FULL_MASK, FULL_MASK); }

template <typename T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(const uint64_t maskHigh, const uint64_t maskLow) {
    coopdraw::sim::set_mask_bits(maskHigh, maskLow);
}

template <typename T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(int32_t len) {
    if (len < 0) {
        coopdraw::sim::fail(coopdraw::sim::Kind::argument, "SetVectorMask: len is %d; pass an element count", len);
    }
    if constexpr (mode == MaskMode::COUNTER) {
        coopdraw::sim::set_mask_bits(0, static_cast<uint64_t>(len));
    } else {
        const auto bits = coopdraw::sim::mask_of_first(static_cast<uint64_t>(len));
        coopdraw::sim::set_mask_bits(bits.high, bits.low);
    }
}

// The part of the helper class that production kernels call for masks. asc-devkit:impl/basic_api/kernel_utils_base.h
class AscendCUtils {
public:
    template <typename T, bool isSetMask = true>
    static void SetMask(const uint64_t& maskHigh, const uint64_t& maskLow) {
        if constexpr (isSetMask) {
            coopdraw::sim::set_mask_bits(maskHigh, maskLow);
        }
    }
    template <typename T, bool isSetMask = true>
    static void SetMask(int32_t len) {
        if constexpr (isSetMask) {
            SetVectorMask<T>(len);
        }
    }
    template <bool isSetMask = true>
    static void ResetMask() {
        if constexpr (isSetMask) {
            AscendC::ResetMask();
        }
    }
};

}  // namespace AscendC
