// Rounding in every RoundMode: to integers, to the values of half and bfloat16, and from wide integers to float.
// asc-devkit:docs/zh/api/SIMD-API/基础API/数据结构/precision_conversion.md 表1
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

using AscendC::RoundMode;

constexpr bool to_nearest_even(RoundMode mode) { return mode == RoundMode::CAST_NONE || mode == RoundMode::CAST_RINT; }

// A whole number. CAST_ROUND takes ties away from zero.
template <RoundMode mode, typename T>
T rounded_to_integer(T x) {
    if constexpr (mode == RoundMode::CAST_FLOOR) {
        return std::floor(x);
    } else if constexpr (mode == RoundMode::CAST_CEIL) {
        return std::ceil(x);
    } else if constexpr (mode == RoundMode::CAST_TRUNC) {
        return std::trunc(x);
    } else if constexpr (mode == RoundMode::CAST_ROUND) {
        const T whole = std::trunc(x);
        return std::fabs(x - whole) >= T(0.5) ? whole + std::copysign(T(1), x) : whole;
    } else {
        static_assert(to_nearest_even(mode));
        return std::rint(x);
    }
}

// The magnitude `word` (sign and bits of a float) with its lowest `dropped` bits rounded off.
template <RoundMode mode>
uint32_t without_low_bits(uint32_t word, uint32_t dropped) {
    const uint32_t step = uint32_t{1} << dropped;
    const uint32_t rest = word & (step - 1);
    const uint32_t kept = word - rest;
    const bool negative = (word >> 31) != 0;
    if constexpr (mode == RoundMode::CAST_FLOOR) {
        return negative && rest != 0 ? kept + step : kept;
    } else if constexpr (mode == RoundMode::CAST_CEIL) {
        return !negative && rest != 0 ? kept + step : kept;
    } else if constexpr (mode == RoundMode::CAST_TRUNC) {
        return kept;
    } else if constexpr (mode == RoundMode::CAST_ROUND) {
        return rest >= step / 2 ? kept + step : kept;
    } else if constexpr (mode == RoundMode::CAST_ODD) {
        return rest != 0 ? kept | step : kept;
    } else {
        static_assert(to_nearest_even(mode));
        return rest > step / 2 || (rest == step / 2 && (kept & step) != 0) ? kept + step : kept;
    }
}

// A multiple of half's smallest step for a value whose half is subnormal.
template <RoundMode mode>
float rounded_to_half_step(float x) {
    constexpr float STEPS = 0x1p24F;
    const float scaled = x * STEPS;
    if constexpr (mode == RoundMode::CAST_ODD) {
        const float whole = std::trunc(scaled);
        const bool odd = (static_cast<int32_t>(whole) & 1) != 0;
        return (scaled != whole && !odd ? whole + std::copysign(1.0F, x) : whole) / STEPS;
    } else {
        return rounded_to_integer<mode>(scaled) / STEPS;
    }
}

// The half, as a float, for a magnitude that rounded to more than the largest one.
template <RoundMode mode>
float beyond_half(bool negative) {
    constexpr float LARGEST = 65504.0F;
    constexpr bool towards_zero = mode == RoundMode::CAST_TRUNC || mode == RoundMode::CAST_ODD;
    const bool inwards = towards_zero || (mode == RoundMode::CAST_FLOOR && !negative) ||
                         (mode == RoundMode::CAST_CEIL && negative);
    const float magnitude = inwards ? LARGEST : std::numeric_limits<float>::infinity();
    return negative ? -magnitude : magnitude;
}

// A float that half represents exactly, so that the conversion afterwards rounds nothing. Too large values become
// infinite, as they do when CTRL[48] is set, which frameworks do; the register's default saturates them.
template <RoundMode mode>
float rounded_to_half(float x) {
    const auto word = std::bit_cast<uint32_t>(x);
    if ((word & 0x7f800000U) == 0x7f800000U) {
        return x;
    }
    if (std::fabs(x) < 0x1p-14F) {
        return rounded_to_half_step<mode>(x);
    }
    const float result = std::bit_cast<float>(without_low_bits<mode>(word, 13));
    return std::fabs(result) > 65504.0F ? beyond_half<mode>(x < 0) : result;
}

template <RoundMode mode>
bfloat16_t rounded_to_bfloat16(float x) {
    bfloat16_t result;
    const auto word = std::bit_cast<uint32_t>(x);
    const bool special = (word & 0x7f800000U) == 0x7f800000U;
    const uint32_t quiet = (word & 0x007fffffU) != 0 ? 0x00400000U : 0U;
    result.bits = static_cast<uint16_t>((special ? word | quiet : without_low_bits<mode>(word, 16)) >> 16);
    return result;
}

// A float from an integer of 32 or 64 bits; long double holds both exactly.
template <RoundMode mode, typename T>
float rounded_to_float(T integer) {
    const auto nearest = static_cast<float>(integer);
    const auto exact = static_cast<long double>(integer);
    const auto chosen = static_cast<long double>(nearest);
    if constexpr (to_nearest_even(mode)) {
        return nearest;
    } else {
        if (exact == chosen) {
            return nearest;
        }
        constexpr float INFINITE = std::numeric_limits<float>::infinity();
        const float below = chosen < exact ? nearest : std::nextafter(nearest, -INFINITE);
        const float above = chosen > exact ? nearest : std::nextafter(nearest, INFINITE);
        if constexpr (mode == RoundMode::CAST_FLOOR) {
            return below;
        } else if constexpr (mode == RoundMode::CAST_CEIL) {
            return above;
        } else if constexpr (mode == RoundMode::CAST_TRUNC) {
            return integer < 0 ? above : below;
        } else {
            const bool tie = exact - below == above - exact;
            return !tie ? nearest : (integer < 0 ? below : above);
        }
    }
}

// Integers saturate; NaN becomes 0. asc-devkit: precision_conversion.md 溢出默认按照饱和模式处理
template <typename T, typename F>
T saturated(F whole) {
    constexpr auto LOWEST = std::numeric_limits<T>::lowest();
    constexpr auto HIGHEST = std::numeric_limits<T>::max();
    if constexpr (std::is_floating_point_v<F>) {
        // The highest value may not be a float; its successor, a power of two, always is.
        constexpr F BEYOND = static_cast<F>(HIGHEST / 2 + 1) * 2;
        if (!(whole >= static_cast<F>(LOWEST))) {
            return whole < static_cast<F>(LOWEST) ? LOWEST : T{0};
        }
        return whole >= BEYOND ? HIGHEST : static_cast<T>(whole);
    } else {
        return static_cast<T>(std::clamp<F>(whole, LOWEST, HIGHEST));
    }
}

}  // namespace coopdraw::sim
