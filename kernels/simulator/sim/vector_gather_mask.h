// Selected elements of a tensor, packed together.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/比较与选择/GatherMask.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

using AscendC::GatherMaskParams;

struct GatheredCount {
    uint64_t elements = 0;
};

// Pattern 1 and 2 take every second element, 3 to 6 every fourth, 7 all.
inline bool pattern_takes(uint8_t pattern, uint64_t element) {
    switch (pattern) {
        case 1:
        case 2: return element % 2 == pattern - 1U;
        case 7: return true;
        default: return element % 4 == pattern - 3U;
    }
}

// How many repeats there are, and how many elements each of them looks at. In counter mode 910B takes `mask` elements
// from every repeat, 310P `mask` elements in all.
inline Lanes gather_mask_lanes(const char* api, bool counted, uint32_t mask, uint32_t repeats, uint32_t per_repeat) {
    if (!counted) {
        return lanes_of_count(api, int64_t{repeats} * per_repeat, per_repeat);
    }
    if (mask == 0) {
        fail(Kind::argument, "%s: mask is 0 with reduceMode; pass the element count", api);
    }
    return __NPU_ARCH__ == 2201 ? lanes_of_count(api, int64_t{repeats} * mask, mask)
                                : lanes_of_count(api, mask, per_repeat);
}

// `takes(repeat, element)` says which elements are kept. An element that nobody wrote may be kept: kernels gather whole
// repeats and use the part that they filled. It stays undefined in the destination.
template <typename T, typename Takes>
void gather_mask(Instruction& instruction, const Lanes& lanes, const AscendC::LocalTensor<T>& dst,
                 const Operand<T>& source, uint64_t& kept, Takes&& takes) {
    const Span& tensor = source.walk.tensor;
    std::vector<T> values;
    UndefinedResults undefined;
    uint64_t checked = 0;  // a block is checked when its first element comes
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (uint32_t element = 0; element < lanes.end(repeat); ++element) {
            const uint64_t offset = source.walk.offset(repeat, element);
            if (element % source.walk.elements_per_block() == 0) {
                const uint64_t bytes =
                    std::min<uint64_t>(BLOCK_BYTES, uint64_t{lanes.end(repeat) - element} * sizeof(T));
                instruction.reads_padding({tensor.bank, tensor.offset + offset, bytes, tensor.limit});
                ++checked;
            }
            if (takes(repeat, element)) {
                if (!all_written({tensor.bank, tensor.offset + offset, sizeof(T), tensor.limit})) {
                    undefined.add(dst.span(values.size(), 1));
                }
                values.push_back(*source.at(offset));
            }
        }
    }
    kept = values.size();
    core_state<GatheredCount>().elements = kept;
    instruction.writes(dst.span(0, kept));
    instruction.counts_vector(lanes.active(), sizeof(T), checked / 8 + 1);
    std::copy(values.begin(), values.end(), dst.raw());
    undefined.mark(instruction);
    reset_mask_registers();
}

template <typename T>
constexpr bool gathers_by_mask =
    one_of<T, int16_t, uint16_t, half, int32_t, uint32_t, float> || (__NPU_ARCH__ == 2201 && one_of<T, bfloat16_t>);

}  // namespace coopdraw::sim

namespace AscendC {

constexpr GatherMaskMode defaultGatherMaskMode =
    __NPU_ARCH__ == 2201 ? GatherMaskMode::VERSION_V2 : GatherMaskMode::VERSION_V1;
constexpr GatherMaskMode defaultGahterMaskMode = defaultGatherMaskMode;  // the public header has this spelling too

template <typename T, GatherMaskMode mode = defaultGatherMaskMode>
void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const uint8_t src1Pattern,
                const bool reduceMode, const uint32_t mask, const GatherMaskParams& gatherMaskParams,
                uint64_t& rsvdCnt) {
    namespace sim = coopdraw::sim;
    static_assert(sim::gathers_by_mask<T>, "GatherMask: T must be a 16- or 32-bit type of this SoC");
    constexpr uint8_t patterns = __NPU_ARCH__ == 2201 ? 7 : 6;
    if (src1Pattern < 1 || src1Pattern > patterns) {
        sim::fail(sim::Kind::argument, "GatherMask: src1Pattern is %u, but 1 to %u exist on this SoC", src1Pattern,
                  patterns);
    }
    const auto lanes = sim::gather_mask_lanes("GatherMask", reduceMode, mask, gatherMaskParams.repeatTimes,
                                              sim::elements_per_repeat(sizeof(T)));
    sim::Instruction instruction("GatherMask", sim::Pipe::V);
    sim::gather_mask(instruction, lanes, dst,
                     sim::Operand<T>(src0, gatherMaskParams.src0BlockStride, gatherMaskParams.src0RepeatStride),
                     rsvdCnt, [&](uint32_t, uint32_t element) { return sim::pattern_takes(src1Pattern, element); });
}

template <typename T, typename U, GatherMaskMode mode = defaultGatherMaskMode>
void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<U>& src1Pattern,
                const bool reduceMode, const uint32_t mask, const GatherMaskParams& gatherMaskParams,
                uint64_t& rsvdCnt) {
    namespace sim = coopdraw::sim;
    static_assert(sim::gathers_by_mask<T>, "GatherMask: T must be a 16- or 32-bit type of this SoC");
    static_assert(sim::one_of<U, uint16_t, uint32_t> && sizeof(U) == sizeof(T),
                  "GatherMask: src1Pattern must be uint16_t for 16-bit and uint32_t for 32-bit elements");
    const auto lanes = sim::gather_mask_lanes("GatherMask", reduceMode, mask, gatherMaskParams.repeatTimes,
                                              sim::elements_per_repeat(sizeof(T)));
    const auto bits = src1Pattern.template ReinterpretCast<uint8_t>();
    const uint64_t stride = uint64_t{gatherMaskParams.src1RepeatStride} * sim::BLOCK_BYTES;
    sim::Instruction instruction("GatherMask", sim::Pipe::V);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        instruction.reads(bits.span(repeat * stride, (lanes.end(repeat) + 7) / 8));
    }
    sim::gather_mask(instruction, lanes, dst,
                     sim::Operand<T>(src0, gatherMaskParams.src0BlockStride, gatherMaskParams.src0RepeatStride),
                     rsvdCnt, [&](uint32_t repeat, uint32_t element) {
                         return (*bits.raw(repeat * stride + element / 8) >> (element % 8) & 1) != 0;
                     });
}

#if __NPU_ARCH__ == 2201
inline int64_t GetGatherMaskRemainCount() {
    return static_cast<int64_t>(coopdraw::sim::core_state<coopdraw::sim::GatheredCount>().elements);
}
#endif

}  // namespace AscendC
