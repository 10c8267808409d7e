// Element-wise functions of two tensors.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/基础算术/{Add,Sub,Mul,Div,Max,Min}.md,
// 逻辑计算/{And,Or}.md, 复合计算/{AddRelu,SubRelu}.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

// Integer results wrap around, computed in a type in which that is defined.
struct Sum {
    template <typename T>
    T operator()(T a, T b) const {
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
        } else {
            return a + b;
        }
    }
};
struct Difference {
    template <typename T>
    T operator()(T a, T b) const {
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
        } else {
            return a - b;
        }
    }
};
struct Product {
    template <typename T>
    T operator()(T a, T b) const {
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
        } else {
            return a * b;
        }
    }
};
struct Quotient {
    float operator()(float a, float b) const { return a / b; }
};
struct Larger {
    template <typename T>
    T operator()(T a, T b) const {
        return a < b ? b : a;
    }
};
struct Smaller {
    template <typename T>
    T operator()(T a, T b) const {
        return b < a ? b : a;
    }
};
struct BitwiseAnd {
    template <typename T>
    T operator()(T a, T b) const {
        return static_cast<T>(a & b);
    }
};
struct BitwiseOr {
    template <typename T>
    T operator()(T a, T b) const {
        return static_cast<T>(a | b);
    }
};
template <typename Inner>
struct ThenRelu {
    template <typename T>
    T operator()(T a, T b) const {
        const T value = Inner{}(a, b);
        return value > T{0} ? value : T{0};
    }
};

template <typename Operation, typename T>
void binary_counted(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src0,
                    const AscendC::LocalTensor<T>& src1, int64_t count) {
    elementwise<false>(api, lanes_of_count(api, count, elements_per_repeat(sizeof(T))), Overlap::same_or_apart,
                       Operation{}, Operand<T>(dst), Operand<T>(src0), Operand<T>(src1));
    reset_mask_registers();
}

template <typename Operation, bool accumulates, bool isSetMask, typename T, typename Mask>
void binary_repeated(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src0,
                     const AscendC::LocalTensor<T>& src1, const Mask& mask, int64_t repeats,
                     const AscendC::BinaryRepeatParams& strides) {
    // asc-devkit:docs/zh/api/SIMD-API/通用说明和约束.md names the operations and types that may accumulate.
    constexpr Overlap rule =
        accumulates && one_of<T, half, int32_t, float> ? Overlap::accumulates : Overlap::same_or_apart;
    elementwise<false>(api, lanes_of_mask<isSetMask>(api, mask, repeats, elements_per_repeat(sizeof(T))), rule,
                       Operation{}, Operand<T>(dst, strides.dstBlkStride, strides.dstRepStride),
                       Operand<T>(src0, strides.src0BlkStride, strides.src0RepStride),
                       Operand<T>(src1, strides.src1BlkStride, strides.src1RepStride));
}

}  // namespace coopdraw::sim

namespace AscendC {

#define COOPDRAW_BINARY_REPEATED(Name, Operation, accumulates, supported, ...)                                       \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                                         \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, const Mask& mask,   \
              int64_t repeatTime, const BinaryRepeatParams& repeatParams) {                                          \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                 \
        coopdraw::sim::binary_repeated<coopdraw::sim::Operation, accumulates, isSetMask>(#Name, dst, src0, src1,     \
                                                                                         mask, repeatTime,           \
                                                                                         repeatParams);              \
    }

#define COOPDRAW_BINARY(Name, Operation, accumulates, supported, ...)                                                \
    COOPDRAW_BINARY_REPEATED(Name, Operation, accumulates, supported, __VA_ARGS__)                                   \
    template <typename T>                                                                                            \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,                     \
              const int32_t& count) {                                                                                \
        static_assert(coopdraw::sim::one_of<T, __VA_ARGS__>, #Name ": T must be one of " supported);                 \
        coopdraw::sim::binary_counted<coopdraw::sim::Operation>(#Name, dst, src0, src1, count);                      \
    }

#if __NPU_ARCH__ == 2201
// asc-devkit:docs/.../逻辑计算/And.md: the count form takes 32-bit tensors, as twice as many 16-bit elements.
#define COOPDRAW_BITWISE(Name, Operation)                                                                            \
    COOPDRAW_BINARY_REPEATED(Name, Operation, false, "int16_t, uint16_t", int16_t, uint16_t)                         \
    template <typename T>                                                                                            \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,                     \
              const int32_t& count) {                                                                                \
        static_assert(coopdraw::sim::one_of<T, int16_t, uint16_t, int32_t, uint32_t>,                                \
                      #Name ": T must be one of int16_t, uint16_t (or a 32-bit integer with twice the count)");      \
        coopdraw::sim::binary_counted<coopdraw::sim::Operation>(                                                     \
            #Name, dst.template ReinterpretCast<uint16_t>(), src0.template ReinterpretCast<uint16_t>(),              \
            src1.template ReinterpretCast<uint16_t>(), count);                                                       \
    }
#else
#define COOPDRAW_BITWISE(Name, Operation) \
    COOPDRAW_BINARY(Name, Operation, false, "int16_t, uint16_t", int16_t, uint16_t)
#endif

COOPDRAW_BINARY(Add, Sum, true, "int16_t, half, int32_t, float", int16_t, half, int32_t, float)
COOPDRAW_BINARY(Sub, Difference, true, "int16_t, half, int32_t, float", int16_t, half, int32_t, float)
COOPDRAW_BINARY(Mul, Product, true, "int16_t, half, int32_t, float", int16_t, half, int32_t, float)
COOPDRAW_BINARY(Max, Larger, true, "int16_t, half, int32_t, float", int16_t, half, int32_t, float)
COOPDRAW_BINARY(Min, Smaller, true, "int16_t, half, int32_t, float", int16_t, half, int32_t, float)
COOPDRAW_BINARY(Div, Quotient, false, "half, float", half, float)
COOPDRAW_BINARY(AddRelu, ThenRelu<coopdraw::sim::Sum>, true, "int16_t, half, float", int16_t, half, float)
COOPDRAW_BINARY(SubRelu, ThenRelu<coopdraw::sim::Difference>, true, "int16_t, half, float", int16_t, half, float)
COOPDRAW_BITWISE(And, BitwiseAnd)
COOPDRAW_BITWISE(Or, BitwiseOr)

#undef COOPDRAW_BITWISE
#undef COOPDRAW_BINARY
#undef COOPDRAW_BINARY_REPEATED

}  // namespace AscendC
