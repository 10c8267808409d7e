// Comparisons to packed bits, in a tensor or in the compare register, and the access to that register.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/比较与选择/{Compare,Compares,
//   Compare（结果存入寄存器）,GetCmpMask(ISASI),SetCmpMask(ISASI)}.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

using AscendC::CMPMODE;

// 128 bits: results of Compare, selection bits, a scalar, or the address of selection bits.
struct CompareRegister {
    alignas(16) uint8_t bytes[16] = {};
};

template <typename T>
bool compares(CMPMODE mode, T a, T b) {
    switch (mode) {
        case CMPMODE::LT: return a < b;
        case CMPMODE::GT: return a > b;
        case CMPMODE::EQ: return a == b;
        case CMPMODE::LE: return a <= b;
        case CMPMODE::GE: return a >= b;
        case CMPMODE::NE: return a != b;
    }
    fail(Kind::argument, "Compare: cmpMode %u does not exist; use a CMPMODE value", static_cast<unsigned>(mode));
}

template <typename T>
void check_comparison(const char* api, CMPMODE mode) {
    static_assert(one_of<T, half, float> || (__NPU_ARCH__ == 2201 && std::is_same_v<T, int32_t>),
                  "comparisons take half and float tensors (910B also int32_t)");
    if (std::is_same_v<T, int32_t> && mode != CMPMODE::EQ) {
        fail(Kind::argument, "%s: int32_t tensors can only be compared with CMPMODE::EQ; cast to float first", api);
    }
}

// Every element of every repeat takes part; `right(repeat, element)` is the other side. Eight results make a byte, the
// first in its lowest bit, and repeats follow each other without a gap.
template <typename T, typename Right>
void compare_into(uint8_t* out, const Lanes& lanes, const Operand<T>& left, CMPMODE mode, Right&& right) {
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (uint32_t element = 0; element < lanes.per_repeat; ++element) {
            const T value = *left.at(left.walk.offset(repeat, element));
            const uint64_t bit = uint64_t{repeat} * lanes.per_repeat + element;
            const auto one = static_cast<uint8_t>(1U << (bit % 8));
            const auto kept = static_cast<uint8_t>(out[bit / 8] & ~one);
            out[bit / 8] = compares<T>(mode, value, right(repeat, element)) ? kept | one : kept;
        }
    }
}

// The lanes of a comparison, whose mask argument has no effect.
inline Lanes comparison_lanes(const char* api, int64_t repeats, uint32_t per_repeat) {
    check_repeats(api, repeats);
    return lanes_of_count(api, repeats * per_repeat, per_repeat);
}

template <typename T>
Lanes comparison_lanes_of_count(const char* api, uint64_t count) {
    if (count * sizeof(T) % REPEAT_BYTES != 0) {
        fail(Kind::argument, "%s: %llu elements are %llu bytes, but whole repeats of 256 bytes are needed; round up",
             api, static_cast<unsigned long long>(count), static_cast<unsigned long long>(count * sizeof(T)));
    }
    return lanes_of_count(api, static_cast<int64_t>(count), elements_per_repeat(sizeof(T)));
}

// Names the operands. Eight results from elements of which nobody wrote one are undefined.
template <typename T, typename U>
void name_comparison(Instruction& instruction, const Lanes& lanes, const AscendC::LocalTensor<U>& dst,
                     std::initializer_list<Walk> sources) {
    const auto bytes = dst.template ReinterpretCast<uint8_t>();
    UndefinedResults undefined;
    for (const Walk& source : sources) {
        touch_padding(instruction, lanes, source);
        for (uint64_t first = 0; first < lanes.active(); first += 8) {
            const auto repeat = static_cast<uint32_t>(first / lanes.per_repeat);
            const auto element = static_cast<uint32_t>(first % lanes.per_repeat);
            const Span& tensor = source.tensor;
            // Eight elements never cross a block: blocks have 8 or 16.
            const Span eight{tensor.bank, tensor.offset + source.offset(repeat, element), 8 * sizeof(T), tensor.limit};
            if (!all_written(eight)) {
                undefined.add(bytes.span(first / 8, 1));
            }
        }
    }
    instruction.writes(bytes.span(0, lanes.active() / 8));
    undefined.mark(instruction);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
}

template <typename T, typename U>
void compare_tensors(const char* api, const Lanes& lanes, const AscendC::LocalTensor<U>& dst, const Operand<T>& left,
                     const Operand<T>& right, CMPMODE mode) {
    static_assert(one_of<U, int8_t, uint8_t>, "Compare: the destination must be int8_t or uint8_t");
    check_comparison<T>(api, mode);
    if (lanes.empty()) {
        return;
    }
    Instruction instruction(api, Pipe::V);
    name_comparison<T>(instruction, lanes, dst, {left.walk, right.walk});
    compare_into(reinterpret_cast<uint8_t*>(dst.raw()), lanes, left, mode,
                 [&](uint32_t repeat, uint32_t element) { return *right.at(right.walk.offset(repeat, element)); });
}

template <typename T, typename U>
void compare_scalar(const char* api, const Lanes& lanes, const AscendC::LocalTensor<U>& dst, const Operand<T>& left,
                    T right, CMPMODE mode) {
    static_assert(std::is_same_v<U, uint8_t>, "Compares: the destination must be uint8_t");
    check_comparison<T>(api, mode);
    if (lanes.empty()) {
        return;
    }
    Instruction instruction(api, Pipe::V);
    name_comparison<T>(instruction, lanes, dst, {left.walk});
    compare_into(dst.raw(), lanes, left, mode, [&](uint32_t, uint32_t) { return right; });
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
             [[maybe_unused]] const Mask& mask, int64_t repeatTime, const BinaryRepeatParams& repeatParams) {
    coopdraw::sim::compare_tensors<T, U>(
        "Compare",
        coopdraw::sim::comparison_lanes("Compare", repeatTime, coopdraw::sim::elements_per_repeat(sizeof(T))), dst,
        coopdraw::sim::Operand<T>(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride),
        coopdraw::sim::Operand<T>(src1, repeatParams.src1BlkStride, repeatParams.src1RepStride), cmpMode);
}

template <typename T, typename U>
void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
             uint32_t count) {
    coopdraw::sim::compare_tensors<T, U>("Compare", coopdraw::sim::comparison_lanes_of_count<T>("Compare", count), dst,
                                         coopdraw::sim::Operand<T>(src0), coopdraw::sim::Operand<T>(src1), cmpMode);
}

// One repeat into the compare register. The bits of elements that don't take part become 0.
template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode, const Mask& mask,
             const BinaryRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    static_assert(sim::one_of<T, half, float>, "Compare: T must be one of half, float");
    const auto lanes =
        sim::lanes_of_mask<isSetMask>("Compare", mask, 1, sim::elements_per_repeat(sizeof(T)));
    if (lanes.empty()) {
        return;
    }
    const sim::Operand<T> left(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride);
    const sim::Operand<T> right(src1, repeatParams.src1BlkStride, repeatParams.src1RepStride);
    sim::Instruction instruction("Compare", sim::Pipe::V);
    sim::read_operand(instruction, lanes, left.walk);
    sim::read_operand(instruction, lanes, right.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), 1);
    auto& bits = sim::core_state<sim::CompareRegister>().bytes;
    std::fill(std::begin(bits), std::end(bits), uint8_t{0});
    for (auto [begin, end] = lanes.run(0, 0); begin < end; std::tie(begin, end) = lanes.run(0, end)) {
        for (uint32_t element = begin; element < end; ++element) {
            const uint64_t a = left.walk.offset(0, element);
            const uint64_t b = right.walk.offset(0, element);
            if (sim::compares<T>(cmpMode, *left.at(a), *right.at(b))) {
                bits[element / 8] |= static_cast<uint8_t>(1U << (element % 8));
            }
        }
    }
}

#define COOPDRAW_COMPARE_SCALAR(Name)                                                                                \
    template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>                             \
    void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar, CMPMODE cmpMode,            \
              [[maybe_unused]] const Mask& mask, int64_t repeatTime, const UnaryRepeatParams& repeatParams) {        \
        coopdraw::sim::compare_scalar<T, U>(                                                                         \
            #Name,                                                                                                   \
            coopdraw::sim::comparison_lanes(#Name, repeatTime, coopdraw::sim::elements_per_repeat(sizeof(T))), dst,  \
            coopdraw::sim::Operand<T>(src0, repeatParams.srcBlkStride, repeatParams.srcRepStride), src1Scalar,       \
            cmpMode);                                                                                                \
    }                                                                                                                \
    template <typename T, typename U>                                                                                \
    void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar, CMPMODE cmpMode,            \
              uint32_t count) {                                                                                      \
        coopdraw::sim::compare_scalar<T, U>(#Name, coopdraw::sim::comparison_lanes_of_count<T>(#Name, count), dst,   \
                                            coopdraw::sim::Operand<T>(src0), src1Scalar, cmpMode);                   \
    }

COOPDRAW_COMPARE_SCALAR(Compares)
COOPDRAW_COMPARE_SCALAR(CompareScalar)

#undef COOPDRAW_COMPARE_SCALAR

template <typename T>
void GetCmpMask(const LocalTensor<T>& dst) {
    namespace sim = coopdraw::sim;
    const auto bytes = dst.template ReinterpretCast<uint8_t>();
    if (bytes.GetSize() < 128) {
        sim::fail(sim::Kind::argument, "GetCmpMask: the tensor has %u bytes, but 128 are needed", bytes.GetSize());
    }
    sim::Instruction instruction("GetCmpMask", sim::Pipe::V);
    instruction.writes(bytes.span(0, 16));
    std::memcpy(bytes.raw(), sim::core_state<sim::CompareRegister>().bytes, 16);
}

template <typename T>
void SetCmpMask(const LocalTensor<T>& src) {
    namespace sim = coopdraw::sim;
    const auto bytes = src.template ReinterpretCast<uint8_t>();
    sim::Instruction instruction("SetCmpMask", sim::Pipe::V);
    instruction.reads(bytes.span(0, 16), 16);
    std::memcpy(sim::core_state<sim::CompareRegister>().bytes, bytes.raw(), 16);
}

}  // namespace AscendC
