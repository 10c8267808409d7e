// A convolution as its kernels see it, and how they read rows of images and write rows of outputs.
#pragma once

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

// Of images (batch, channels, height, width) with one group of channels.
struct Convolution {
  int64_t batch, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width, dilation_height, dilation_width;
  int64_t top, left;               // padding; at the bottom and the right it follows from the output's size
  const float *x, *weight, *bias;  // bias: null without one
  float* y;

  int64_t taps() const { return kernel_height * kernel_width; }

  const float* input(int64_t image, int64_t channel) const {
    return x + (image * channels + channel) * height * width;
  }

  float* output(int64_t image, int64_t channel) const {
    return y + (image * out_channels + channel) * out_height * out_width;
  }
};

COOPDRAW_INLINE int64_t round_up(int64_t value, int64_t step) { return divide_up(value, step) * step; }

// The largest of as few nearly equal parts as there may be, none above `most`.
COOPDRAW_INLINE int64_t equal_part(int64_t total, int64_t most) { return divide_up(total, divide_up(total, most)); }

// Columns begin, begin + step, ... of a row of one channel of an image; 0 outside of it.
inline void copy_row(const Convolution& problem, const float* image, int64_t row, int64_t begin, int64_t step,
                     int64_t count, float* out) {
  const bool inside = row >= 0 && row < problem.height && begin < problem.width;
  const int64_t end = inside ? least(count, (problem.width - 1 - begin) / step + 1) : 0;
  int64_t index = 0;
  for (; index < end && begin + index * step < 0; ++index) out[index] = 0.0f;
  const float* source = image + row * problem.width + begin;
  if (step == 1) {
    for (; index + kLanes <= end; index += kLanes) {
      __builtin_prefetch(source + index + problem.height * problem.width);  // the same row of the next channel
      store(out + index, load(source + index));
    }
  }
  for (; index < end; ++index) out[index] = source[index * step];
  for (; index < count; ++index) out[index] = 0.0f;
}

// Writes sums over a block of channels: on top of the bias for the first block, on top of what is there for the others.
COOPDRAW_INLINE void put_outputs(const Convolution& problem, int64_t out_channel, Floats sums, int64_t count, bool first,
                                 float* out) {
  const float bias = problem.bias ? problem.bias[out_channel] : 0.0f;
  if (count == kLanes) {
    store(out, sums + (first ? splat(bias) : load(out)));
    return;
  }
  float lanes[kLanes];
  store(lanes, sums);
  for (int64_t lane = 0; lane < count; ++lane) out[lane] = lanes[lane] + (first ? bias : out[lane]);
}

}  // namespace coopdraw::COOPDRAW_LEVEL
