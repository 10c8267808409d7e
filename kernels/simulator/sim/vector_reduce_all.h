// Reductions of a whole tensor to one element, with the orderings that their several instructions leave behind.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/归约计算/{ReduceSum,ReduceMax,ReduceMin}.md,
// 归约计算辅助配置接口/*.md; order of their instructions: asc-devkit:impl/basic_api/dav_c220/kernel_operator_vec_reduce_impl.h
#pragma once

#include "vector_reduce.h"

namespace coopdraw::sim {

// The largest repeatTime of these functions, which loop over the hardware's 255 themselves.
constexpr int64_t MANY_REPEATS = int64_t{1} << 20;

// The scalar unit stores a result that the vector unit computed, and vector and copy wait for it.
template <typename T, typename F>
void store_by_scalar(const char* api, const AscendC::LocalTensor<T>& dst, uint64_t elements, F&& store) {
    order(Pipe::V, Pipe::S);
    Instruction instruction(api, Pipe::S);
    instruction.writes(dst.span(0, elements), sizeof(T));
    store(dst.raw());
    order(Pipe::S, Pipe::V);
    order(Pipe::S, Pipe::MTE3);
}

constexpr uint64_t rounded_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

// Elements of the work tensor. asc-devkit:docs/.../归约计算/{ReduceSum,ReduceMax}.md 关键特性说明
template <typename T>
uint64_t sum_work_elements(uint64_t repeats) {
    return rounded_up(repeats, block_elements<T>);
}
template <typename T>
uint64_t extreme_work_elements(uint64_t repeats, bool with_index) {
    constexpr uint64_t per_repeat = elements_per_repeat(sizeof(T));
    const uint64_t first = rounded_up(repeats * 2, block_elements<T>);
    if (!with_index) {
        return first;
    }
    const uint64_t second = (repeats * 2 + per_repeat - 1) / per_repeat * 2;
    const uint64_t third = (second + per_repeat - 1) / per_repeat * 2;
    return first + rounded_up(second, block_elements<T>) + (second > 2 ? rounded_up(third, block_elements<T>) : 0);
}

// Sums of groups of a repeat's size, then of those sums, until one is left.
template <typename T>
float tree_of_sums(std::vector<float> sums) {
    constexpr uint32_t width = elements_per_repeat(sizeof(T));
    while (sums.size() > 1) {
        std::vector<float> next;
        for (size_t start = 0; start < sums.size(); start += width) {
            float values[width] = {};
            std::copy(sums.begin() + static_cast<int64_t>(start),
                      sums.begin() + static_cast<int64_t>(std::min(sums.size(), start + width)), values);
            next.push_back(tree_sum<T>(values));
        }
        sums = std::move(next);
    }
    return sums[0];
}

template <typename T>
std::vector<float> sums_of_repeats(const Lanes& lanes, const Operand<T>& source) {
    std::vector<float> sums(lanes.repeats);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        sums[repeat] = sum_of_repeat(lanes, source, repeat);
    }
    return sums;
}

template <typename T>
void vector_step(const char* api, const Lanes& lanes, const Operand<T>& source, const AscendC::LocalTensor<T>& work,
                 uint64_t work_elements) {
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, source.walk);
    if (work_elements > 0) {
        instruction.scratches(work.span(0, work_elements));
    }
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
}

// ReduceSum over repeats: a tree inside each repeat and over the repeats' sums.
template <typename T>
void sum_by_trees(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst, const Operand<T>& source,
                  const AscendC::LocalTensor<T>& work) {
    const float sum = tree_of_sums<T>(sums_of_repeats(lanes, source));
    vector_step(api, lanes, source, work, sum_work_elements<T>(lanes.repeats));
    const auto store = [&](T* out) { *out = static_cast<T>(sum); };
    if (lanes.repeats <= elements_per_repeat(sizeof(T))) {
        store_by_scalar(api, dst, 1, store);
        return;
    }
    barrier(Pipe::V);
    Instruction instruction(api, Pipe::V);
    instruction.writes(dst.span(0, 1), sizeof(T));
    store(dst.raw());
}

// The count form. 910B adds the repeats' sums one after the other; 310P sums whole repeats by trees, then the rest.
template <bool isSetMask, typename T>
void sum_of_count(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                  const AscendC::LocalTensor<T>& work, int64_t count) {
    constexpr uint32_t per_repeat = elements_per_repeat(sizeof(T));
    const Operand<T> source(src);
    const Lanes lanes = isSetMask || __NPU_ARCH__ != 2201 ? lanes_of_count(api, count, per_repeat)
                                                          : lanes_of_repeats(api, 1, per_repeat);
    if (lanes.empty()) {
        return;
    }
    std::vector<float> sums = sums_of_repeats(lanes, source);
    if constexpr (__NPU_ARCH__ == 2201) {
        float total = sums[0];
        for (size_t i = 1; i < sums.size(); ++i) {
            total = stored<T>(total + sums[i]);
        }
        vector_step(api, lanes, source, work, 0);
        core_state<ReductionRegisters>().sum = total;
        store_by_scalar(api, dst, 1, [&](T* out) { *out = static_cast<T>(total); });
    } else {
        const bool has_tail = lanes.repeats > 1 && lanes.last != per_repeat;
        const float tail = sums.back();
        if (has_tail) {
            sums.pop_back();
        }
        const uint64_t whole_repeats = sums.size();
        const float body = tree_of_sums<T>(std::move(sums));
        const float total = has_tail ? stored<T>(body + tail) : body;
        vector_step(api, lanes, source, work, sum_work_elements<T>(whole_repeats));
        store_by_scalar(api, dst, 1, [&](T* out) { *out = static_cast<T>(total); });
    }
    if constexpr (isSetMask) {
        reset_mask_registers();
    }
}

// The largest or smallest element, and where it is for the first time.
template <ReduceType type, typename T>
void extreme_of_all(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst, const Operand<T>& source,
                    const AscendC::LocalTensor<T>& work, bool with_index, uint64_t work_repeats) {
    Extreme best = extreme_of_repeat<type>(lanes, source, 0);
    for (uint32_t repeat = 1; repeat < lanes.repeats; ++repeat) {
        const Extreme candidate = extreme_of_repeat<type>(lanes, source, repeat);
        if (beats<type>(candidate.value, best.value)) {
            best = {candidate.value, repeat * source.walk.repeat_stride * block_elements<T> + candidate.index};
        }
    }
    if (with_index && best.index > std::numeric_limits<IndexOf<T>>::max()) {
        fail(Kind::argument, "%s: index %u does not fit the 16 bits that half results have; reduce in parts", api,
             best.index);
    }
    core_state<ReductionRegisters>().extreme = best.value;
    core_state<ReductionRegisters>().index = best.index;
    const auto store = [&](T* out) {
        out[0] = static_cast<T>(best.value);
        if (with_index) {
            const auto index = static_cast<IndexOf<T>>(best.index);
            std::memcpy(out + 1, &index, sizeof(index));
        }
    };
    const uint64_t results = with_index ? 2 : 1;
    if (with_index && lanes.repeats == 1) {
        // One instruction without a work tensor, and nothing waits for it.
        Instruction instruction(api, Pipe::V);
        read_operand(instruction, lanes, source.walk);
        instruction.writes(dst.span(0, results), 2 * sizeof(T));
        instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
        store(dst.raw());
        return;
    }
    vector_step(api, lanes, source, work, extreme_work_elements<T>(work_repeats, with_index));
    store_by_scalar(api, dst, results, store);
}

template <ReduceType type, typename T>
void extreme_of_count(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                      const AscendC::LocalTensor<T>& work, int64_t count, bool with_index) {
    static_assert(one_of<T, half, float>, "ReduceMax and ReduceMin take half and float tensors");
    const Lanes lanes = lanes_of_count(api, count, elements_per_repeat(sizeof(T)));
    if (lanes.empty()) {
        return;
    }
    const uint64_t whole = std::max<uint64_t>(1, static_cast<uint64_t>(count) / lanes.per_repeat);
    extreme_of_all<type>(api, lanes, dst, Operand<T>(src), work, with_index, whole);
    reset_mask_registers();
}

template <typename T, typename Mask>
Lanes all_lanes(const char* api, const Mask& mask, int64_t repeats) {
    static_assert(one_of<T, half, float>, "ReduceSum, ReduceMax and ReduceMin take half and float tensors");
    lanes_of_mask<true>(api, mask, 0, elements_per_repeat(sizeof(T)));
    return lanes_of_repeats(api, repeats, elements_per_repeat(sizeof(T)), MANY_REPEATS);
}

template <typename T>
Operand<T> all_source(const char* api, const AscendC::LocalTensor<T>& src, int64_t repeat_stride) {
    const ReduceStrides strides{1, 1, repeat_stride};
    check_reduce_strides(api, strides);
    return reduce_source(src, strides);
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, bool isSetMask = true>
void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer,
               const int32_t count) {
    static_assert(coopdraw::sim::one_of<T, half, float>, "ReduceSum: T must be one of half, float");
    coopdraw::sim::sum_of_count<isSetMask>("ReduceSum", dst, src, sharedTmpBuffer, count);
}

template <typename T, coopdraw::sim::IsMask Mask>
void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer,
               const Mask& mask, int64_t repeatTime, int64_t srcRepStride) {
    const auto lanes = coopdraw::sim::all_lanes<T>("ReduceSum", mask, repeatTime);
    if (!lanes.empty()) {
        coopdraw::sim::sum_by_trees("ReduceSum", lanes, dst,
                                    coopdraw::sim::all_source("ReduceSum", src, srcRepStride), sharedTmpBuffer);
    }
}

#define COOPDRAW_EXTREME(Name, type)                                                                                \
    template <typename T>                                                                                           \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer,          \
              const int32_t count, bool calIndex = false) {                                                         \
        coopdraw::sim::extreme_of_count<ReduceType::type>(#Name, dst, src, sharedTmpBuffer, count, calIndex);       \
    }                                                                                                               \
    template <typename T, coopdraw::sim::IsMask Mask>                                                               \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer,          \
              const Mask& mask, int64_t repeatTime, int64_t srcRepStride, bool calIndex = false) {                  \
        const auto lanes = coopdraw::sim::all_lanes<T>(#Name, mask, repeatTime);                                    \
        if (!lanes.empty()) {                                                                                       \
            coopdraw::sim::extreme_of_all<ReduceType::type>(                                                        \
                #Name, lanes, dst, coopdraw::sim::all_source(#Name, src, srcRepStride), sharedTmpBuffer, calIndex,  \
                lanes.repeats);                                                                                     \
        }                                                                                                           \
    }

COOPDRAW_EXTREME(ReduceMax, MAX)
COOPDRAW_EXTREME(ReduceMin, MIN)

#undef COOPDRAW_EXTREME

#if __NPU_ARCH__ == 2201
template <typename T>
T GetReduceRepeatSumSpr() {
    return static_cast<T>(coopdraw::sim::core_state<coopdraw::sim::ReductionRegisters>().sum);
}
template <typename T>
T GetAccVal() {
    return GetReduceRepeatSumSpr<T>();
}
// The index comes as bits of T.
template <typename T>
void GetReduceRepeatMaxMinSpr(T& maxMinValue, T& maxMinIndex) {
    const auto& registers = coopdraw::sim::core_state<coopdraw::sim::ReductionRegisters>();
    maxMinValue = static_cast<T>(registers.extreme);
    const auto index = static_cast<coopdraw::sim::IndexOf<T>>(registers.index);
    std::memcpy(&maxMinIndex, &index, sizeof(index));
}
template <typename T>
void GetReduceMaxMinCount(T& maxMinValue, T& maxMinIndex) {
    GetReduceRepeatMaxMinSpr(maxMinValue, maxMinIndex);
}
#endif

}  // namespace AscendC
