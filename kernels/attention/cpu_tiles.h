// The two matrix products of attention on tiles that fit the vector registers.
#pragma once

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

constexpr int kQueries = 64;  // queries of a task; a multiple of every level's panel
constexpr int kKeys = 128;    // keys of a block: its scores take 32 KiB
// A register tile is kRows (keys, or elements of a value) by kColumns vectors of queries.
constexpr int kColumns = kVectorRegisters == 32 ? 4 : 2;
constexpr int kRows = kVectorRegisters == 32 || kLanes == 8 ? 6 : 4;
constexpr int kPanel = kColumns * kLanes;
static_assert(kQueries % kPanel == 0, "panels fill a block of queries");

// out[row][query] = sum over depth of keys[row][d] * queries[d][query], for one panel of queries.
template <int Rows>
COOPDRAW_INLINE void score_tile(const float* keys, int64_t stride, const float* queries, int64_t depth, float* out) {
  Floats sums[Rows][kColumns] = {};
  for (int64_t d = 0; d < depth; ++d) {
    Floats query[kColumns];
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) query[column] = load(queries + d * kQueries + column * kLanes);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      const Floats key = splat(keys[row * stride + d]);
#pragma GCC unroll 8
      for (int column = 0; column < kColumns; ++column) sums[row][column] += key * query[column];
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) store(out + row * kQueries + column * kLanes, sums[row][column]);
  }
}

// out[row][query] = decay[query] * out[row][query] + sum over keys of values[key][row] * scores[key][query].
template <int Rows>
COOPDRAW_INLINE void value_tile(const float* values, int64_t stride, const float* scores, int64_t keys,
                                const float* decay, float* out) {
  Floats sums[Rows][kColumns];
#pragma GCC unroll 8
  for (int column = 0; column < kColumns; ++column) {
    const Floats factor = load(decay + column * kLanes);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) sums[row][column] = factor * load(out + row * kQueries + column * kLanes);
  }
  for (int64_t key = 0; key < keys; ++key) {
    Floats score[kColumns];
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) score[column] = load(scores + key * kQueries + column * kLanes);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      const Floats value = splat(values[key * stride + row]);
#pragma GCC unroll 8
      for (int column = 0; column < kColumns; ++column) sums[row][column] += value * score[column];
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) store(out + row * kQueries + column * kLanes, sums[row][column]);
  }
}

// score_tile for `count` <= Rows keys.
template <int Rows = kRows>
void score_rows(const float* keys, int64_t stride, int64_t count, const float* queries, int64_t depth, float* out) {
  if constexpr (Rows > 0) {
    if (count == Rows) return score_tile<Rows>(keys, stride, queries, depth, out);
    score_rows<Rows - 1>(keys, stride, count, queries, depth, out);
  }
}

// value_tile for `count` <= Rows elements of the values.
template <int Rows = kRows>
void value_rows(const float* values, int64_t stride, int64_t count, const float* scores, int64_t keys,
                const float* decay, float* out) {
  if constexpr (Rows > 0) {
    if (count == Rows) return value_tile<Rows>(values, stride, scores, keys, decay, out);
    value_rows<Rows - 1>(values, stride, count, scores, keys, decay, out);
  }
}

}  // namespace coopdraw::COOPDRAW_LEVEL
