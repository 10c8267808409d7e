// How repeats, blocks and pairs of elements are reduced to one element each; the public names are in
// vector_reduce_repeat.h and vector_reduce_all.h.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/归约计算/{ReduceDataBlock,ReducePairElem,ReduceRepeat}.md
#pragma once

#include "vector_fused.h"

namespace coopdraw::sim {

using AscendC::ReduceOrder;
using AscendC::ReduceType;

// What GetReduceRepeatSumSpr and GetReduceRepeatMaxMinSpr read.
struct ReductionRegisters {
    double sum = 0;
    double extreme = 0;
    uint32_t index = 0;
};

template <typename T>
using IndexOf = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;

// Adjacent elements are added, then adjacent sums, and so on, each sum rounded to T. Elements that don't take part
// count as 0. `values` is used up.
template <typename T, uint32_t N>
float tree_sum(float (&values)[N]) {
    for (uint32_t width = N; width > 1; width /= 2) {
        for (uint32_t i = 0; i < width / 2; ++i) {
            values[i] = stored<T>(values[2 * i] + values[2 * i + 1]);
        }
    }
    return values[0];
}

struct Extreme {
    float value;
    uint32_t index;  // of its first occurrence within the repeat
};

// Source elements of one repeat, one call after the other in ascending order: f(element, value).
template <typename T, typename F>
void for_each_active(const Lanes& lanes, const Operand<T>& source, uint32_t repeat, F&& f) {
    for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
        for (uint32_t element = begin; element < end; ++element) {
            f(element, static_cast<float>(*source.at(source.walk.offset(repeat, element))));
        }
    }
}

template <typename T>
float sum_of_repeat(const Lanes& lanes, const Operand<T>& source, uint32_t repeat) {
    float values[elements_per_repeat(sizeof(T))] = {};
    for_each_active(lanes, source, repeat, [&](uint32_t element, float value) { values[element] = value; });
    return tree_sum<T>(values);
}

template <ReduceType type>
bool beats(float candidate, float best) {
    return type == ReduceType::MAX ? candidate > best : candidate < best;
}

template <ReduceType type, typename T>
Extreme extreme_of_repeat(const Lanes& lanes, const Operand<T>& source, uint32_t repeat) {
    bool first = true;
    Extreme best{0, 0};
    for_each_active(lanes, source, repeat, [&](uint32_t element, float value) {
        if (first || beats<type>(value, best.value)) {
            best = {value, element};
            first = false;
        }
    });
    return best;
}

// Parameters that all of these share; the strides are int32_t in the public prototypes and 16 bits in the instruction.
struct ReduceStrides {
    int64_t destination;  // of one repeat to the next, in units of the repeat's result
    int64_t block;
    int64_t repeat;
};

inline void check_reduce_strides(const char* api, const ReduceStrides& strides) {
    for (const int64_t stride : {strides.destination, strides.block, strides.repeat}) {
        if (stride < 0 || stride > 65535) {
            fail(Kind::argument, "%s: a stride is %lld, but 0 to 65535 are documented", api,
                 static_cast<long long>(stride));
        }
    }
}

template <typename T>
Operand<T> reduce_source(const AscendC::LocalTensor<T>& src, const ReduceStrides& strides) {
    return Operand<T>(src, static_cast<uint32_t>(strides.block), static_cast<uint32_t>(strides.repeat));
}

// One group of `Width` elements to one: a block, or a pair. Groups without a participating element are not written.
template <uint32_t Width, ReduceType type, typename T>
void reduce_groups(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst,
                   const AscendC::LocalTensor<T>& src, const ReduceStrides& strides, uint32_t alignment) {
    check_reduce_strides(api, strides);
    if (lanes.empty()) {
        return;
    }
    constexpr uint32_t groups = elements_per_repeat(sizeof(T)) / Width;
    const Operand<T> source = reduce_source(src, strides);
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, source.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    std::vector<std::pair<uint64_t, float>> results;  // all are read before any is written
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        float values[groups][Width] = {};
        bool taken[groups] = {};
        Extreme best[groups] = {};
        for_each_active(lanes, source, repeat, [&](uint32_t element, float value) {
            const uint32_t group = element / Width;
            if (!taken[group] || beats<type>(value, best[group].value)) {
                best[group].value = value;
            }
            values[group][element % Width] = value;
            taken[group] = true;
        });
        for (uint32_t group = 0; group < groups; ++group) {
            if (taken[group]) {
                const uint64_t position =
                    uint64_t{repeat} * static_cast<uint64_t>(strides.destination) * groups + group;
                results.emplace_back(position,
                                     type == ReduceType::SUM ? tree_sum<T>(values[group]) : best[group].value);
            }
        }
    }
    for (size_t i = 0; i < results.size();) {
        size_t end = i + 1;
        while (end < results.size() && results[end].first == results[end - 1].first + 1) {
            ++end;
        }
        // The rule is for the start of the destination; groups that a mask leaves out shift the first written element.
        instruction.writes(dst.span(results[i].first, end - i),
                           i == 0 && results[0].first == 0 ? alignment : sizeof(T));
        i = end;
    }
    for (const auto& [position, value] : results) {
        *dst.raw(position) = static_cast<T>(value);
    }
}

template <typename T>
void sum_repeats(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst,
                 const AscendC::LocalTensor<T>& src, const ReduceStrides& strides) {
    check_reduce_strides(api, strides);
    if (lanes.empty()) {
        return;
    }
    const Operand<T> source = reduce_source(src, strides);
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, source.walk);
    std::vector<float> sums(lanes.repeats);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        sums[repeat] = sum_of_repeat(lanes, source, repeat);
    }
    const auto step = static_cast<uint64_t>(strides.destination);
    if (step == 1) {
        instruction.writes(dst.span(0, lanes.repeats), sizeof(T));
    }
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        if (step != 1) {
            instruction.writes(dst.span(repeat * step, 1), sizeof(T));
        }
        *dst.raw(repeat * step) = static_cast<T>(sums[repeat]);
    }
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
}

// The largest or smallest element of every repeat, with its index as bits of T, in the order that is asked for.
template <ReduceType type, typename T>
void extremes_of_repeats(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst,
                         const AscendC::LocalTensor<T>& src, const ReduceStrides& strides, ReduceOrder order) {
    check_reduce_strides(api, strides);
    if (__NPU_ARCH__ != 2201 && order != ReduceOrder::ORDER_VALUE_INDEX && order != ReduceOrder::ORDER_INDEX_VALUE) {
        fail(Kind::argument,
             "%s: this SoC returns value and index together; use ORDER_VALUE_INDEX or ORDER_INDEX_VALUE", api);
    }
    if (lanes.empty()) {
        return;
    }
    const Operand<T> source = reduce_source(src, strides);
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, source.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    std::vector<Extreme> results(lanes.repeats);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        results[repeat] = extreme_of_repeat<type>(lanes, source, repeat);
    }
    const bool pair = order == ReduceOrder::ORDER_VALUE_INDEX || order == ReduceOrder::ORDER_INDEX_VALUE;
    // asc-devkit:docs/.../归约计算/ReduceRepeat.md 表3: an index alone is always 32 bits wide.
    const uint64_t unit = pair ? 2 * sizeof(T) : (order == ReduceOrder::ORDER_ONLY_INDEX ? 4 : sizeof(T));
    const auto bytes = dst.template ReinterpretCast<uint8_t>();
    auto& registers = core_state<ReductionRegisters>();
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        const uint64_t position = repeat * static_cast<uint64_t>(strides.destination) * unit;
        instruction.writes(bytes.span(position, unit), static_cast<uint32_t>(unit));
        const T value = static_cast<T>(results[repeat].value);
        const auto index = static_cast<IndexOf<T>>(results[repeat].index);
        uint8_t* out = bytes.raw(position);
        if (order == ReduceOrder::ORDER_ONLY_INDEX) {
            std::memcpy(out, &results[repeat].index, 4);
        } else if (order == ReduceOrder::ORDER_ONLY_VALUE) {
            std::memcpy(out, &value, sizeof(T));
        } else {
            const bool value_first = order == ReduceOrder::ORDER_VALUE_INDEX;
            std::memcpy(out + (value_first ? 0 : sizeof(T)), &value, sizeof(T));
            std::memcpy(out + (value_first ? sizeof(T) : 0), &index, sizeof(T));
        }
        if (repeat == 0 || beats<type>(results[repeat].value, static_cast<float>(registers.extreme))) {
            registers.extreme = results[repeat].value;
            registers.index = repeat * lanes.per_repeat + results[repeat].index;
        }
    }
}

template <bool isSetMask, typename T, typename Mask>
Lanes reduce_lanes(const char* api, const Mask& mask, int64_t repeats) {
    static_assert(one_of<T, half, float>, "this reduction takes half and float tensors");
    return lanes_of_mask<isSetMask>(api, mask, repeats, elements_per_repeat(sizeof(T)));
}

template <typename T>
constexpr uint32_t block_elements = BLOCK_BYTES / sizeof(T);

}  // namespace coopdraw::sim

