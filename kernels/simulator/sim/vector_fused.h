// Functions of several arithmetic steps. When all operands have one type every step rounds, as separate instructions
// would: the documentation says that fusing gains no precision then.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/复合计算/{概述,Axpy,
//   MulAddDst,FusedMulAdd,MulAddRelu,AddReluCast,SubReluCast,MulCast,AddDeqRelu}.md
#pragma once

#include "vector_binary.h"
#include "vector_cast.h"

namespace coopdraw::sim {

// The value as a T: half rounds, float stays.
template <typename T>
float stored(float x) {
    return std::is_same_v<T, half> ? static_cast<float>(static_cast<half>(x)) : x;
}

template <typename D, typename S>
struct ScaledOntoDestination {
    float scalar;
    float operator()(float x, float old) const { return stored<D>(x * scalar) + old; }
};
template <typename D, typename S>
struct ProductOntoDestination {
    float operator()(float a, float b, float old) const { return stored<D>(a * b) + old; }
};
template <typename T>
struct DestinationTimesPlus {
    float operator()(float a, float b, float old) const { return stored<T>(a * old) + b; }
};
template <typename T>
struct DestinationTimesPlusRelu {
    float operator()(float a, float b, float old) const { return std::max(stored<T>(stored<T>(a * old) + b), 0.0F); }
};

// A binary operation in the sources' type S, rounded to S, then converted to D to nearest even.
template <typename Binary, typename D, typename S>
struct ThenCast {
    auto operator()(Computed<S> a, Computed<S> b) const {
        auto value = Binary{}(a, b);
        if constexpr (std::is_same_v<S, half>) {
            value = stored<half>(value);
        }
        return Conversion<S, D, RoundMode::CAST_RINT>{}(value);
    }
};
struct SumDequantisedRelu {
    float scale;
    float operator()(int32_t a, int32_t b) const {
        return std::max(0.0F, Conversion<int32_t, half, RoundMode::CAST_RINT>{scale}(Sum{}(a, b)));
    }
};

// Repeat strides of the count form when operands differ in width: the narrower ones are packed.
template <typename T, size_t wide>
constexpr uint32_t packed_stride = static_cast<uint32_t>(8 * sizeof(T) / wide);

template <bool out_is_source, typename Operation, typename D, typename... S>
void fused_counted(const char* api, Operation operation, int64_t count, const AscendC::LocalTensor<D>& dst,
                   const AscendC::LocalTensor<S>&... sources) {
    constexpr size_t wide = std::max({sizeof(D), sizeof(S)...});
    constexpr Overlap rule = std::max({sizeof(S)...}) < sizeof(D) ? Overlap::apart : Overlap::same_or_apart;
    elementwise<out_is_source>(api, lanes_of_count(api, count, elements_per_repeat(wide)), rule, operation,
                               Operand<D>(dst, 1, packed_stride<D, wide>),
                               Operand<S>(sources, 1, packed_stride<S, wide>)...);
    reset_mask_registers();
}

template <bool out_is_source, bool isSetMask, typename Operation, typename D, typename S, typename Mask>
void fused_repeated(const char* api, Operation operation, const AscendC::LocalTensor<D>& dst,
                    const AscendC::LocalTensor<S>& src0, const AscendC::LocalTensor<S>& src1, const Mask& mask,
                    int64_t repeats,
                    const AscendC::BinaryRepeatParams& strides) {
    constexpr size_t wide = std::max(sizeof(D), sizeof(S));
    constexpr Overlap rule = sizeof(S) < sizeof(D) ? Overlap::apart : Overlap::same_or_apart;
    elementwise<out_is_source>(api, lanes_of_mask<isSetMask>(api, mask, repeats, elements_per_repeat(wide)), rule,
                               operation, Operand<D>(dst, strides.dstBlkStride, strides.dstRepStride),
                               Operand<S>(src0, strides.src0BlkStride, strides.src0RepStride),
                               Operand<S>(src1, strides.src1BlkStride, strides.src1RepStride));
}

template <typename D, typename S>
constexpr bool multiplies_into = (std::is_same_v<D, S> && one_of<D, half, float>) ||
                                 (std::is_same_v<D, float> && std::is_same_v<S, half>);
template <typename D, typename S>
constexpr bool relu_casts_to = (std::is_same_v<S, half> && std::is_same_v<D, int8_t>) ||
                               (std::is_same_v<S, int16_t> && std::is_same_v<D, int8_t>) ||
                               (std::is_same_v<S, float> && std::is_same_v<D, half>);

}  // namespace coopdraw::sim

namespace AscendC {

#define COOPDRAW_FUSED(Name, out_is_source, Operation, condition, message)                                          \
    template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>                            \
    void Name(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1, const Mask& mask,  \
              int64_t repeatTime, const BinaryRepeatParams& repeatParams) {                                         \
        static_assert(condition, #Name ": " message);                                                               \
        coopdraw::sim::fused_repeated<out_is_source, isSetMask>(#Name, Operation{}, dst, src0, src1, mask,          \
                                                                repeatTime, repeatParams);                          \
    }                                                                                                               \
    template <typename T, typename U>                                                                               \
    void Name(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,                    \
              const int32_t& count) {                                                                               \
        static_assert(condition, #Name ": " message);                                                               \
        coopdraw::sim::fused_counted<out_is_source>(#Name, Operation{}, count, dst, src0, src1);                    \
    }

// The same with one type for all operands.
#define COOPDRAW_FUSED_SAME(Name, Operation)                                                                        \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                                        \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, const Mask& mask,  \
              int64_t repeatTime, const BinaryRepeatParams& repeatParams) {                                         \
        static_assert(coopdraw::sim::one_of<T, half, float>, #Name ": T must be one of half, float");               \
        coopdraw::sim::fused_repeated<true, isSetMask>(#Name, coopdraw::sim::Operation<T>{}, dst, src0, src1, mask, \
                                                       repeatTime, repeatParams);                                   \
    }                                                                                                               \
    template <typename T>                                                                                           \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,                    \
              const int32_t& count) {                                                                               \
        static_assert(coopdraw::sim::one_of<T, half, float>, #Name ": T must be one of half, float");               \
        coopdraw::sim::fused_counted<true>(#Name, coopdraw::sim::Operation<T>{}, count, dst, src0, src1);           \
    }

COOPDRAW_FUSED(MulAddDst, true, (coopdraw::sim::ProductOntoDestination<T, U>), (coopdraw::sim::multiplies_into<T, U>),
               "(dst, src) must be (half, half), (float, float) or (float, half)")
COOPDRAW_FUSED(AddReluCast, false, (coopdraw::sim::ThenCast<coopdraw::sim::ThenRelu<coopdraw::sim::Sum>, T, U>),
               (coopdraw::sim::relu_casts_to<T, U>),
               "(dst, src) must be (int8_t, half), (int8_t, int16_t) or (half, float)")
COOPDRAW_FUSED(SubReluCast, false, (coopdraw::sim::ThenCast<coopdraw::sim::ThenRelu<coopdraw::sim::Difference>, T, U>),
               (coopdraw::sim::relu_casts_to<T, U>),
               "(dst, src) must be (int8_t, half), (int8_t, int16_t) or (half, float)")
COOPDRAW_FUSED(MulCast, false, (coopdraw::sim::ThenCast<coopdraw::sim::Product, T, U>),
               (std::is_same_v<U, half> && coopdraw::sim::one_of<T, int8_t, uint8_t>),
               "(dst, src) must be (int8_t, half) or (uint8_t, half)")
COOPDRAW_FUSED_SAME(FusedMulAdd, DestinationTimesPlus)
COOPDRAW_FUSED_SAME(MulAddRelu, DestinationTimesPlusRelu)
COOPDRAW_FUSED_SAME(FusedMulAddRelu, DestinationTimesPlusRelu)

#undef COOPDRAW_FUSED_SAME
#undef COOPDRAW_FUSED

template <typename T, typename U>
void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, const int32_t& count) {
    static_assert(coopdraw::sim::multiplies_into<T, U>,
                  "Axpy: (dst, src) must be (half, half), (float, float) or (float, half)");
    coopdraw::sim::fused_counted<true>(
        "Axpy", coopdraw::sim::ScaledOntoDestination<T, U>{static_cast<float>(scalarValue)}, count, dst, src);
}

template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, const Mask& mask,
          int64_t repeatTime, const UnaryRepeatParams& repeatParams) {
    static_assert(coopdraw::sim::multiplies_into<T, U>,
                  "Axpy: (dst, src) must be (half, half), (float, float) or (float, half)");
    const auto lanes = coopdraw::sim::lanes_of_mask<isSetMask>("Axpy", mask, repeatTime,
                                                               coopdraw::sim::elements_per_repeat(sizeof(T)));
    coopdraw::sim::elementwise<true>(
        "Axpy", lanes,
        sizeof(U) < sizeof(T) ? coopdraw::sim::Overlap::apart : coopdraw::sim::Overlap::same_or_apart,
        coopdraw::sim::ScaledOntoDestination<T, U>{static_cast<float>(scalarValue)},
        coopdraw::sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride),
        coopdraw::sim::Operand<U>(src, repeatParams.srcBlkStride, repeatParams.srcRepStride));
}

inline void AddDeqRelu(const LocalTensor<half>& dst, const LocalTensor<int32_t>& src0,
                       const LocalTensor<int32_t>& src1, const int32_t& count) {
    const coopdraw::sim::SumDequantisedRelu operation{coopdraw::sim::dequantisation_scale("AddDeqRelu")};
    coopdraw::sim::fused_counted<false>("AddDeqRelu", operation, count, dst, src0, src1);
}

}  // namespace AscendC
