// Statistics and elementwise steps that group and layer normalisation share.
#pragma once

#include <math.h>

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

// Of a set of numbers: how many, their mean, and the sum of squared distances from it.
struct Moments {
  double count = 0.0, mean = 0.0, squares = 0.0;

  // Chan, Golub, LeVeque 1983: of the union of two sets.
  void add(const Moments& other) {
    const double both = count + other.count;
    if (both == 0.0) return;
    const double distance = other.mean - mean;
    mean += distance * (other.count / both);
    squares += other.squares + distance * distance * (count * (other.count / both));
    count = both;
  }

  double reciprocal_deviation(double epsilon) const { return 1.0 / sqrt(squares / count + epsilon); }
};

// 16 KiB: read twice, the second time from the first-level cache. float32 sums of so few numbers are accurate.
constexpr int64_t kMomentsBlock = 4096;

COOPDRAW_INLINE double sum_of(const Floats (&parts)[4]) { return sum((parts[0] + parts[1]) + (parts[2] + parts[3])); }

// A float near the mean of at most kMomentsBlock numbers.
inline float block_centre(const float* x, int64_t length) {
  Floats sums[4] = {};
  int64_t index = 0;
  for (; index + 4 * kLanes <= length; index += 4 * kLanes) {
    for (int part = 0; part < 4; ++part) sums[part] += load(x + index + part * kLanes);
  }
  for_each_vector(length - index, [&](int64_t offset, int64_t count) {
    sums[0] += load_some(x + index + offset, count);
  });
  return static_cast<float>(sum_of(sums) / static_cast<double>(length));
}

// Moments of at most kMomentsBlock numbers, from their distances to a centre, which stay small where the mean is large.
inline Moments block_moments(const float* x, int64_t length) {
  const float centre = block_centre(x, length);
  Floats sums[4] = {}, squares[4] = {};
  int64_t index = 0;
  for (; index + 4 * kLanes <= length; index += 4 * kLanes) {
    for (int part = 0; part < 4; ++part) {
      const Floats distance = load(x + index + part * kLanes) - centre;
      sums[part] += distance;
      squares[part] += distance * distance;
    }
  }
  for_each_vector(length - index, [&](int64_t offset, int64_t count) {
    const Floats distance = load_some(x + index + offset, count, centre) - centre;
    sums[0] += distance;
    squares[0] += distance * distance;
  });
  const double count = static_cast<double>(length), offset = sum_of(sums) / count;
  const double about_mean = sum_of(squares) - offset * offset * count;
  return {count, static_cast<double>(centre) + offset, about_mean < 0.0 ? 0.0 : about_mean};
}

inline Moments row_moments(const float* x, int64_t length) {
  Moments all;
  for (int64_t begin = 0; begin < length; begin += kMomentsBlock) {
    all.add(block_moments(x + begin, least(kMomentsBlock, length - begin)));
  }
  return all;
}

inline void add_rows(const float* a, const float* b, float* out, int64_t length) {
  for_each_vector(length, [&](int64_t index, int64_t count) {
    store_some(out + index, load_some(a + index, count) + load_some(b + index, count), count);
  });
}

}  // namespace coopdraw::COOPDRAW_LEVEL
