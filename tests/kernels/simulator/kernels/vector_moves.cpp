// Filling, comparing, selecting, gathering, transposing and copying. `operation` is the function.
#include "vector_case.h"

using namespace AscendC;

template <typename T>
void fill(const VectorCase& p, Image& image) {
    const auto value = static_cast<T>(p.scalar);
    uint64_t bits[2] = {p.mask[0], p.mask[1]};
    auto dst = image.dst<T>();
    if (p.operation == 0) {
        p.form == 0 ? Duplicate(dst, value, p.count)
                    : Duplicate(dst, value, bits, p.repeats, p.dst_block, p.dst_repeat);
    } else if (p.operation == 1) {
        Brcb(dst, image.src0<T>(), p.repeats, {p.dst_block, p.dst_repeat});
#if __NPU_ARCH__ == 2201
    } else if (p.operation == 2) {
        p.form == 0 ? CreateVecIndex(dst, value, static_cast<uint32_t>(p.count))
                    : CreateVecIndex(dst, value, bits, p.repeats, p.dst_block, p.dst_repeat);
    } else if (p.operation == 3) {
        Copy(dst, image.src0<T>(), bits, p.repeats, {p.dst_block, p.src0_block, p.dst_repeat, p.src0_repeat});
#endif
    }
}

template <typename T>
void compare(const VectorCase& p, Image& image) {
    const auto mode = static_cast<CMPMODE>(p.mode);
    const auto dst = image.dst<uint8_t>();
    const auto left = image.src0<T>();
    const auto scalar = static_cast<T>(p.scalar);
    switch (p.operation) {
        case 10: return Compare(dst, left, image.src1<T>(), mode, static_cast<uint32_t>(p.count));
        case 11: return Compare(dst, left, image.src1<T>(), mode, p.mask[0], p.repeats, image.binary());
        case 12: return CompareScalar(dst, left, scalar, mode, static_cast<uint32_t>(p.count));
        case 13: return Compares(dst, left, scalar, mode, p.mask[0], p.repeats, image.unary());
    }
    if constexpr (!std::is_same_v<T, int32_t>) {
        Compare(left, image.src1<T>(), mode, p.mask[0], image.binary());
        GetCmpMask(dst);
    }
}

template <typename T>
void select(const VectorCase& p, Image& image) {
    const auto mode = static_cast<SELMODE>(p.mode);
    const auto dst = image.dst<T>();
    const auto bits = image.at<uint8_t>(p.extra[0]);
    const auto a = image.src0<T>();
    const auto b = image.src1<T>();
    const auto scalar = static_cast<T>(p.scalar);
    uint64_t mask[2] = {p.mask[0], p.mask[1]};
    switch (p.operation) {
        case 20: return Select(dst, bits, a, b, mode, static_cast<uint32_t>(p.count));
        case 21: return Select(dst, bits, a, b, mode, mask, p.repeats, image.binary());
        case 22: return Select(dst, bits, a, scalar, mode, static_cast<uint32_t>(p.count));
        case 23: return Select(dst, bits, a, scalar, mode, mask, p.repeats, image.binary());
        case 24:  // the bits in the compare register, the mask in the mask registers
            SetCmpMask(bits);
            PipeBarrier<PIPE_V>();
            SetVectorMask<T>(p.mask[1], p.mask[0]);
            return Select<T, SELMODE::VSEL_CMPMASK_SPR>(dst, a, b, p.repeats, image.binary());
    }
}

template <typename T, typename Pattern>
void gather(const VectorCase& p, Image& image) {
    const auto dst = image.dst<T>();
    const auto src = image.src0<T>();
    uint64_t mask[2] = {p.mask[0], p.mask[1]};
    const auto offsets = image.src1<uint32_t>();
    uint64_t kept = 0;
    const GatherMaskParams parameters(p.src0_block, p.repeats, p.src0_repeat, p.src1_repeat);
    switch (p.operation) {
        case 30: return Gather(dst, src, offsets, static_cast<uint32_t>(p.extra[0]), static_cast<uint32_t>(p.count));
        case 31: return Gather(dst, src, offsets, static_cast<uint32_t>(p.extra[0]), mask, p.repeats, p.dst_repeat);
        case 32:
            GatherMask(dst, src, static_cast<uint8_t>(p.mode), p.extra[1] != 0, static_cast<uint32_t>(p.mask[0]),
                       parameters, kept);
            break;
        case 33:
            GatherMask(dst, src, image.src1<Pattern>(), p.extra[1] != 0, static_cast<uint32_t>(p.mask[0]), parameters,
                       kept);
            break;
#if __NPU_ARCH__ != 2201
        case 35:
            return Scatter(dst, src.template ReinterpretCast<T>(), offsets, static_cast<uint32_t>(p.extra[0]),
                           static_cast<uint32_t>(p.count));
#endif
    }
    PipeBarrier<PIPE_ALL>();
    image.at<int32_t>(p.extra[2]).SetValue(0, static_cast<int32_t>(kept));
}

template <typename T>
void transpose(const VectorCase& p, Image& image) {
    if (p.operation == 40) {
        uint64_t to[16], from[16];
        for (int i = 0; i < 16; ++i) {
            to[i] = image.at<T>(p.dst + i * 32 * p.dst_block).GetPhyAddr();
            from[i] = image.at<T>(p.src0 + i * 32 * p.src0_block).GetPhyAddr();
        }
        TransDataTo5HD<T>(
            to, from, TransDataTo5HDParams(p.extra[0] != 0, p.extra[1] != 0, p.repeats, p.dst_repeat, p.src0_repeat));
    } else if (p.operation == 42) {
        const TransposeParamsExt shape(p.extra[0], p.extra[1], p.extra[2], p.extra[3],
                                       static_cast<TransposeType>(p.mode));
        Transpose(image.dst<T>(), image.src0<T>(), image.src1<uint8_t>(), shape);
    } else if constexpr (sizeof(T) == 2) {
        Transpose(image.dst<T>(), image.src0<T>());
    }
}

extern "C" __global__ __aicore__ void vector_moves(GM_ADDR in, GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA(p, tiling);
    Image image(p, in, out);
    if (p.operation < 10) {
        switch (p.type) {
            case 0: return fill<half>(p, image);
            case 1: return fill<float>(p, image);
            case 2: return fill<int16_t>(p, image);
            default: return fill<int32_t>(p, image);
        }
    } else if (p.operation < 20) {
        switch (p.type) {
            case 0: return compare<half>(p, image);
            case 1: return compare<float>(p, image);
#if __NPU_ARCH__ == 2201
            default: return compare<int32_t>(p, image);
#endif
        }
    } else if (p.operation < 30) {
        p.type == 0 ? select<half>(p, image) : select<float>(p, image);
    } else if (p.operation == 34) {
#if __NPU_ARCH__ == 2201
        Gatherb(image.dst<uint16_t>(), image.src0<uint16_t>(), image.src1<uint32_t>(), p.repeats,
                {p.dst_block, p.dst_repeat});
#endif
    } else if (p.operation < 40) {
        p.type == 0 ? gather<half, uint16_t>(p, image) : gather<float, uint32_t>(p, image);
    } else {
        switch (p.type) {
            case 0: return transpose<half>(p, image);
            case 1: return transpose<float>(p, image);
            default: return transpose<int8_t>(p, image);
        }
    }
}
