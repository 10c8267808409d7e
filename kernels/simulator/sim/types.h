// Scalar types, positions, pipes and constants of the public API.
// asc-devkit:include/basic_api, impl/basic_api/common_types.h, impl/basic_api/utils/kernel_utils_constants.h
#pragma once

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "memory.h"
#include "platform.h"

using half = _Float16;
using float16_t = _Float16;

// Sixteen bits of a float; a float becomes one by rounding to nearest, ties to even.
struct bfloat16_t {
    uint16_t bits;

    bfloat16_t() = default;
    template <typename T>
        requires std::is_arithmetic_v<T> || std::is_same_v<T, half>
    bfloat16_t(T value) : bits(round(static_cast<float>(value))) {}
    explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
    bool operator==(const bfloat16_t&) const = default;

private:
    static uint16_t round(float value) {
        const auto word = std::bit_cast<uint32_t>(value);
        if ((word & 0x7fffffffU) > 0x7f800000U) {
            return static_cast<uint16_t>((word >> 16) | 0x40U);
        }
        return static_cast<uint16_t>((word + 0x7fffU + ((word >> 16) & 1U)) >> 16);
    }
};

// Four bits, two to a byte. A tensor of these counts elements, not bytes.
struct int4b_t {
    uint8_t storage;
};

enum pipe_t { PIPE_S = 0, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_ALL, PIPE_FIX = 10 };

enum event_t { EVENT_ID0 = 0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };

namespace AscendC {

using ::int4b_t;

// asc-devkit:impl/utils/sys_macros.h
constexpr int32_t MIX = 0;
constexpr int32_t AIC = 1;
constexpr int32_t AIV = 2;

enum class TPosition : uint8_t {
    GM,
    A1,
    A2,
    B1,
    B2,
    C1,
    C2,
    CO1,
    CO2,
    VECIN,
    VECOUT,
    VECCALC,
    LCM = VECCALC,
    SPM,
    SHM = SPM,
    TSCM,
    C2PIPE2GM,
    C2PIPE2LOCAL,
    MAX,
};
using QuePosition = TPosition;

enum class Hardware : uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF, MAX };

using TEventID = int8_t;
using TTagType = int32_t;
constexpr TEventID INVALID_TEVENTID = -1;
constexpr int32_t QUE_MAX_EVENT = 8;

// asc-devkit:impl/basic_api/kernel_event.h GetPhyType
constexpr Hardware GetPhyType(TPosition position) {
    switch (position) {
        case TPosition::GM: return Hardware::GM;
        case TPosition::A1:
        case TPosition::B1:
        case TPosition::SHM:
        case TPosition::TSCM: return Hardware::L1;
        case TPosition::A2: return Hardware::L0A;
        case TPosition::B2: return Hardware::L0B;
        case TPosition::CO1: return Hardware::L0C;
#if __NPU_ARCH__ == 2201
        case TPosition::C1: return Hardware::L1;
        case TPosition::C2: return Hardware::BIAS;
        case TPosition::CO2: return Hardware::GM;
        case TPosition::C2PIPE2GM: return Hardware::FIXBUF;
#else
        case TPosition::C1:
        case TPosition::CO2: return Hardware::UB;
        case TPosition::C2: return Hardware::L0C;
#endif
        default: return Hardware::UB;
    }
}

const int32_t DEFAULT_BLK_NUM = 8;
const int32_t DEFAULT_BLK_STRIDE = 1;
const uint8_t DEFAULT_REPEAT_STRIDE = 8;
const uint8_t HALF_DEFAULT_REPEAT_STRIDE = 4;
const uint64_t FULL_MASK = 0xffffffffffffffff;
const int32_t DEFAULT_C0_SIZE = 32;
const int32_t DEFAULT_BLOCK_SIZE = 256;
const int32_t MAX_REPEAT_TIMES = 255;
const int32_t BLOCK_CUBE = 16;
const uint16_t ONE_BLK_SIZE = 32;
const int32_t CUBE_MAX_SIZE = 256;
const int32_t ONE_REPEAT_BYTE_SIZE = 256;
const uint32_t ONE_BLK_HALF_NUM = 16;
const uint32_t ONE_BLK_FLOAT_NUM = 8;
const int32_t BYTE_PER_FRACTAL = 512;
#if __NPU_ARCH__ == 2201
const uint32_t TOTAL_UB_SIZE = 192 * 1024;
const uint32_t TMP_UB_OFFSET = 184 * 1024;
const uint32_t TOTAL_L1_SIZE = 512 * 1024;
const uint32_t TOTAL_L0C_SIZE = 128 * 1024;
#else
const uint32_t TOTAL_UB_SIZE = 256 * 1024;
const uint32_t TMP_UB_OFFSET = 248 * 1024;
const uint32_t TOTAL_L1_SIZE = 1024 * 1024;
const uint32_t TOTAL_L0C_SIZE = 256 * 1024;
#endif
const uint32_t TOTAL_L0A_SIZE = 64 * 1024;
const uint32_t TOTAL_L0B_SIZE = 64 * 1024;

template <typename T, typename U>
struct IsSameType : std::is_same<T, U> {};

}  // namespace AscendC

#if defined(__DAV_CUBE__)
constexpr int32_t g_coreType = AscendC::AIC;
#elif defined(__DAV_VEC__)
constexpr int32_t g_coreType = AscendC::AIV;
#else
constexpr int32_t g_coreType = AscendC::MIX;
#endif
#define ASCEND_IS_AIV constexpr(g_coreType == AscendC::AIV)
#define ASCEND_IS_AIC constexpr(g_coreType == AscendC::AIC)
#define ASCEND_IS_NOT_AIV constexpr(g_coreType != AscendC::AIV)
#define ASCEND_IS_NOT_AIC constexpr(g_coreType != AscendC::AIC)

namespace coopdraw::sim {

// Bytes that `count` elements take; the elements of an int4b_t tensor come in pairs.
template <typename T>
constexpr uint64_t bytes_of(uint64_t count) {
    return std::is_same_v<T, int4b_t> ? (count + 1) / 2 : count * sizeof(T);
}

constexpr Memory memory_of(AscendC::TPosition position) {
    return static_cast<Memory>(AscendC::GetPhyType(position));
}

}  // namespace coopdraw::sim
