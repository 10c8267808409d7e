// High-level functions. extra[0] is the work tensor's offset in bytes.
#include "vector_case.h"

using namespace AscendC;

template <typename T>
void run(const VectorCase& p, Image& image) {
    const auto dst = image.dst<T>();
    const auto src = image.src0<T>();
    auto work = image.at<uint8_t>(p.extra[0]);
    const auto count = static_cast<uint32_t>(p.count);
    const uint32_t wide[2] = {static_cast<uint32_t>(p.extra[1]), static_cast<uint32_t>(p.extra[2])};
    switch (p.operation) {
        case 0: return Sigmoid(dst, src, work, count);
        case 1: return Silu(dst, src, count);
        case 2: return Swish(dst, src, count, static_cast<T>(p.scalar));
        case 3: return Gelu(dst, src, work, count);
        case 4: return FasterGelu(dst, src, count);
        case 5: return Tanh(dst, src, count);
        case 6: return Erf(dst, src, work, count);
        case 10: {
            const uint32_t column[2] = {wide[0], 1};
            return Broadcast<T, 2, 1>(dst, src, wide, column, work);
        }
        case 11: {
            const uint32_t row[2] = {1, wide[1]};
            return BroadCast<T, 2, 0>(dst, src, wide, row);
        }
        case 12: return Sum(dst, src, work, SumParams{wide[0], wide[1], count});
        case 13: return Mean<T, float>(dst, src, work, MeanParams{wide[0], wide[1], count});
    }
}

extern "C" __global__ __aicore__ void vector_high_level(GM_ADDR in, GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA(p, tiling);
    Image image(p, in, out);
    p.type == 0 ? run<half>(p, image) : run<float>(p, image);
}
