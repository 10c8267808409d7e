// Cast between element types, and the scale that its int32_t to half conversion uses.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/类型转换/Cast.md, 类型转换辅助配置接口/SetDeqScale.md
#pragma once

#include "vector_rounding.h"

namespace coopdraw::sim {

struct DequantisationScale {
    bool set = false;
    half value{};
};

// Bits of RoundMode values. 310P follows asc-devkit:impl/basic_api/dav_m200/kernel_operator_vec_vconv_impl.h where the
// page and it differ (float to int32_t, which the page gives as float to int64_t).
enum Modes : uint32_t {
    NO_CAST = 0,               // no such instruction
    COMPILES_ONLY = 1U << 31,  // the public implementation compiles it and refuses it when it runs
    MODE_NONE = 1U << 0,
    MODES_5 = 0x3eU,           // RINT, FLOOR, CEIL, ROUND, TRUNC
    MODES_6 = MODES_5 | MODE_NONE,
    MODE_RINT = 1U << 1,
    MODE_ODD = 1U << 6,
    MODES_ANY = 0x7fU,
};

template <typename S, typename D>
constexpr uint32_t cast_modes() {
    constexpr auto is = []<typename A, typename B>() { return std::is_same_v<S, A> && std::is_same_v<D, B>; };
    constexpr bool a2 = __NPU_ARCH__ == 2201;
    if constexpr (is.template operator()<int8_t, half>() || is.template operator()<uint8_t, half>() ||
                  is.template operator()<half, float>() || is.template operator()<int32_t, int16_t>()) {
        return MODE_NONE;
    } else if constexpr (is.template operator()<half, int8_t>() || is.template operator()<half, uint8_t>()) {
        return a2 ? MODES_6 : MODES_6 & ~MODE_RINT;
    } else if constexpr (is.template operator()<half, int32_t>() || is.template operator()<float, int32_t>()) {
        return MODES_5;
    } else if constexpr (is.template operator()<int32_t, half>()) {
        return MODES_ANY;
    } else if constexpr (is.template operator()<int16_t, half>() || is.template operator()<int32_t, float>()) {
        return a2 ? MODES_6 : MODE_NONE;
    } else if constexpr (is.template operator()<half, int16_t>()) {
        return a2 ? MODES_5 : MODE_RINT;
    } else if constexpr (is.template operator()<half, int4b_t>()) {
        return a2 ? MODES_6 : MODE_NONE;
    } else if constexpr (is.template operator()<float, half>()) {
        return a2 ? MODES_6 | MODE_ODD : MODE_NONE | MODE_ODD;
    } else if constexpr (is.template operator()<int16_t, float>() || is.template operator()<int32_t, int64_t>() ||
                         is.template operator()<int64_t, int32_t>()) {
        return a2 ? MODE_NONE : COMPILES_ONLY;
    } else if constexpr (is.template operator()<float, int16_t>() || is.template operator()<float, float>() ||
                         is.template operator()<float, int64_t>() || is.template operator()<int64_t, float>()) {
        return a2 ? MODES_5 : COMPILES_ONLY;
    } else if constexpr (is.template operator()<int16_t, int8_t>() || is.template operator()<int16_t, uint8_t>()) {
        return COMPILES_ONLY;
    } else if constexpr (a2 && is.template operator()<int4b_t, half>()) {
        return MODE_NONE;
    } else if constexpr (a2 && is.template operator()<bfloat16_t, float>()) {
        return MODE_NONE;
    } else if constexpr (a2 && (is.template operator()<bfloat16_t, int32_t>() ||
                                is.template operator()<float, bfloat16_t>())) {
        return MODES_5;
    } else {
        return NO_CAST;
    }
}

// One element, S to D. Half operands come and go as float (see vector_map.h).
template <typename S, typename D, RoundMode mode>
struct Conversion {
    float scale = 1;  // of int32_t to half

    auto operator()(Computed<S> x) const {
        if constexpr (std::is_same_v<S, bfloat16_t> && std::is_same_v<D, float>) {
            return static_cast<float>(x);
        } else if constexpr (std::is_same_v<S, bfloat16_t>) {
            return Conversion<float, D, mode>{}(static_cast<float>(x));
        } else if constexpr (std::is_same_v<S, int32_t> && std::is_same_v<D, half>) {
            return static_cast<float>(static_cast<half>(static_cast<double>(x) * static_cast<double>(scale)));
        } else if constexpr (std::is_same_v<D, half>) {
            return rounded_to_half<mode>(static_cast<float>(x));
        } else if constexpr (std::is_same_v<D, bfloat16_t>) {
            return rounded_to_bfloat16<mode>(x);
        } else if constexpr (std::is_same_v<D, float> && std::is_same_v<S, float>) {
            return rounded_to_integer<mode>(x);
        } else if constexpr (std::is_same_v<D, float> && std::is_integral_v<S>) {
            return rounded_to_float<mode>(x);
        } else if constexpr (std::is_same_v<D, float>) {
            return static_cast<float>(x);
        } else if constexpr (std::is_integral_v<S>) {
            return saturated<D>(static_cast<int64_t>(x));
        } else {
            return saturated<D>(rounded_to_integer<mode>(static_cast<float>(x)));
        }
    }
};

// Runs of halves that are rounded to nearest even need no rounding of their own: vector_map.h does it.
template <typename S, typename D, RoundMode mode>
void convert_run(size_t elements, [[maybe_unused]] float scale, const S* from, D* to) {
    if constexpr (std::is_same_v<D, half> && to_nearest_even(mode) && !std::is_same_v<S, int32_t>) {
        map(elements, [](auto x) { return static_cast<float>(x); }, to, from);
    } else {
        map(elements, Conversion<S, D, mode>{scale}, to, from);
    }
}

// Four-bit elements, the low half of a byte first.
template <RoundMode mode>
void convert_run(size_t elements, float, const half* from, int4b_t* to) {
    for (size_t i = 0; i < elements; ++i) {
        const float whole = rounded_to_integer<mode>(static_cast<float>(from[i]));
        const auto bits = static_cast<uint8_t>(static_cast<int>(std::clamp(whole, -8.0F, 7.0F)) & 0xf);
        uint8_t& byte = to[i / 2].storage;
        byte =
            i % 2 == 0 ? static_cast<uint8_t>((byte & 0xf0U) | bits) : static_cast<uint8_t>((byte & 0x0fU) | bits << 4);
    }
}
inline void convert_run(size_t elements, const int4b_t* from, half* to) {
    for (size_t i = 0; i < elements; ++i) {
        const int bits = from[i / 2].storage >> (i % 2 * 4) & 0xf;
        to[i] = static_cast<half>(bits >= 8 ? bits - 16 : bits);
    }
}

template <typename S, typename D, RoundMode mode>
void cast_run(size_t elements, float scale, const S* from, D* to) {
    if constexpr (std::is_same_v<D, int4b_t>) {
        convert_run<mode>(elements, scale, from, to);
    } else if constexpr (std::is_same_v<S, int4b_t>) {
        convert_run(elements, from, to);
    } else {
        convert_run<S, D, mode>(elements, scale, from, to);
    }
}

template <typename S, typename D>
using CastRun = void (*)(size_t, float, const S*, D*);

// The loop for a mode, or a fault when this pair of types does not have it.
template <typename S, typename D>
CastRun<S, D> cast_run_of(const char* api, RoundMode mode) {
    constexpr uint32_t modes = cast_modes<S, D>();
    const auto bit = static_cast<uint32_t>(mode);
    if (bit > 6 || (modes >> bit & 1U) == 0) {
        fail(Kind::argument, "%s: RoundMode %u is not documented for these types on this SoC (modes 0x%02x are)", api,
             bit, modes & 0x7fU);
    }
    CastRun<S, D> run = nullptr;
    const auto choose = [&]<RoundMode candidate>() {
        if constexpr ((modes >> static_cast<uint32_t>(candidate) & 1U) != 0) {
            constexpr RoundMode effective =
                std::is_same_v<S, int32_t> && std::is_same_v<D, half> ? RoundMode::CAST_RINT : candidate;
            if (mode == candidate) {
                run = cast_run<S, D, effective>;
            }
        }
    };
    choose.template operator()<RoundMode::CAST_NONE>();
    choose.template operator()<RoundMode::CAST_RINT>();
    choose.template operator()<RoundMode::CAST_FLOOR>();
    choose.template operator()<RoundMode::CAST_CEIL>();
    choose.template operator()<RoundMode::CAST_ROUND>();
    choose.template operator()<RoundMode::CAST_TRUNC>();
    choose.template operator()<RoundMode::CAST_ODD>();
    return run;
}

inline float dequantisation_scale(const char* api) {
    const auto& scale = core_state<DequantisationScale>();
    if (!scale.set) {
        fail(Kind::argument, "%s: int32_t to half multiplies by the scale of SetDeqScale, which was not called", api);
    }
    return static_cast<float>(scale.value);
}

// Bytes to an element of the wider type, which decides what one repeat covers.
template <typename S, typename D>
constexpr size_t wider_bytes = std::max(sizeof(S), sizeof(D));

template <typename D, typename S>
void cast(const char* api, const Lanes& lanes, RoundMode mode, const Operand<D>& out, const Operand<S>& source) {
    const CastRun<S, D> run = cast_run_of<S, D>(api, mode);
    if (lanes.empty()) {
        return;
    }
    constexpr bool to_half = std::is_same_v<S, int32_t> && std::is_same_v<D, half>;
    const float scale = to_half ? dequantisation_scale(api) : 1.0F;
    if constexpr (std::is_same_v<S, int4b_t> || std::is_same_v<D, int4b_t>) {
        if (!lanes.prefix || lanes.first % 2 != 0 || lanes.last % 2 != 0) {
            fail(Kind::argument, "%s: int4b_t elements go in pairs; pass an even count or mask", api);
        }
    }
    check_overlap(api, lanes, out.walk, source.walk, Overlap::narrows);
    Instruction instruction(api, Pipe::V);
    const UndefinedResults undefined(instruction, lanes, out.walk, {source.walk});
    write_operand(instruction, lanes, out.walk);
    undefined.mark(instruction);
    instruction.counts_vector(lanes.active(), wider_bytes<S, D>, lanes.repeats);
    for_each_run(lanes, std::array{out.walk, source.walk}, [&](size_t elements, const auto& offsets) {
        run(elements, scale, source.at(offsets[1]), out.at(offsets[0]));
    });
}

}  // namespace coopdraw::sim

namespace AscendC {

inline void SetDeqScale(half scale) { coopdraw::sim::core_state<coopdraw::sim::DequantisationScale>() = {true, scale}; }

template <typename T, typename U>
void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode, const uint32_t count) {
    static_assert(coopdraw::sim::cast_modes<U, T>() != coopdraw::sim::NO_CAST,
                  "Cast: no conversion from U to T on this SoC");
    // The narrower operand is packed: its repeats follow each other without a gap.
    constexpr size_t wide = coopdraw::sim::wider_bytes<U, T>;
    const auto stride = [](uint32_t bits) { return static_cast<uint32_t>(bits / wide); };
    const coopdraw::sim::Operand<T> out(dst, 1, stride(std::is_same_v<T, int4b_t> ? 4 : sizeof(T) * 8));
    const coopdraw::sim::Operand<U> source(src, 1, stride(std::is_same_v<U, int4b_t> ? 4 : sizeof(U) * 8));
    coopdraw::sim::cast("Cast", coopdraw::sim::lanes_of_count("Cast", count, coopdraw::sim::elements_per_repeat(wide)),
                        roundMode, out, source);
    coopdraw::sim::reset_mask_registers();
}

template <typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode, const Mask& mask,
          int64_t repeatTime, const UnaryRepeatParams& repeatParams) {
    static_assert(coopdraw::sim::cast_modes<U, T>() != coopdraw::sim::NO_CAST,
                  "Cast: no conversion from U to T on this SoC");
    const auto lanes = coopdraw::sim::lanes_of_mask<isSetMask>(
        "Cast", mask, repeatTime, coopdraw::sim::elements_per_repeat(coopdraw::sim::wider_bytes<U, T>));
    coopdraw::sim::cast("Cast", lanes, roundMode,
                        coopdraw::sim::Operand<T>(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride),
                        coopdraw::sim::Operand<U>(src, repeatParams.srcBlkStride, repeatParams.srcRepStride));
}

}  // namespace AscendC
