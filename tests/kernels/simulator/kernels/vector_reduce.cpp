// Reductions: `operation` is the function, `type` half (0) or float (1); extra[0] is the work tensor's offset in bytes,
// extra[1] the order or whether the index is wanted.
#include "vector_case.h"

using namespace AscendC;

template <typename T, typename Mask>
void per_repeat(const VectorCase& p, Image& image, const Mask& mask) {
    const auto dst = image.dst<T>();
    const auto src = image.src0<T>();
    const auto order = static_cast<ReduceOrder>(p.extra[1]);
    const auto d = p.dst_repeat, b = p.src0_block, r = p.src0_repeat;
    switch (p.operation) {
        case 0: return WholeReduceSum(dst, src, mask, p.repeats, d, b, r);
        case 1: return WholeReduceMax(dst, src, mask, p.repeats, d, b, r, order);
        case 2: return WholeReduceMin(dst, src, mask, p.repeats, d, b, r, order);
        case 3: return BlockReduceSum(dst, src, p.repeats, mask, d, b, r);
        case 4: return BlockReduceMax(dst, src, p.repeats, mask, d, b, r);
        case 5: return BlockReduceMin(dst, src, p.repeats, mask, d, b, r);
        case 6: return PairReduceSum(dst, src, p.repeats, mask, d, b, r);
        case 10: return ReduceRepeat<ReduceType::SUM>(dst, src, mask, p.repeats, d, b, r);
        case 11: return ReduceRepeat<ReduceType::MAX>(dst, src, mask, p.repeats, d, b, r, order);
        case 13: return ReduceDataBlock<ReduceType::SUM>(dst, src, mask, p.repeats, d, b, r);
        case 16: return ReducePairElem<ReduceType::SUM>(dst, src, mask, p.repeats, d, b, r);
    }
}

template <typename T>
void all(const VectorCase& p, Image& image) {
    const auto dst = image.dst<T>();
    const auto src = image.src0<T>();
    const auto work = image.at<T>(p.extra[0]);
    const uint64_t bits[2] = {p.mask[0], p.mask[1]};
    const bool index = p.extra[1] != 0;
    if (p.form == 0) {
        switch (p.operation) {
            case 20: return ReduceSum(dst, src, work, p.count);
            case 21: return ReduceMax(dst, src, work, p.count, index);
            case 22: return ReduceMin(dst, src, work, p.count, index);
        }
    } else {
        switch (p.operation) {
            case 20: return ReduceSum(dst, src, work, bits, p.repeats, p.src0_repeat);
            case 21: return ReduceMax(dst, src, work, bits, p.repeats, p.src0_repeat, index);
            case 22: return ReduceMin(dst, src, work, bits, p.repeats, p.src0_repeat, index);
        }
    }
}

#if __NPU_ARCH__ == 2201
// The results that stay in registers, stored beside the destination.
template <typename T>
void registers(const VectorCase& p, Image& image) {
    const auto dst = image.dst<T>();
    ReduceSum(dst, image.src0<T>(), image.at<T>(p.extra[0]), p.count);
    dst.SetValue(1, GetAccVal<T>());
    PipeBarrier<PIPE_ALL>();
    ReduceMax(dst[2], image.src0<T>(), image.at<T>(p.extra[0]), p.count);
    T value, position;
    GetReduceMaxMinCount(value, position);
    dst.SetValue(3, value);
    dst.SetValue(4, position);
}
#endif

template <typename T>
void run(const VectorCase& p, Image& image) {
    const uint64_t bits[2] = {p.mask[0], p.mask[1]};
    if (p.operation < 20) {
        p.form == 1 ? per_repeat<T>(p, image, static_cast<int32_t>(p.mask[0])) : per_repeat<T>(p, image, bits);
    } else if (p.operation < 30) {
        all<T>(p, image);
#if __NPU_ARCH__ == 2201
    } else {
        registers<T>(p, image);
#endif
    }
}

extern "C" __global__ __aicore__ void vector_reduce(GM_ADDR in, GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA(p, tiling);
    Image image(p, in, out);
    p.type == 0 ? run<half>(p, image) : run<float>(p, image);
}
