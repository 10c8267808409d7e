// Selection between two tensors, or a tensor and a scalar, by packed bits.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/比较与选择/Select.md; barriers inside the calls:
// asc-devkit:impl/basic_api/dav_c220/kernel_operator_vec_cmpsel_impl.h
#pragma once

#include "vector_compare.h"

namespace coopdraw::sim {

using AscendC::SELMODE;

template <typename T>
constexpr bool selects = one_of<T, half, float>;
template <typename U>
constexpr bool selects_by = one_of<U, uint8_t, uint16_t, uint32_t, uint64_t>;

// Bytes of selection bits: mode 0 uses the same bits for every repeat, the others go on through them.
inline uint64_t selection_bytes(const Lanes& lanes, SELMODE mode) {
    if (mode == SELMODE::VSEL_CMPMASK_SPR) {
        return lanes.per_repeat / 8;
    }
    return (uint64_t{lanes.repeats - 1} * lanes.per_repeat + lanes.end(lanes.repeats - 1) + 7) / 8;
}

// Results whose selection bits or chosen element nobody wrote.
template <typename T>
UndefinedResults undefined_selections(const Lanes& lanes, SELMODE mode, const Operand<T>& out, const uint8_t* bits,
                                      const Span* bits_span, const Operand<T>& first, const Operand<T>* second) {
    UndefinedResults undefined;
    const auto span_of = [](const Operand<T>& operand, uint32_t repeat, uint32_t element) {
        const Span& tensor = operand.walk.tensor;
        return Span{tensor.bank, tensor.offset + operand.walk.offset(repeat, element), sizeof(T), tensor.limit};
    };
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        const uint64_t base = mode == SELMODE::VSEL_CMPMASK_SPR ? 0 : uint64_t{repeat} * lanes.per_repeat;
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const uint64_t bit = base + element;
                const bool chosen = (bits[bit / 8] >> (bit % 8) & 1) != 0;
                const Operand<T>* from = chosen ? &first : second;
                const bool bits_written =
                    bits_span == nullptr ||
                    all_written({bits_span->bank, bits_span->offset + bit / 8, 1, bits_span->limit});
                if (!bits_written || (from != nullptr && !all_written(span_of(*from, repeat, element)))) {
                    undefined.add(span_of(out, repeat, element));
                }
            }
        }
    }
    return undefined;
}

// `second` is the operand for cleared bits; without one it is the scalar.
template <typename T>
void select(const char* api, const Lanes& lanes, SELMODE mode, const Operand<T>& out, const uint8_t* bits,
            const Span* bits_span, const Operand<T>& first, const Operand<T>* second, T scalar) {
    static_assert(selects<T>, "Select: T must be one of half, float");
    if (lanes.empty()) {
        return;
    }
    check_overlap(api, lanes, out.walk, first.walk, Overlap::same_or_apart);
    Instruction instruction(api, Pipe::V);
    if (bits_span != nullptr) {
        instruction.reads_padding(*bits_span);
    }
    touch_padding(instruction, lanes, first.walk);
    if (second != nullptr) {
        check_overlap(api, lanes, out.walk, second->walk, Overlap::same_or_apart);
        touch_padding(instruction, lanes, second->walk);
    }
    const UndefinedResults undefined = undefined_selections(lanes, mode, out, bits, bits_span, first, second);
    write_operand(instruction, lanes, out.walk);
    undefined.mark(instruction);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        const uint64_t base = mode == SELMODE::VSEL_CMPMASK_SPR ? 0 : uint64_t{repeat} * lanes.per_repeat;
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const uint64_t bit = base + element;
                const bool chosen = (bits[bit / 8] >> (bit % 8) & 1) != 0;
                T value = scalar;
                if (chosen) {
                    value = *first.at(first.walk.offset(repeat, element));
                } else if (second != nullptr) {
                    value = *second->at(second->walk.offset(repeat, element));
                }
                *out.at(out.walk.offset(repeat, element)) = value;
            }
        }
    }
}

// With a selection tensor. Mode 0 loads the bits into the compare register first, modes 1 and 2 set up the register
// themselves; a barrier of the vector pipe follows in each case.
template <typename T, typename U>
void select_by_tensor(const char* api, const Lanes& lanes, SELMODE mode, const Operand<T>& out,
                      const AscendC::LocalTensor<U>& selection, const Operand<T>& first, const Operand<T>* second,
                      T scalar) {
    static_assert(selects_by<U>, "Select: selMask must be uint8_t, uint16_t, uint32_t or uint64_t");
    if (lanes.empty()) {
        return;
    }
    const auto bytes = selection.template ReinterpretCast<uint8_t>();
    const Span span = bytes.span(0, selection_bytes(lanes, mode));
    if (mode == SELMODE::VSEL_CMPMASK_SPR) {
        Instruction(api, Pipe::V).reads(span);
        barrier(Pipe::V);
        uint8_t bits[16] = {};
        std::memcpy(bits, bytes.raw(), span.bytes);
        std::memcpy(core_state<CompareRegister>().bytes, bits, sizeof(bits));
        select(api, lanes, mode, out, bits, nullptr, first, second, scalar);
    } else {
        barrier(Pipe::V);
        select(api, lanes, mode, out, bytes.raw(), &span, first, second, scalar);
    }
}

inline void check_tensor_mode(SELMODE mode) {
    if (mode == SELMODE::VSEL_TENSOR_SCALAR_MODE) {
        fail(Kind::argument, "Select: VSEL_TENSOR_SCALAR_MODE takes a scalar for src1; pass one or use another mode");
    }
}
inline void check_scalar_mode(SELMODE mode) {
    if (mode != SELMODE::VSEL_TENSOR_SCALAR_MODE) {
        fail(Kind::argument, "Select: a scalar src1 needs VSEL_TENSOR_SCALAR_MODE");
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
            const LocalTensor<T>& src1, SELMODE selMode, const Mask& mask, int64_t repeatTime,
            const BinaryRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    sim::check_tensor_mode(selMode);
    const auto lanes =
        sim::lanes_of_mask<isSetMask>("Select", mask, repeatTime, sim::elements_per_repeat(sizeof(T)));
    const sim::Operand<T> second(src1, repeatParams.src1BlkStride, repeatParams.src1RepStride);
    sim::select_by_tensor("Select", lanes, selMode,
                          sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride), selMask,
                          sim::Operand<T>(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride), &second, T{});
}

template <typename T, typename U>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
            const LocalTensor<T>& src1, SELMODE selMode, uint32_t count) {
    namespace sim = coopdraw::sim;
    sim::check_tensor_mode(selMode);
    const auto lanes = sim::lanes_of_count("Select", count, sim::elements_per_repeat(sizeof(T)));
    const sim::Operand<T> second(src1);
    sim::select_by_tensor("Select", lanes, selMode, sim::Operand<T>(dst), selMask, sim::Operand<T>(src0), &second, T{});
    sim::barrier(sim::Pipe::V);
    sim::reset_mask_registers();
}

template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0, T src1,
            SELMODE selMode, const Mask& mask, int64_t repeatTime, const BinaryRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    sim::check_scalar_mode(selMode);
    const auto lanes =
        sim::lanes_of_mask<isSetMask>("Select", mask, repeatTime, sim::elements_per_repeat(sizeof(T)));
    sim::select_by_tensor<T, U>("Select", lanes, selMode,
                                sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride), selMask,
                                sim::Operand<T>(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride), nullptr,
                                src1);
}

template <typename T, typename U>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0, T src1,
            SELMODE selMode, uint32_t count) {
    namespace sim = coopdraw::sim;
    sim::check_scalar_mode(selMode);
    sim::select_by_tensor<T, U>("Select", sim::lanes_of_count("Select", count, sim::elements_per_repeat(sizeof(T))),
                                selMode, sim::Operand<T>(dst), selMask, sim::Operand<T>(src0), nullptr, src1);
    sim::reset_mask_registers();
}

// With the mask registers and the compare register as SetVectorMask and SetCmpMask left them: mode 0 has the bits in
// the register, mode 2 their address.
template <typename T, SELMODE selMode>
void Select(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, int64_t repeatTime,
            const BinaryRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    static_assert(selMode != SELMODE::VSEL_TENSOR_SCALAR_MODE, "Select: this form selects between two tensors");
    const auto lanes = sim::lanes_of_repeats("Select", repeatTime, sim::elements_per_repeat(sizeof(T)));
    if (lanes.empty()) {
        return;
    }
    const sim::Operand<T> out(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride);
    const sim::Operand<T> first(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride);
    const sim::Operand<T> second(src1, repeatParams.src1BlkStride, repeatParams.src1RepStride);
    const uint8_t* bits = sim::core_state<sim::CompareRegister>().bytes;
    if constexpr (selMode == SELMODE::VSEL_CMPMASK_SPR) {
        sim::select("Select", lanes, selMode, out, bits, nullptr, first, &second, T{});
    } else {
        sim::Bank* bank = dst.bank();
        const uint64_t address = sim::load<uint32_t>(bits);
        const sim::Span span{bank, address, sim::selection_bytes(lanes, selMode), bank->bytes};
        sim::select("Select", lanes, selMode, out, bank->data + address, &span, first, &second, T{});
    }
}

// Mode 1 with the scalar in the compare register.
template <typename T, typename U>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0, int64_t repeatTime,
            const BinaryRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    static_assert(sim::selects_by<U>, "Select: selMask must be uint8_t, uint16_t, uint32_t or uint64_t");
    const auto lanes = sim::lanes_of_repeats("Select", repeatTime, sim::elements_per_repeat(sizeof(T)));
    if (lanes.empty()) {
        return;
    }
    const auto bytes = selMask.template ReinterpretCast<uint8_t>();
    const sim::Span span = bytes.span(0, sim::selection_bytes(lanes, SELMODE::VSEL_TENSOR_SCALAR_MODE));
    sim::select("Select", lanes, SELMODE::VSEL_TENSOR_SCALAR_MODE,
                sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride), bytes.raw(), &span,
                sim::Operand<T>(src0, repeatParams.src0BlkStride, repeatParams.src0RepStride),
                static_cast<const sim::Operand<T>*>(nullptr),
                sim::load<T>(sim::core_state<sim::CompareRegister>().bytes));
}

}  // namespace AscendC
