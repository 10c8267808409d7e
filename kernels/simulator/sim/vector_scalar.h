// Element-wise functions of a tensor and a scalar.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/基础算术/{Adds,Muls,Maxs,Mins,LeakyRelu}.md,
// 逻辑计算/{ShiftLeft,ShiftRight}.md
#pragma once

#include "vector_binary.h"

namespace coopdraw::sim {

template <typename Binary, typename T>
struct WithScalar {
    Computed<T> scalar;
    Computed<T> operator()(Computed<T> x) const { return Binary{}(x, scalar); }
};
template <typename T>
struct LeakyRectifiedLinear {
    Computed<T> slope;
    Computed<T> operator()(Computed<T> x) const { return x >= 0 ? x : x * slope; }
};
// Signed values keep their sign bit; a distance of all bits leaves nothing but the sign.
template <typename T>
struct ShiftedLeft {
    uint32_t distance;
    T operator()(T x) const {
        constexpr uint32_t width = sizeof(T) * 8;
        using Word = std::make_unsigned_t<T>;
        const Word sign = std::is_signed_v<T> ? static_cast<Word>(Word{1} << (width - 1)) : Word{0};
        const Word moved = distance >= width ? Word{0} : static_cast<Word>(static_cast<Word>(x) << distance);
        return static_cast<T>((moved & static_cast<Word>(~sign)) | (static_cast<Word>(x) & sign));
    }
};
// `round` adds the last bit that was shifted out. asc-devkit:docs/.../逻辑计算/ShiftRight.md roundEn
template <typename T>
struct ShiftedRight {
    uint32_t distance;
    bool round = false;
    T operator()(T x) const {
        constexpr uint32_t width = sizeof(T) * 8;
        const int64_t wide = x;
        const int64_t moved = distance >= width && !std::is_signed_v<T> ? 0 : wide >> distance;
        const int64_t carried = round && std::is_signed_v<T> && distance > 0 ? (wide >> (distance - 1)) & 1 : 0;
        return static_cast<T>(moved + carried);
    }
};

template <typename Operation, typename T>
void scalar_repeated(const char* api, const Lanes& lanes, Operation operation, const AscendC::LocalTensor<T>& dst,
                     const AscendC::LocalTensor<T>& src, const AscendC::UnaryRepeatParams& strides) {
    elementwise<false>(api, lanes, Overlap::same_or_apart, operation,
                       Operand<T>(dst, strides.dstBlkStride, strides.dstRepStride),
                       Operand<T>(src, strides.srcBlkStride, strides.srcRepStride));
}

// The count form; without isSetMask one repeat with the mask registers as they are.
template <bool isSetMask, typename Operation, typename T>
void scalar_counted(const char* api, Operation operation, const AscendC::LocalTensor<T>& dst,
                    const AscendC::LocalTensor<T>& src, int64_t count) {
    constexpr uint32_t per_repeat = elements_per_repeat(sizeof(T));
    if constexpr (isSetMask) {
        scalar_repeated(api, lanes_of_count(api, count, per_repeat), operation, dst, src, {});
        reset_mask_registers();
    } else {
        scalar_repeated(api, lanes_of_repeats(api, 1, per_repeat), operation, dst, src, {});
    }
}

template <typename T>
uint32_t shift_distance(const char* api, T scalar) {
    const auto distance = static_cast<int64_t>(scalar);
    if (distance < 0 || distance > static_cast<int64_t>(sizeof(T) * 8)) {
        fail(Kind::argument, "%s: the shift distance is %lld, but only 0 to %zu are documented for this type", api,
             static_cast<long long>(distance), sizeof(T) * 8);
    }
    return static_cast<uint32_t>(distance);
}

}  // namespace coopdraw::sim

namespace AscendC {

// As in the public prototypes the scalar must have the tensors' type: Adds(half tensor, 1.0f) compiles nowhere.
#define COOPDRAW_SCALAR(Name, make_operation, supported, ...)                                                        \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                                         \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, const Mask& mask,          \
              int64_t repeatTime, const UnaryRepeatParams& repeatParams) {                                           \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                 \
        const auto lanes = coopdraw::sim::lanes_of_mask<isSetMask>(#Name, mask, repeatTime,                          \
                                                                   coopdraw::sim::elements_per_repeat(sizeof(T)));   \
        coopdraw::sim::scalar_repeated(#Name, lanes, make_operation, dst, src, repeatParams);                        \
    }                                                                                                                \
    template <typename T, bool isSetMask = true>                                                                     \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, const int32_t& count) {    \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                 \
        coopdraw::sim::scalar_counted<isSetMask>(#Name, make_operation, dst, src, count);                            \
    }

#define COOPDRAW_ARITHMETIC(Name, Binary)                                                                            \
    COOPDRAW_SCALAR(Name,                                                                                            \
                    (coopdraw::sim::WithScalar<coopdraw::sim::Binary, T>{                                            \
                        static_cast<coopdraw::sim::Computed<T>>(scalarValue)}),                                      \
                    "int16_t, half, int32_t, float", int16_t, half, int32_t, float)

COOPDRAW_ARITHMETIC(Adds, Sum)
COOPDRAW_ARITHMETIC(Muls, Product)
COOPDRAW_ARITHMETIC(Maxs, Larger)
COOPDRAW_ARITHMETIC(Mins, Smaller)
COOPDRAW_SCALAR(LeakyRelu,
                (coopdraw::sim::LeakyRectifiedLinear<T>{static_cast<coopdraw::sim::Computed<T>>(scalarValue)}),
                "half, float", half, float)
#if __NPU_ARCH__ == 2201
COOPDRAW_SCALAR(ShiftLeft, (coopdraw::sim::ShiftedLeft<T>{coopdraw::sim::shift_distance("ShiftLeft", scalarValue)}),
                "int16_t, uint16_t, int32_t, uint32_t", int16_t, uint16_t, int32_t, uint32_t)
COOPDRAW_SCALAR(ShiftRight, (coopdraw::sim::ShiftedRight<T>{coopdraw::sim::shift_distance("ShiftRight", scalarValue)}),
                "int16_t, uint16_t, int32_t, uint32_t", int16_t, uint16_t, int32_t, uint32_t)

template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, const Mask& mask,
                int64_t repeatTime, const UnaryRepeatParams& repeatParams, bool roundEn) {
    static_assert(coopdraw::sim::one_of<T, int16_t, uint16_t, int32_t, uint32_t>,
                  "ShiftRight: T must be one of int16_t, uint16_t, int32_t, uint32_t");
    const auto lanes = coopdraw::sim::lanes_of_mask<isSetMask>("ShiftRight", mask, repeatTime,
                                                               coopdraw::sim::elements_per_repeat(sizeof(T)));
    const uint32_t distance = coopdraw::sim::shift_distance("ShiftRight", scalarValue);
    coopdraw::sim::scalar_repeated("ShiftRight", lanes, coopdraw::sim::ShiftedRight<T>{distance, roundEn}, dst, src,
                                   repeatParams);
}
#endif

#undef COOPDRAW_ARITHMETIC
#undef COOPDRAW_SCALAR

}  // namespace AscendC
