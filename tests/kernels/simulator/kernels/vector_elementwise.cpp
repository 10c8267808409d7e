// Element-wise instructions: `operation` is the function, `type` the element type.
#include "vector_case.h"

using namespace AscendC;

#define UNARY(number, Name) \
    case number: CALL_FORMS(T, Name, Name(image.dst<T>(), image.src0<T>(), p.count), image.dst<T>(), image.src0<T>())
#define BINARY(number, Name)                                                                                \
    case number:                                                                                            \
        CALL_FORMS(T, Name, Name(image.dst<T>(), image.src0<T>(), image.src1<T>(), p.count), image.dst<T>(), \
                   image.src0<T>(), image.src1<T>())
#define SCALAR(number, Name)                                                                                       \
    case number:                                                                                                   \
        CALL_FORMS(T, Name, Name(image.dst<T>(), image.src0<T>(), static_cast<T>(p.scalar), p.count), image.dst<T>(), \
                   image.src0<T>(), static_cast<T>(p.scalar))

template <typename T>
void floats(const VectorCase& p, Image& image) {
    if (p.operation < 20) {
        const auto repeat_parameters = image.unary();
        switch (p.operation) {
            UNARY(0, Abs)
            UNARY(1, Exp)
            UNARY(2, Ln)
            UNARY(3, Reciprocal)
            UNARY(4, Rsqrt)
            UNARY(5, Sqrt)
            SCALAR(6, LeakyRelu)
        }
    } else {
        const auto repeat_parameters = image.binary();
        switch (p.operation) {
            BINARY(20, Div)
            BINARY(21, FusedMulAdd)
            BINARY(22, MulAddRelu)
        }
    }
}

template <typename T>
void numbers(const VectorCase& p, Image& image) {
    if (p.operation < 50) {
        const auto repeat_parameters = image.unary();
        switch (p.operation) {
            SCALAR(40, Adds)
            SCALAR(41, Muls)
            SCALAR(42, Maxs)
            SCALAR(43, Mins)
        }
    } else {
        const auto repeat_parameters = image.binary();
        switch (p.operation) {
            BINARY(50, Add)
            BINARY(51, Sub)
            BINARY(52, Mul)
            BINARY(53, Max)
            BINARY(54, Min)
        }
    }
}

template <typename T>
void words(const VectorCase& p, Image& image) {
    if (p.operation < 70) {
        const auto repeat_parameters = image.unary();
        switch (p.operation) {
            UNARY(60, Not)
#if __NPU_ARCH__ == 2201
            SCALAR(61, ShiftLeft)
            SCALAR(62, ShiftRight)
#endif
        }
    } else {
        const auto repeat_parameters = image.binary();
        switch (p.operation) {
            BINARY(70, And)
            BINARY(71, Or)
        }
    }
}

#if __NPU_ARCH__ == 2201
template <typename T>
void shifts(const VectorCase& p, Image& image) {
    const auto repeat_parameters = image.unary();
    switch (p.operation) {
        SCALAR(61, ShiftLeft)
        SCALAR(62, ShiftRight)
    }
}

#endif

// Products onto a wider destination: 80 Axpy, 81 MulAddDst.
template <typename D, typename S>
void onto(const VectorCase& p, Image& image) {
    uint64_t bits[2] = {p.mask[0], p.mask[1]};
    const auto scalar = static_cast<S>(p.scalar);
    if (p.operation == 80) {
        if (p.form == 0) {
            Axpy(image.dst<D>(), image.src0<S>(), scalar, p.count);
        } else {
            Axpy(image.dst<D>(), image.src0<S>(), scalar, bits, p.repeats, image.unary());
        }
    } else {
        if (p.form == 0) {
            MulAddDst(image.dst<D>(), image.src0<S>(), image.src1<S>(), p.count);
        } else {
            MulAddDst(image.dst<D>(), image.src0<S>(), image.src1<S>(), bits, p.repeats, image.binary());
        }
    }
}

template <typename T>
void relus(const VectorCase& p, Image& image) {
    if (p.operation == 90) {
        const auto repeat_parameters = image.unary();
        CALL_FORMS(T, Relu, Relu(image.dst<T>(), image.src0<T>(), p.count), image.dst<T>(), image.src0<T>())
    }
}

template <typename T>
void sums(const VectorCase& p, Image& image) {
    const auto repeat_parameters = image.binary();
    switch (p.operation) {
        BINARY(91, AddRelu)
        BINARY(92, SubRelu)
    }
}

// Two instructions, the second with the mask registers as the first left them.
void masks_that_stay(const VectorCase& p, Image& image) {
    const auto dst = image.dst<float>();
    const auto src = image.src0<float>();
    if (p.form == 0) {
        Adds(dst, src, 1.0f, p.count);  // a count form leaves normal mode and all elements
    } else {
        Adds(dst, src, 1.0f, p.mask[0], 1, image.unary());
    }
    PipeBarrier<PIPE_V>();
    Adds<float, false>(dst, dst, 1.0f, MASK_PLACEHOLDER, 1, image.unary());
}

extern "C" __global__ __aicore__ void vector_elementwise(GM_ADDR in, GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA(p, tiling);
    Image image(p, in, out);
    if (TILING_KEY_IS(0)) {
        p.type == 0 ? floats<half>(p, image) : floats<float>(p, image);
    } else if (TILING_KEY_IS(1)) {
        switch (p.type) {
            case 0: return numbers<half>(p, image);
            case 1: return numbers<float>(p, image);
            case 2: return numbers<int16_t>(p, image);
            default: return numbers<int32_t>(p, image);
        }
    } else if (TILING_KEY_IS(2)) {
        switch (p.type) {
            case 2: return words<int16_t>(p, image);
            case 4: return words<uint16_t>(p, image);
#if __NPU_ARCH__ == 2201
            case 3: return shifts<int32_t>(p, image);
            default: return shifts<uint32_t>(p, image);
#endif
        }
    } else if (TILING_KEY_IS(3)) {
        switch (p.type) {
            case 0: return onto<half, half>(p, image);
            case 1: return onto<float, float>(p, image);
            default: return onto<float, half>(p, image);
        }
    } else if (TILING_KEY_IS(4)) {
        switch (p.type) {
            case 0: return relus<half>(p, image), sums<half>(p, image);
            case 1: return relus<float>(p, image), sums<float>(p, image);
            case 2: return sums<int16_t>(p, image);
            default: return relus<int32_t>(p, image);
        }
    } else {
        masks_that_stay(p, image);
    }
}
