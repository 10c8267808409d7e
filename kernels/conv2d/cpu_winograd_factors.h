// The transforms of Winograd's convolution F(4x4, 3x3) (Lavin, Gray 2015, arXiv 1509.09308): a tile of 6x6 inputs and a
// kernel of 3x3 become 36 factors each, whose products become 4x4 outputs.
//
// The interpolation points are 0, +-5/8, +-3/2 and infinity: with them, the error in float32 is close to that of a direct
// sum; with the usual +-1 and +-2 it is several times larger.
#pragma once

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

constexpr int kInputs = 6, kOutputs = 4, kKernel = 3;  // of a tile and a kernel, along one axis
constexpr int kFactors = kInputs * kInputs, kTaps = kKernel * kKernel;
// The lanes of a vector are tiles, in four groups: the outputs of a group's tiles fill a vector along a row.
constexpr int kGroups = 4;

constexpr float kPointA = 0.625f, kPointB = 1.5f;
constexpr float kA2 = kPointA * kPointA, kB2 = kPointB * kPointB;

COOPDRAW_INLINE void transform_inputs(const Floats (&d)[kInputs], Floats (&out)[kInputs]) {
  const Floats even_a = d[4] - kB2 * d[2], odd_a = d[3] - kB2 * d[1];
  const Floats even_b = d[4] - kA2 * d[2], odd_b = d[3] - kA2 * d[1];
  out[0] = (d[4] - (kA2 + kB2) * d[2]) + (kA2 * kB2) * d[0];
  out[1] = even_a + kPointA * odd_a;
  out[2] = even_a - kPointA * odd_a;
  out[3] = even_b + kPointB * odd_b;
  out[4] = even_b - kPointB * odd_b;
  out[5] = (d[5] - (kA2 + kB2) * d[3]) + (kA2 * kB2) * d[1];
}

COOPDRAW_INLINE void transform_kernel(const Floats (&g)[kKernel], Floats (&out)[kInputs]) {
  constexpr float kScaleA = 1.0f / (2.0f * kA2 * (kA2 - kB2)), kScaleB = 1.0f / (2.0f * kB2 * (kB2 - kA2));
  const Floats even_a = kScaleA * g[0] + (kScaleA * kA2) * g[2], odd_a = (kScaleA * kPointA) * g[1];
  const Floats even_b = kScaleB * g[0] + (kScaleB * kB2) * g[2], odd_b = (kScaleB * kPointB) * g[1];
  out[0] = (1.0f / (kA2 * kB2)) * g[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

COOPDRAW_INLINE void transform_products(const Floats (&m)[kInputs], Floats (&out)[kOutputs]) {
  const Floats sum_a = m[1] + m[2], difference_a = m[1] - m[2];
  const Floats sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  out[0] = m[0] + (sum_a + sum_b);
  out[1] = kPointA * difference_a + kPointB * difference_b;
  out[2] = kA2 * sum_a + kB2 * sum_b;
  out[3] = m[5] + (kA2 * kPointA * difference_a + kB2 * kPointB * difference_b);
}

// The lanes 0, 2, 4 ... (or 1, 3, 5 ...) of two vectors behind one another.
COOPDRAW_INLINE Floats every_second(Floats a, Floats b, int first) {
  Integers lanes;
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = 2 * lane + first;
  return __builtin_shuffle(a, b, lanes);
}

// a0 b0 a1 b1 ... of the lower (or upper) halves.
COOPDRAW_INLINE Floats zip(Floats a, Floats b, bool upper) {
  Integers lanes;
  for (int lane = 0; lane < kLanes; ++lane) {
    lanes[lane] = lane / 2 + (lane % 2 ? kLanes : 0) + (upper ? kLanes / 2 : 0);
  }
  return __builtin_shuffle(a, b, lanes);
}

// The factors of one channel for a vector of tiles, `stride` apart. The inputs of the groups start at `groups`, in rows
// of `width`; each row is read for kLanes + 4 columns.
COOPDRAW_INLINE void input_factors(const float* const (&groups)[kGroups], int64_t width, float* out, int64_t stride) {
  Floats columns[2][kInputs][kGroups];  // transformed along the columns: inputs 0 to 3 of each tile, and 4 to 7
  for (int part = 0; part < 2; ++part) {
    for (int group = 0; group < kGroups; ++group) {
      Floats inputs[kInputs], factors[kInputs];
      for (int row = 0; row < kInputs; ++row) inputs[row] = load(groups[group] + row * width + part * kOutputs);
      transform_inputs(inputs, factors);
      for (int row = 0; row < kInputs; ++row) columns[part][row][group] = factors[row];
    }
  }
  for (int row = 0; row < kInputs; ++row) {
    const Floats(&near)[kGroups] = columns[0][row];
    const Floats(&far)[kGroups] = columns[1][row];
    const Floats even = every_second(near[0], near[1], 0), even_upper = every_second(near[2], near[3], 0);
    const Floats odd = every_second(near[0], near[1], 1), odd_upper = every_second(near[2], near[3], 1);
    const Floats inputs[kInputs] = {
        every_second(even, even_upper, 0),
        every_second(odd, odd_upper, 0),
        every_second(even, even_upper, 1),
        every_second(odd, odd_upper, 1),
        every_second(every_second(far[0], far[1], 0), every_second(far[2], far[3], 0), 0),
        every_second(every_second(far[0], far[1], 1), every_second(far[2], far[3], 1), 0),
    };
    Floats factors[kInputs];
    transform_inputs(inputs, factors);
    for (int column = 0; column < kInputs; ++column) store(out + (row * kInputs + column) * stride, factors[column]);
  }
}

// taps[t][lane] = weight[lane * 9 + t] for `count` channels, 0 for further ones. `room`: floats there are at `weight`.
COOPDRAW_INLINE void load_taps(const float* weight, int64_t count, int64_t room, Floats (&taps)[kTaps]) {
  float copy[kLanes * kTaps + kLanes];
  if (count < kLanes || room < kLanes * kTaps + kLanes) {
    memset(copy, 0, sizeof(copy));
    memcpy(copy, weight, static_cast<size_t>(least(count, kLanes) * kTaps) * sizeof(float));
    weight = copy;
  }
#pragma GCC unroll 4
  for (int first = 0; first + 1 < kTaps; first += kLanes) {
    Floats block[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) block[lane] = load(weight + lane * kTaps + first);
    transpose(block);
    for (int tap = 0; tap < kLanes; ++tap) {
      if (first + tap < kTaps) taps[first + tap] = block[tap];
    }
  }
  if constexpr (kLanes < kTaps) {
    for (int lane = 0; lane < kLanes; ++lane) taps[kTaps - 1][lane] = weight[lane * kTaps + kTaps - 1];
  }
}

// The factors of a vector of kernels, `stride` apart.
COOPDRAW_INLINE void kernel_factors(const Floats (&taps)[kTaps], float* out, int64_t stride) {
  Floats columns[kInputs][kKernel];
  for (int column = 0; column < kKernel; ++column) {
    const Floats kernel[kKernel] = {taps[column], taps[kKernel + column], taps[2 * kKernel + column]};
    Floats factors[kInputs];
    transform_kernel(kernel, factors);
    for (int row = 0; row < kInputs; ++row) columns[row][column] = factors[row];
  }
  for (int row = 0; row < kInputs; ++row) {
    Floats factors[kInputs];
    transform_kernel(columns[row], factors);
    for (int column = 0; column < kInputs; ++column) store(out + (row * kInputs + column) * stride, factors[column]);
  }
}

// The outputs of a vector of tiles, each group's in four rows, from products that are `stride` apart.
COOPDRAW_INLINE void outputs_of(const float* products, int64_t stride, Floats (&groups)[kGroups][kOutputs]) {
  Floats rows[kOutputs][kInputs];
  for (int column = 0; column < kInputs; ++column) {
    Floats factors[kInputs], outputs[kOutputs];
    for (int row = 0; row < kInputs; ++row) factors[row] = load(products + (row * kInputs + column) * stride);
    transform_products(factors, outputs);
    for (int row = 0; row < kOutputs; ++row) rows[row][column] = outputs[row];
  }
  for (int row = 0; row < kOutputs; ++row) {
    Floats outputs[kOutputs];
    transform_products(rows[row], outputs);
    for (int half = 0; half < 2; ++half) {
      const Floats even = zip(outputs[0], outputs[2], half == 1), odd = zip(outputs[1], outputs[3], half == 1);
      groups[2 * half][row] = zip(even, odd, false);
      groups[2 * half + 1][row] = zip(even, odd, true);
    }
  }
}

}  // namespace coopdraw::COOPDRAW_LEVEL
