// Element-wise functions of one tensor.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/基础算术/{Abs,Exp,Ln,Reciprocal,Relu,Rsqrt,Sqrt}.md, 逻辑计算/Not.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

// The device approximates these; here the float result is the correctly rounded one but for rare ties.
struct Exponential {
    float operator()(float x) const { return static_cast<float>(std::exp(static_cast<double>(x))); }
};
struct NaturalLogarithm {
    float operator()(float x) const { return static_cast<float>(std::log(static_cast<double>(x))); }
};
struct SquareRoot {
    float operator()(float x) const { return std::sqrt(x); }
};
struct ReciprocalSquareRoot {
    float operator()(float x) const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
};
struct ReciprocalOf {
    float operator()(float x) const { return 1.0F / x; }
};
struct AbsoluteValue {
    float operator()(float x) const { return std::fabs(x); }
};
struct RectifiedLinear {
    template <typename T>
    T operator()(T x) const {
        return x > T{0} ? x : T{0};
    }
};
struct BitwiseNot {
    template <typename T>
    T operator()(T x) const {
        return static_cast<T>(~x);
    }
};

template <typename Operation, typename T>
void unary_counted(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                   int64_t count) {
    elementwise<false>(api, lanes_of_count(api, count, elements_per_repeat(sizeof(T))), Overlap::same_or_apart,
                       Operation{}, Operand<T>(dst), Operand<T>(src));
    reset_mask_registers();
}

template <typename Operation, bool isSetMask, typename T, typename Mask>
void unary_repeated(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                    const Mask& mask, int64_t repeats, const AscendC::UnaryRepeatParams& strides) {
    elementwise<false>(api, lanes_of_mask<isSetMask>(api, mask, repeats, elements_per_repeat(sizeof(T))),
                       Overlap::same_or_apart, Operation{}, Operand<T>(dst, strides.dstBlkStride, strides.dstRepStride),
                       Operand<T>(src, strides.srcBlkStride, strides.srcRepStride));
}

}  // namespace coopdraw::sim

namespace AscendC {

#define COOPDRAW_UNARY(Name, Operation, supported, ...)                                                             \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                                        \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const Mask& mask, int64_t repeatTime,           \
              const UnaryRepeatParams& repeatParams) {                                                              \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                \
        coopdraw::sim::unary_repeated<coopdraw::sim::Operation, isSetMask>(#Name, dst, src, mask, repeatTime,       \
                                                                           repeatParams);                           \
    }                                                                                                               \
    template <typename T>                                                                                           \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count) {                         \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                \
        coopdraw::sim::unary_counted<coopdraw::sim::Operation>(#Name, dst, src, count);                             \
    }

COOPDRAW_UNARY(Abs, AbsoluteValue, "half, float", half, float)
COOPDRAW_UNARY(Exp, Exponential, "half, float", half, float)
COOPDRAW_UNARY(Ln, NaturalLogarithm, "half, float", half, float)
COOPDRAW_UNARY(Reciprocal, ReciprocalOf, "half, float", half, float)
COOPDRAW_UNARY(Rsqrt, ReciprocalSquareRoot, "half, float", half, float)
COOPDRAW_UNARY(Sqrt, SquareRoot, "half, float", half, float)
COOPDRAW_UNARY(Relu, RectifiedLinear, "half, int32_t, float", half, int32_t, float)
COOPDRAW_UNARY(Not, BitwiseNot, "int16_t, uint16_t", int16_t, uint16_t)

#undef COOPDRAW_UNARY

}  // namespace AscendC
