// A convolution as its kernels see it: images (batch, channels, height, width), float32, one group.
#pragma once

#include "cpu/entry.h"

namespace coopdraw::COOPDRAW_LEVEL {

struct Convolution {
  int64_t batch, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width, dilation_height, dilation_width;
  int64_t top, left;  // padding; at the bottom and the right it follows from the output's size
  const float *x, *weight, *bias;  // bias: null without one
  float* y;

  int64_t taps() const { return kernel_height * kernel_width; }
};

COOPDRAW_INLINE int64_t round_up(int64_t value, int64_t step) { return divide_up(value, step) * step; }

// The largest of as few nearly equal parts as there may be, none above `most`.
COOPDRAW_INLINE int64_t equal_part(int64_t total, int64_t most) { return divide_up(total, divide_up(total, most)); }

// Pixels begin, begin + step, ... of a row of an image (height, width), 0 outside of it.
inline void copy_row(const float* image, int64_t width, int64_t row, int64_t height, int64_t begin, int64_t step,
                     int64_t count, float* out) {
  const bool inside_image = row >= 0 && row < height && begin < width;
  const int64_t last = inside_image ? least(count, (width - 1 - begin) / step + 1) : 0;
  int64_t index = 0;
  for (; index < last && begin + index * step < 0; ++index) out[index] = 0.0f;
  const float* source = image + row * width + begin;
  if (step == 1) {
    for (; index + kLanes <= last; index += kLanes) store(out + index, load(source + index));
  }
  for (; index < last; ++index) out[index] = source[index * step];
  for (; index < count; ++index) out[index] = 0.0f;
}

// Puts sums of products into a row of output channel `out_channel`: on top of the bias, later on top of what is there.
COOPDRAW_INLINE void put_outputs_of_row(const Convolution& problem, int64_t out_channel, Floats sums, int64_t count,
                                        bool first, float* out) {
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
