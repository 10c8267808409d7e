// Casts: `type` is the pair, `mode` the RoundMode.
#include "vector_case.h"

using namespace AscendC;

template <typename D, typename S>
void cast(const VectorCase& p, Image& image) {
    const auto mode = static_cast<RoundMode>(p.mode);
    if (p.extra[0] != 0) {
        SetDeqScale(static_cast<half>(p.scalar));
    }
    if (p.form == 0) {
        Cast(image.dst<D>(), image.src0<S>(), mode, p.count);
    } else if (p.form == 1) {
        Cast(image.dst<D>(), image.src0<S>(), mode, p.mask[0], p.repeats, image.unary());
    } else {
        uint64_t bits[2] = {p.mask[0], p.mask[1]};
        Cast(image.dst<D>(), image.src0<S>(), mode, bits, p.repeats, image.unary());
    }
}

extern "C" __global__ __aicore__ void vector_cast(GM_ADDR in, GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA(p, tiling);
    Image image(p, in, out);
    switch (p.type) {
        case 0: return cast<float, half>(p, image);
        case 1: return cast<half, float>(p, image);
        case 2: return cast<int32_t, float>(p, image);
        case 3: return cast<float, int32_t>(p, image);
        case 4: return cast<int32_t, half>(p, image);
        case 5: return cast<half, int32_t>(p, image);
        case 6: return cast<int8_t, half>(p, image);
        case 7: return cast<uint8_t, half>(p, image);
        case 8: return cast<half, int8_t>(p, image);
        case 9: return cast<half, uint8_t>(p, image);
        case 10: return cast<half, int16_t>(p, image);
        case 11: return cast<int16_t, half>(p, image);
        case 12: return cast<int16_t, int32_t>(p, image);
        case 13: return cast<int4b_t, half>(p, image);
#if __NPU_ARCH__ == 2201
        case 14: return cast<bfloat16_t, float>(p, image);
        case 15: return cast<float, bfloat16_t>(p, image);
        case 16: return cast<int32_t, bfloat16_t>(p, image);
        case 17: return cast<float, float>(p, image);
        case 18: return cast<int64_t, float>(p, image);
        case 19: return cast<float, int64_t>(p, image);
        case 20: return cast<int64_t, int32_t>(p, image);
        case 21: return cast<int32_t, int64_t>(p, image);
        case 22: return cast<int16_t, float>(p, image);
        case 23: return cast<float, int16_t>(p, image);
        case 24: return cast<half, int4b_t>(p, image);
#endif
    }
}
