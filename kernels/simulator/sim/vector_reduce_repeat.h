// Reductions of every block, pair or repeat to one element.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/归约计算/{ReduceDataBlock,ReducePairElem,ReduceRepeat}.md; the older
// names BlockReduce*, PairReduceSum, WholeReduce*, RepeatReduceSum:
// asc-devkit:impl/basic_api/kernel_operator_vec_reduce_intf_impl.h
#pragma once

#include "vector_reduce.h"

namespace AscendC {

template <ReduceType reduceType, typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void ReduceDataBlock(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask& mask, int64_t repeatTime,
                     int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride) {
    static_assert(std::is_same_v<T, U>, "ReduceDataBlock: dst and src must have one type");
    coopdraw::sim::reduce_groups<coopdraw::sim::block_elements<T>, reduceType>(
        "ReduceDataBlock", coopdraw::sim::reduce_lanes<isSetMask, T>("ReduceDataBlock", mask, repeatTime), dst, src,
        {dstRepStride, srcBlkStride, srcRepStride}, 8 * sizeof(T));
}

template <ReduceType reduceType, typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void ReducePairElem(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask& mask, int64_t repeatTime,
                    int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride) {
    static_assert(std::is_same_v<T, U>, "ReducePairElem: dst and src must have one type");
    static_assert(reduceType == ReduceType::SUM, "ReducePairElem: only ReduceType::SUM exists");
    coopdraw::sim::reduce_groups<2, reduceType>(
        "ReducePairElem", coopdraw::sim::reduce_lanes<isSetMask, T>("ReducePairElem", mask, repeatTime), dst, src,
        {dstRepStride, srcBlkStride, srcRepStride}, coopdraw::sim::BLOCK_BYTES);
}

template <ReduceType reduceType, typename T, typename U, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void ReduceRepeat(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask& mask, int64_t repeatTime,
                  int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride,
                  ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX) {
    static_assert(std::is_same_v<T, U>, "ReduceRepeat: dst and src must have one type on this SoC");
    const auto lanes = coopdraw::sim::reduce_lanes<isSetMask, T>("ReduceRepeat", mask, repeatTime);
    if constexpr (reduceType == ReduceType::SUM) {
        coopdraw::sim::sum_repeats("ReduceRepeat", lanes, dst, src, {dstRepStride, srcBlkStride, srcRepStride});
    } else {
        coopdraw::sim::extremes_of_repeats<reduceType>("ReduceRepeat", lanes, dst, src,
                                                       {dstRepStride, srcBlkStride, srcRepStride}, order);
    }
}

#define COOPDRAW_GROUPS(Name, width, type, alignment)                                                     \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                              \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, int64_t repeatTime, const Mask& mask, \
              int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride) {                         \
        coopdraw::sim::reduce_groups<width, ReduceType::type>(                                            \
            #Name, coopdraw::sim::reduce_lanes<isSetMask, T>(#Name, mask, repeatTime), dst, src,          \
            {dstRepStride, srcBlkStride, srcRepStride}, alignment);                                       \
    }

COOPDRAW_GROUPS(BlockReduceSum, coopdraw::sim::block_elements<T>, SUM, 8 * sizeof(T))
COOPDRAW_GROUPS(BlockReduceMax, coopdraw::sim::block_elements<T>, MAX, 8 * sizeof(T))
COOPDRAW_GROUPS(BlockReduceMin, coopdraw::sim::block_elements<T>, MIN, 8 * sizeof(T))
COOPDRAW_GROUPS(PairReduceSum, 2, SUM, coopdraw::sim::BLOCK_BYTES)

#undef COOPDRAW_GROUPS

template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>
void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const Mask& mask, int64_t repeatTime,
                    int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride) {
    coopdraw::sim::sum_repeats("WholeReduceSum",
                               coopdraw::sim::reduce_lanes<isSetMask, T>("WholeReduceSum", mask, repeatTime), dst, src,
                               {dstRepStride, srcBlkStride, srcRepStride});
}

// The public function ignores dstBlkStride. asc-devkit:impl/basic_api/kernel_operator_vec_reduce_intf_impl.h
template <typename T, bool isSetMask = true>
void RepeatReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, int64_t repeatTime, const int32_t mask,
                     [[maybe_unused]] const int32_t dstBlkStride, const int32_t srcBlkStride,
                     const int32_t dstRepStride, const int32_t srcRepStride) {
    coopdraw::sim::sum_repeats("RepeatReduceSum",
                               coopdraw::sim::reduce_lanes<isSetMask, T>("RepeatReduceSum", mask, repeatTime), dst, src,
                               {dstRepStride, srcBlkStride, srcRepStride});
}

#define COOPDRAW_WHOLE(Name, type)                                                                        \
    template <typename T, bool isSetMask = true, coopdraw::sim::IsMask Mask>                              \
    void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const Mask& mask, int64_t repeatTime, \
              int64_t dstRepStride, int64_t srcBlkStride, int64_t srcRepStride,                           \
              ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX) {                                       \
        coopdraw::sim::extremes_of_repeats<ReduceType::type>(                                             \
            #Name, coopdraw::sim::reduce_lanes<isSetMask, T>(#Name, mask, repeatTime), dst, src,          \
            {dstRepStride, srcBlkStride, srcRepStride}, order);                                           \
    }

COOPDRAW_WHOLE(WholeReduceMax, MAX)
COOPDRAW_WHOLE(WholeReduceMin, MIN)

#undef COOPDRAW_WHOLE

}  // namespace AscendC
