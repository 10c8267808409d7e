// Functions that fill a tensor: one value, one value per block, ascending numbers.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/数据填充/{Duplicate,Brcb,CreateVecIndex}.md,
// asc-devkit:docs/zh/api/SIMD-API/高阶API/索引计算/Arange-94.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

template <typename T>
struct Constant {
    Computed<T> value;
    Computed<T> operator()() const { return value; }
};

// first + difference * position, where positions count through all repeats whether masked or not. The scalar unit
// writes the first block (with a bit mask the first repeat), the vector unit continues from there and ends with a
// barrier.
// asc-devkit:impl/basic_api/dav_c220/kernel_operator_vec_createvecindex_impl.h
template <typename T>
void fill_progression(const char* api, const Lanes& lanes, const Operand<T>& out, T first, T difference) {
    if (lanes.empty()) {
        return;
    }
    Lanes by_scalar = lanes;
    by_scalar.repeats = 1;
    by_scalar.first = by_scalar.last = std::min(lanes.first, out.walk.elements_per_block());
    Instruction start(api, Pipe::S);
    write_operand(start, by_scalar, out.walk);
    order(Pipe::S, Pipe::V);
    Instruction instruction(api, Pipe::V);
    write_operand(instruction, lanes, out.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    barrier(Pipe::V);
    using Wide = std::conditional_t<std::is_integral_v<T>, int64_t, float>;
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const auto position = static_cast<Wide>(uint64_t{repeat} * lanes.per_repeat + element);
                *out.at(out.walk.offset(repeat, element)) =
                    static_cast<T>(static_cast<Wide>(first) + position * static_cast<Wide>(difference));
            }
        }
    }
}

template <typename T>
void broadcast_to_blocks(const char* api, const Operand<T>& out, const AscendC::LocalTensor<T>& src, int64_t repeats) {
    constexpr uint32_t per_block = BLOCK_BYTES / sizeof(T);
    check_repeats(api, repeats);
    Lanes lanes = lanes_of_count(api, 8 * per_block, 8 * per_block);
    lanes.repeats = static_cast<uint32_t>(repeats);
    if (lanes.empty()) {
        return;
    }
    // The source is read without gaps, eight elements for every repeat.
    const Span read = src.span(0, uint64_t{8} * lanes.repeats);
    Instruction instruction(api, Pipe::V);
    instruction.reads_padding(read);
    UndefinedResults undefined;
    Span write = out.walk.tensor;
    write.bytes = out.walk.offset(lanes.repeats - 1, lanes.per_repeat - 1) + sizeof(T);
    forbid_shared_memory(api, read, write);
    for (uint32_t i = 0; i < 8 * lanes.repeats; ++i) {
        if (!all_written(src.span(i, 1))) {
            const uint64_t offset = write.offset + out.walk.offset(i / 8, i % 8 * per_block);
            undefined.add({write.bank, offset, BLOCK_BYTES, write.limit});
        }
    }
    write_operand(instruction, lanes, out.walk);
    undefined.mark(instruction);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    for (uint32_t i = 0; i < 8 * lanes.repeats; ++i) {
        std::fill_n(out.at(out.walk.offset(i / 8, i % 8 * per_block)), per_block, *src.raw(i));
    }
}

template <typename T>
constexpr bool copied_by_vector = one_of<T, int16_t, uint16_t, half, bfloat16_t, int32_t, uint32_t, float>;

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T>
void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const int32_t& count) {
    static_assert(coopdraw::sim::copied_by_vector<T>,
                  "Duplicate: T must be one of int16_t, uint16_t, half, bfloat16_t, int32_t, uint32_t, float");
    coopdraw::sim::elementwise<false>(
        "Duplicate", coopdraw::sim::lanes_of_count("Duplicate", count, coopdraw::sim::elements_per_repeat(sizeof(T))),
        coopdraw::sim::Overlap::same_or_apart,
        coopdraw::sim::Constant<T>{static_cast<coopdraw::sim::Computed<T>>(scalarValue)},
        coopdraw::sim::Operand<T>(dst));
    coopdraw::sim::reset_mask_registers();
}

template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const Mask& mask, int64_t repeatTime,
               Limited16 dstBlockStride, Limited8 dstRepeatStride) {
    static_assert(coopdraw::sim::copied_by_vector<T>,
                  "Duplicate: T must be one of int16_t, uint16_t, half, bfloat16_t, int32_t, uint32_t, float");
    const auto lanes = coopdraw::sim::lanes_of_mask<isSetMask>("Duplicate", mask, repeatTime,
                                                               coopdraw::sim::elements_per_repeat(sizeof(T)));
    coopdraw::sim::elementwise<false>(
        "Duplicate", lanes, coopdraw::sim::Overlap::same_or_apart,
        coopdraw::sim::Constant<T>{static_cast<coopdraw::sim::Computed<T>>(scalarValue)},
        coopdraw::sim::Operand<T>(dst, dstBlockStride, dstRepeatStride));
}

// Eight elements a repeat, each to a whole block.
template <typename T>
void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, int64_t repeatTime,
          const BrcbRepeatParams& repeatParams) {
    static_assert(
        coopdraw::sim::copied_by_vector<T> && (__NPU_ARCH__ == 2201 || !std::is_same_v<T, bfloat16_t>),
        "Brcb: T must be one of int16_t, uint16_t, half, bfloat16_t (910B), int32_t, uint32_t, float");
    coopdraw::sim::broadcast_to_blocks(
        "Brcb", coopdraw::sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride), src, repeatTime);
}

#if __NPU_ARCH__ == 2201
template <typename T>
void CreateVecIndex(const LocalTensor<T>& dst, const T& firstValue, uint32_t count) {
    static_assert(coopdraw::sim::one_of<T, int16_t, half, int32_t, float>,
                  "CreateVecIndex: T must be one of int16_t, half, int32_t, float");
    coopdraw::sim::fill_progression(
        "CreateVecIndex",
        coopdraw::sim::lanes_of_count("CreateVecIndex", count, coopdraw::sim::elements_per_repeat(sizeof(T))),
        coopdraw::sim::Operand<T>(dst), firstValue, static_cast<T>(1));
    coopdraw::sim::reset_mask_registers();
}

template <typename T, coopdraw::sim::IsMask Mask>
void CreateVecIndex(const LocalTensor<T>& dst, const T& firstValue, const Mask& mask, int64_t repeatTime,
                    Limited16 dstBlkStride, Limited8 dstRepStride) {
    static_assert(coopdraw::sim::one_of<T, int16_t, half, int32_t, float>,
                  "CreateVecIndex: T must be one of int16_t, half, int32_t, float");
    const auto lanes = coopdraw::sim::lanes_of_mask<true>("CreateVecIndex", mask, repeatTime,
                                                          coopdraw::sim::elements_per_repeat(sizeof(T)));
    coopdraw::sim::fill_progression("CreateVecIndex", lanes,
                                    coopdraw::sim::Operand<T>(dst, dstBlkStride, dstRepStride), firstValue,
                                    static_cast<T>(1));
}
#endif

template <typename T>
void ArithProgression(const LocalTensor<T>& dst, const T firstValue, const T diffValue, const int32_t count) {
    static_assert(coopdraw::sim::one_of<T, int16_t, half, int32_t, float>,
                  "ArithProgression: T must be one of int16_t, half, int32_t, float");
    coopdraw::sim::fill_progression(
        "ArithProgression",
        coopdraw::sim::lanes_of_count("ArithProgression", count, coopdraw::sim::elements_per_repeat(sizeof(T))),
        coopdraw::sim::Operand<T>(dst), firstValue, diffValue);
    coopdraw::sim::reset_mask_registers();
}

}  // namespace AscendC
