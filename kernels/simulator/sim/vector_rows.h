// High-level functions of matrices: broadcasting a row or a column, and the sum or mean of every row.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/张量变换/Broadcast.md, 高阶API/归约操作/{Sum接口/Sum,Mean接口/Mean}.md
#pragma once

#include "vector_reduce_all.h"

namespace coopdraw::sim {

template <int32_t dim, int32_t axis, typename T>
void broadcast(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
               const uint32_t* dst_shape, const uint32_t* src_shape, const AscendC::LocalTensor<uint8_t>* work) {
    static_assert(dim == 1 || dim == 2, "Broadcast: dim must be 1 or 2");
    static_assert(axis == 0 || axis == 1, "Broadcast: axis must be 0 or 1");
    const uint64_t rows = dim == 2 ? dst_shape[0] : 1;
    const uint64_t columns = dst_shape[dim - 1];
    const uint64_t src_rows = dim == 2 ? src_shape[0] : 1;
    const uint64_t src_columns = src_shape[dim - 1];
    if ((src_rows != rows && src_rows != 1) || (src_columns != columns && src_columns != 1)) {
        fail(Kind::argument, "%s: [%llu, %llu] does not broadcast to [%llu, %llu]", api,
             static_cast<unsigned long long>(src_rows), static_cast<unsigned long long>(src_columns),
             static_cast<unsigned long long>(rows), static_cast<unsigned long long>(columns));
    }
    Instruction first(api, Pipe::V);
    first.reads_padding(src.span(0, src_rows * src_columns));
    if (work != nullptr) {
        first.scratches(work->span(0, work->GetSize()));
    }
    // The page forbids shared memory, but rows that start with the source itself only copy it onto itself, and
    // production kernels (ops-nn:norm/rms_norm/op_kernel/rms_norm_merge_n.h) do that.
    const bool starts_with_source = src_rows == 1 && src_columns == columns && dst.raw() == src.raw();
    if (!starts_with_source) {
        forbid_shared_memory(api, src.span(0, src_rows * src_columns), dst.span(0, rows * columns));
    }
    barrier(Pipe::V);
    Instruction last(api, Pipe::V);
    UndefinedResults undefined;
    for (uint64_t i = 0; i < rows * columns; ++i) {
        const uint64_t row = src_rows == 1 ? 0 : i / columns;
        if (!all_written(src.span(row * src_columns + (src_columns == 1 ? 0 : i % columns), 1))) {
            undefined.add(dst.span(i, 1));
        }
    }
    last.writes(dst.span(0, rows * columns));
    undefined.mark(last);
    last.counts_vector(rows * columns, sizeof(T), rows * columns * sizeof(T) / REPEAT_BYTES + 1);
    for (uint64_t row = 0; row < rows; ++row) {
        const T* from = src.raw((src_rows == 1 ? 0 : row) * src_columns);
        for (uint64_t column = 0; column < columns; ++column) {
            *dst.raw(row * columns + column) = from[src_columns == 1 ? 0 : column];
        }
    }
    barrier(Pipe::V);
    reset_mask_registers();
}

// The sum of the first `n` of `inner` elements of every row, by trees, times `factor`.
template <typename Accumulator, typename T>
void reduce_rows(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                 const AscendC::LocalTensor<uint8_t>* work, uint32_t rows, uint32_t inner, uint32_t n, float factor) {
    static_assert(one_of<T, half, float>, "Sum and Mean take half and float tensors");
    if (uint64_t{inner} * sizeof(T) % BLOCK_BYTES != 0 || n > inner || n == 0) {
        fail(Kind::argument,
             "%s: inner is %u and n is %u, but rows must fill whole 32-byte blocks and n must be 1 to inner", api,
             inner, n);
    }
    const Lanes lanes = lanes_of_count(api, n, elements_per_repeat(sizeof(Accumulator)));
    Instruction first(api, Pipe::V);
    std::vector<float> sums(rows);
    for (uint32_t row = 0; row < rows; ++row) {
        first.reads(src.span(uint64_t{row} * inner, n));
        std::vector<float> parts(lanes.repeats);
        for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
            float values[elements_per_repeat(sizeof(Accumulator))] = {};
            for (uint32_t element = 0; element < lanes.end(repeat); ++element) {
                values[element] =
                    static_cast<float>(*src.raw(uint64_t{row} * inner + repeat * lanes.per_repeat + element));
            }
            parts[repeat] = tree_sum<Accumulator>(values);
        }
        sums[row] = stored<Accumulator>(tree_of_sums<Accumulator>(std::move(parts)) * factor);
    }
    if (work != nullptr) {
        first.scratches(work->span(0, work->GetSize()));
    }
    barrier(Pipe::V);
    Instruction last(api, Pipe::V);
    last.writes(dst.span(0, rows));
    last.counts_vector(uint64_t{rows} * n, sizeof(T), uint64_t{rows} * lanes.repeats);
    for (uint32_t row = 0; row < rows; ++row) {
        *dst.raw(row) = static_cast<T>(sums[row]);
    }
    reset_mask_registers();
}

}  // namespace coopdraw::sim

namespace AscendC {

struct SumParams {
    uint32_t outter = 1;
    uint32_t inner;
    uint32_t n;
};
struct MeanParams {
    uint32_t outter = 1;
    uint32_t inner;
    uint32_t n;
};

#define COOPDRAW_BROADCAST(Name)                                                                                     \
    template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>                                     \
    void Name(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const uint32_t dstShape[dim],          \
              const uint32_t srcShape[dim], LocalTensor<uint8_t>& sharedTmpBuffer) {                                 \
        coopdraw::sim::broadcast<dim, axis>(#Name, dstLocal, srcLocal, dstShape, srcShape, &sharedTmpBuffer);        \
    }                                                                                                                \
    template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>                                     \
    void Name(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const uint32_t dstShape[dim],          \
              const uint32_t srcShape[dim]) {                                                                        \
        coopdraw::sim::broadcast<dim, axis>(#Name, dstLocal, srcLocal, dstShape, srcShape, nullptr);                 \
    }

COOPDRAW_BROADCAST(Broadcast)
COOPDRAW_BROADCAST(BroadCast)

#undef COOPDRAW_BROADCAST

template <typename T, int32_t reduceDim = -1, bool isReuseSource = false, bool isBasicBlock = false>
void Sum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor, const LocalTensor<uint8_t>& sharedTmpBuffer,
         const SumParams& sumParams) {
    coopdraw::sim::reduce_rows<T>("Sum", dstTensor, srcTensor, &sharedTmpBuffer, sumParams.outter, sumParams.inner,
                                  sumParams.n, 1.0F);
}
template <typename T, int32_t reduceDim = -1, bool isReuseSource = false, bool isBasicBlock = false>
void Sum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor, const SumParams& sumParams) {
    coopdraw::sim::reduce_rows<T>("Sum", dstTensor, srcTensor, nullptr, sumParams.outter, sumParams.inner, sumParams.n,
                                  1.0F);
}

template <typename T, typename accType = T, bool isReuseSource = false, bool isBasicBlock = false,
          int32_t reduceDim = -1>
void Mean(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,
          const LocalTensor<uint8_t>& sharedTmpBuffer, const MeanParams& meanParams) {
    coopdraw::sim::reduce_rows<accType>("Mean", dstTensor, srcTensor, &sharedTmpBuffer, meanParams.outter,
                                        meanParams.inner, meanParams.n, 1.0F / static_cast<float>(meanParams.n));
}
template <typename T, typename accType = T, bool isReuseSource = false, bool isBasicBlock = false,
          int32_t reduceDim = -1>
void Mean(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor, const MeanParams& meanParams) {
    coopdraw::sim::reduce_rows<accType>("Mean", dstTensor, srcTensor, nullptr, meanParams.outter, meanParams.inner,
                                        meanParams.n, 1.0F / static_cast<float>(meanParams.n));
}

}  // namespace AscendC
