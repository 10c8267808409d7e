// Matrix products in register tiles: out[row][column] = sum over k of left[row][k] * right[k][column].
//
// The lanes of a vector are columns. An element of `left` is spread over a vector where it is used, so that `left` is
// read as it lies; `right` must have its columns beside one another.
#pragma once

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

// Tiles of 8 x 3 vectors fill 32 registers, 4 x 3 fill 16.
constexpr int kTileRows = kVectorRegisters == 32 ? 8 : 4;
constexpr int kTileVectors = 3;
constexpr int kTileWidth = kTileVectors * kLanes;

// The right side in rows of one length.
struct Panel {
  const float* data;
  int64_t stride;

  COOPDRAW_INLINE Floats at(int64_t k, int vector) const { return load(data + k * stride + vector * kLanes); }
};

// The right side as windows over memory: vector v of row k starts at starts[v] + offsets[k].
struct Windows {
  const float* starts[kTileVectors];
  const int32_t* offsets;

  COOPDRAW_INLINE Floats at(int64_t k, int vector) const { return load(starts[vector] + offsets[k]); }
};

template <int Rows, int Vectors, class Right>
void multiply_tile(const float* left, int64_t left_stride, const Right& right, int64_t depth, float* out,
                   int64_t out_stride) {
  Floats sums[Rows][Vectors] = {};
  const Right columns = right;
  for (int64_t k = 0; k < depth; ++k) {
    Floats values[Vectors];
#pragma GCC unroll 8
    for (int vector = 0; vector < Vectors; ++vector) values[vector] = columns.at(k, vector);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      const Floats factor = splat(left[row * left_stride + k]);
#pragma GCC unroll 8
      for (int vector = 0; vector < Vectors; ++vector) sums[row][vector] += factor * values[vector];
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
    for (int vector = 0; vector < Vectors; ++vector) store(out + row * out_stride + vector * kLanes, sums[row][vector]);
  }
}

// A tile of `rows` (1 to kTileRows) by `vectors` (1 to kTileVectors).
template <class Right, int Rows = kTileRows, int Vectors = kTileVectors>
void multiply(int64_t rows, int64_t vectors, const float* left, int64_t left_stride, const Right& right, int64_t depth,
              float* out, int64_t out_stride) {
  if constexpr (Rows > 1) {
    if (rows < Rows) {
      return multiply<Right, Rows - 1, Vectors>(rows, vectors, left, left_stride, right, depth, out, out_stride);
    }
  }
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) {
      return multiply<Right, Rows, Vectors - 1>(rows, vectors, left, left_stride, right, depth, out, out_stride);
    }
  }
  multiply_tile<Rows, Vectors>(left, left_stride, right, depth, out, out_stride);
}

}  // namespace coopdraw::COOPDRAW_LEVEL
