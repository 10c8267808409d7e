// High-level element-wise functions. The device builds them from several instructions and approximations; here the
// formula is computed in double and rounded once.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/激活函数/{Sigmoid,Silu,Swish,Gelu}接口/*.md, 高阶API/数学计算/{Tanh,Erf}接口/*.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

inline double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct SigmoidOf {
    float operator()(float x) const { return static_cast<float>(logistic(x)); }
};
struct SwishOf {
    float beta = 1;
    float operator()(float x) const { return static_cast<float>(x * logistic(double{x} * beta)); }
};
// asc-devkit: Gelu.md gives the tanh form.
struct GeluOf {
    float operator()(float x) const {
        const double inner = 1.5957691216057308 * (x + 0.044715 * double{x} * x * x);  // 2 * sqrt(2 / pi)
        return static_cast<float>(x * logistic(inner));
    }
};
// asc-devkit: FasterGelu.md
struct FasterGeluOf {
    float operator()(float x) const { return static_cast<float>(x * logistic(1.702 * x)); }
};
struct HyperbolicTangent {
    float operator()(float x) const { return static_cast<float>(std::tanh(double{x})); }
};
struct ErrorFunction {
    float operator()(float x) const { return static_cast<float>(std::erf(double{x})); }
};

// Source first, destination last, with the barriers of the steps between; `work` is used up.
template <typename Operation, typename T>
void activation(const char* api, Operation operation, const AscendC::LocalTensor<T>& dst,
                const AscendC::LocalTensor<T>& src, const AscendC::LocalTensor<uint8_t>* work, int64_t count,
                Overlap rule) {
    static_assert(one_of<T, half, float>, "high-level activations take half and float tensors");
    const Lanes lanes = lanes_of_count(api, count, elements_per_repeat(sizeof(T)));
    if (lanes.empty()) {
        return;
    }
    const Operand<T> out(dst), source(src);
    check_overlap(api, lanes, out.walk, source.walk, rule);
    Instruction first(api, Pipe::V);
    read_operand(first, lanes, source.walk);
    if (work != nullptr) {
        first.scratches(work->span(0, work->GetSize()));
    }
    barrier(Pipe::V);
    Instruction last(api, Pipe::V);
    write_operand(last, lanes, out.walk);
    last.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    map(lanes.active(), operation, dst.raw(), static_cast<const T*>(src.raw()));
    reset_mask_registers();
}

}  // namespace coopdraw::sim

namespace AscendC {

// With and without a work tensor, of `calCount` elements or the whole source.
#define COOPDRAW_HIGH_LEVEL(Name, Operation, rule)                                                                   \
    template <typename T, bool isReuseSource = false>                                                                \
    void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,                                      \
              const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount) {                                \
        coopdraw::sim::activation(#Name, coopdraw::sim::Operation{}, dstTensor, srcTensor, &sharedTmpBuffer,         \
                                  calCount, coopdraw::sim::Overlap::rule);                                           \
    }                                                                                                                \
    template <typename T, bool isReuseSource = false>                                                                \
    void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor, const uint32_t calCount) {           \
        coopdraw::sim::activation(#Name, coopdraw::sim::Operation{}, dstTensor, srcTensor, nullptr, calCount,        \
                                  coopdraw::sim::Overlap::rule);                                                     \
    }                                                                                                                \
    template <typename T, bool isReuseSource = false>                                                                \
    void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,                                      \
              const LocalTensor<uint8_t>& sharedTmpBuffer) {                                                         \
        Name<T, isReuseSource>(dstTensor, srcTensor, sharedTmpBuffer, srcTensor.GetSize());                          \
    }                                                                                                                \
    template <typename T, bool isReuseSource = false>                                                                \
    void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor) {                                    \
        Name<T, isReuseSource>(dstTensor, srcTensor, srcTensor.GetSize());                                           \
    }

COOPDRAW_HIGH_LEVEL(Sigmoid, SigmoidOf, apart)
COOPDRAW_HIGH_LEVEL(Tanh, HyperbolicTangent, apart)
COOPDRAW_HIGH_LEVEL(Erf, ErrorFunction, apart)

#undef COOPDRAW_HIGH_LEVEL

#define COOPDRAW_GELU(Name, Operation)                                                                               \
    template <typename T, bool highPrecision = false, bool highPerformance = false>                                  \
    void Name(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,                                        \
              const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t dataSize) {                                \
        coopdraw::sim::activation(#Name, coopdraw::sim::Operation{}, dstLocal, srcLocal, &sharedTmpBuffer, dataSize, \
                                  coopdraw::sim::Overlap::same_or_apart);                                            \
    }                                                                                                                \
    template <typename T, bool highPrecision = false, bool highPerformance = false>                                  \
    void Name(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const uint32_t dataSize) {             \
        coopdraw::sim::activation(#Name, coopdraw::sim::Operation{}, dstLocal, srcLocal, nullptr, dataSize,          \
                                  coopdraw::sim::Overlap::same_or_apart);                                            \
    }

COOPDRAW_GELU(Gelu, GeluOf)
COOPDRAW_GELU(FasterGelu, FasterGeluOf)

#undef COOPDRAW_GELU

template <typename T, bool isReuseSource = false>
void Silu(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, uint32_t dataSize) {
    coopdraw::sim::activation("Silu", coopdraw::sim::SwishOf{}, dstLocal, srcLocal, nullptr, dataSize,
                              coopdraw::sim::Overlap::apart);
}

template <typename T, bool isReuseSource = false>
void Swish(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, uint32_t dataSize, const T scalarValue) {
    coopdraw::sim::activation("Swish", coopdraw::sim::SwishOf{static_cast<float>(scalarValue)}, dstLocal, srcLocal,
                              nullptr, dataSize, coopdraw::sim::Overlap::apart);
}

}  // namespace AscendC
