// Winograd's convolution F(4x4, 3x3) (Lavin, Gray 2015, arXiv 1509.09308): 36 products for 16 outputs instead of 144.
//
// A tile of 6x6 inputs and a kernel of 3x3 become 6x6 factors each; their products, summed over the channels in one
// matrix product for each of the 36, become 4x4 outputs. With the interpolation points 0, +-5/8, +-3/2 and infinity,
// the error in float32 is that of a direct sum (with +-1 and +-2 it is several times larger).
#pragma once

#include "conv2d/cpu_problem.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace coopdraw::COOPDRAW_LEVEL {

constexpr int kTileInputs = 6, kTileOutputs = 4, kFactors = kTileInputs * kTileInputs;
// Outputs of a group of tiles beside one another fill a vector; four groups make a vector of tiles.
constexpr int kGroups = 4, kGroupTiles = kLanes / kGroups;
constexpr int64_t kWinogradVectors = 48 / kLanes;  // of tiles of a task
constexpr int64_t kWinogradChannels = 64;          // of a block: the factors of its inputs take 432 KiB

constexpr float kPointA = 0.625f, kPointB = 1.5f;
constexpr float kA2 = kPointA * kPointA, kB2 = kPointB * kPointB;

struct WinogradPlan {
  int64_t groups;          // of a row of tiles
  int64_t tile_rows;       // of an image
  int64_t row_block, group_block, out_channel_block, channel_block;  // of a task, at most
  int64_t row_blocks, group_blocks, out_channel_blocks;
};

struct WinogradWorkspace {
  float* rows;     // [row of tiles][6][width]: input rows with their padding
  float* inputs;   // [36][channel][tile]
  float* weights;  // [36][kTileRows][channel]
  float* products; // [36][kTileRows][tile]
};

// A task's part of the outputs: rows of tiles, counted through all images, and groups of each.
struct WinogradBlock {
  int64_t row, rows, group, groups, out_channel, out_channels;

  int64_t vectors() const { return divide_up(rows * groups, kGroups); }
  int64_t tiles() const { return vectors() * kLanes; }
  int64_t width() const { return groups * kLanes + kTileInputs - 2; }
};

COOPDRAW_INLINE void transform_input(const Floats (&d)[6], Floats (&out)[6]) {
  const Floats even_a = d[4] - kB2 * d[2], odd_a = d[3] - kB2 * d[1];
  const Floats even_b = d[4] - kA2 * d[2], odd_b = d[3] - kA2 * d[1];
  out[0] = (d[4] - (kA2 + kB2) * d[2]) + (kA2 * kB2) * d[0];
  out[1] = even_a + kPointA * odd_a;
  out[2] = even_a - kPointA * odd_a;
  out[3] = even_b + kPointB * odd_b;
  out[4] = even_b - kPointB * odd_b;
  out[5] = (d[5] - (kA2 + kB2) * d[3]) + (kA2 * kB2) * d[1];
}

COOPDRAW_INLINE void transform_weight(const Floats (&g)[3], Floats (&out)[6]) {
  constexpr float kFactorA = 1.0f / (2.0f * kA2 * (kA2 - kB2)), kFactorB = 1.0f / (2.0f * kB2 * (kB2 - kA2));
  const Floats even_a = kFactorA * g[0] + (kFactorA * kA2) * g[2], odd_a = (kFactorA * kPointA) * g[1];
  const Floats even_b = kFactorB * g[0] + (kFactorB * kB2) * g[2], odd_b = (kFactorB * kPointB) * g[1];
  out[0] = (1.0f / (kA2 * kB2)) * g[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

COOPDRAW_INLINE void transform_output(const Floats (&m)[6], Floats (&out)[4]) {
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

// The factors of one channel for a vector of tiles, whose groups' inputs start at `groups` in rows of `width`.
COOPDRAW_INLINE void input_factors(const float* const (&groups)[kGroups], int64_t width, float* out, int64_t stride) {
  Floats columns[2][kTileInputs][kGroups];  // transformed along the columns: inputs 0 to 3 of each tile, and 4 to 7
  for (int part = 0; part < 2; ++part) {
    for (int group = 0; group < kGroups; ++group) {
      Floats inputs[kTileInputs], factors[kTileInputs];
      for (int row = 0; row < kTileInputs; ++row) inputs[row] = load(groups[group] + row * width + part * kTileOutputs);
      transform_input(inputs, factors);
      for (int row = 0; row < kTileInputs; ++row) columns[part][row][group] = factors[row];
    }
  }
  for (int row = 0; row < kTileInputs; ++row) {
    const Floats(&near)[kGroups] = columns[0][row];
    const Floats(&far)[kGroups] = columns[1][row];
    const Floats even = every_second(near[0], near[1], 0), even2 = every_second(near[2], near[3], 0);
    const Floats odd = every_second(near[0], near[1], 1), odd2 = every_second(near[2], near[3], 1);
    const Floats inputs[kTileInputs] = {
        every_second(even, even2, 0),
        every_second(odd, odd2, 0),
        every_second(even, even2, 1),
        every_second(odd, odd2, 1),
        every_second(every_second(far[0], far[1], 0), every_second(far[2], far[3], 0), 0),
        every_second(every_second(far[0], far[1], 1), every_second(far[2], far[3], 1), 0),
    };
    Floats factors[kTileInputs];
    transform_input(inputs, factors);
    for (int column = 0; column < kTileInputs; ++column) store(out + (row * kTileInputs + column) * stride, factors[column]);
  }
}

// Input rows of a channel for each row of tiles, with their padding.
inline void copy_tile_rows(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                           int64_t channel, float* out) {
  const int64_t width = block.width();
  for (int64_t index = 0; index < block.rows; ++index) {
    const int64_t image = (block.row + index) / plan.tile_rows, tile_row = (block.row + index) % plan.tile_rows;
    const float* source = problem.x + (image * problem.channels + channel) * problem.height * problem.width;
    const int64_t first = tile_row * kTileOutputs - problem.top;
    for (int64_t row = first; row < first + kTileInputs; ++row, out += width) {
      copy_row(source, problem.width, row, problem.height, block.group * kLanes - problem.left, 1, width, out);
    }
  }
}

inline void transform_inputs(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                             int64_t first_channel, int64_t channels, const WinogradWorkspace& space) {
  const int64_t tiles = block.tiles(), width = block.width(), count = block.rows * block.groups;
  for (int64_t channel = 0; channel < channels; ++channel) {
    copy_tile_rows(problem, plan, block, first_channel + channel, space.rows);
    for (int64_t vector = 0; vector < block.vectors(); ++vector) {
      const float* groups[kGroups];
      for (int64_t index = 0; index < kGroups; ++index) {
        const int64_t group = least(vector * kGroups + index, count - 1);  // beyond the last: anything will do
        groups[index] = space.rows + group / block.groups * kTileInputs * width + group % block.groups * kLanes;
      }
      input_factors(groups, width, space.inputs + channel * tiles + vector * kLanes, channels * tiles);
    }
  }
}

// taps[t][lane] = weight[lane * 9 + t] for `count` channels, 0 for further ones. `room`: floats that may be read.
COOPDRAW_INLINE void load_taps(const float* weight, int64_t count, int64_t room, Floats (&taps)[9]) {
  constexpr int kTaps = 9;
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

inline void transform_weights(const Convolution& problem, int64_t out_channel, int64_t rows, int64_t first_channel,
                              int64_t channels, int64_t stride, float* out) {
  const int64_t all = problem.out_channels * problem.channels * 9;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t channel = 0; channel < channels; channel += kLanes) {
      const int64_t offset = ((out_channel + row) * problem.channels + first_channel + channel) * 9;
      Floats taps[9], columns[kTileInputs][3];
      load_taps(problem.weight + offset, channels - channel, all - offset, taps);
      for (int column = 0; column < 3; ++column) {
        const Floats weights[3] = {taps[column], taps[3 + column], taps[6 + column]};
        Floats factors[kTileInputs];
        transform_weight(weights, factors);
        for (int index = 0; index < kTileInputs; ++index) columns[index][column] = factors[index];
      }
      float* target = out + row * stride + channel;
      for (int index = 0; index < kTileInputs; ++index) {
        Floats factors[kTileInputs];
        transform_weight(columns[index], factors);
        for (int column = 0; column < kTileInputs; ++column) {
          store(target + (index * kTileInputs + column) * kTileRows * stride, factors[column]);
        }
      }
    }
  }
}

// The outputs of a vector of tiles, put into the groups' places.
COOPDRAW_INLINE void put_outputs(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                                 int64_t vector, int64_t out_channel, bool first, const float* products,
                                 int64_t stride) {
  Floats rows[kTileOutputs][kTileInputs];
  for (int column = 0; column < kTileInputs; ++column) {
    Floats factors[kTileInputs], outputs[kTileOutputs];
    for (int row = 0; row < kTileInputs; ++row) factors[row] = load(products + (row * kTileInputs + column) * stride);
    transform_output(factors, outputs);
    for (int row = 0; row < kTileOutputs; ++row) rows[row][column] = outputs[row];
  }
  Floats groups[kGroups][kTileOutputs];
  for (int row = 0; row < kTileOutputs; ++row) {
    Floats outputs[kTileOutputs];
    transform_output(rows[row], outputs);
    for (int half = 0; half < 2; ++half) {
      const Floats even = zip(outputs[0], outputs[2], half == 1), odd = zip(outputs[1], outputs[3], half == 1);
      groups[2 * half][row] = zip(even, odd, false);
      groups[2 * half + 1][row] = zip(even, odd, true);
    }
  }
  const int64_t count = least(kGroups, block.rows * block.groups - vector * kGroups);
  for (int64_t index = 0; index < count; ++index) {
    const int64_t group = vector * kGroups + index, tile_row = block.row + group / block.groups;
    const int64_t image = tile_row / plan.tile_rows, row = tile_row % plan.tile_rows * kTileOutputs;
    const int64_t column = (block.group + group % block.groups) * kLanes;
    const int64_t lines = least(kTileOutputs, problem.out_height - row);
    float* out = problem.y + ((image * problem.out_channels + out_channel) * problem.out_height + row) *
                                 problem.out_width + column;
    for (int64_t line = 0; line < lines; ++line) {
      put_outputs_of_row(problem, out_channel, groups[index][line], least(kLanes, problem.out_width - column), first,
                         out + line * problem.out_width);
    }
  }
}

inline void convolve_tiles(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                           const WinogradWorkspace& space) {
  const int64_t tiles = block.tiles(), vectors = block.vectors();
  for (int64_t channel = 0; channel < problem.channels; channel += plan.channel_block) {
    const int64_t channels = least(plan.channel_block, problem.channels - channel);
    const int64_t weight_stride = divide_up(channels, kLanes) * kLanes;
    transform_inputs(problem, plan, block, channel, channels, space);
    for (int64_t index = 0; index < block.out_channels; index += kTileRows) {
      const int64_t out_channel = block.out_channel + index, rows = least(kTileRows, block.out_channels - index);
      transform_weights(problem, out_channel, rows, channel, channels, weight_stride, space.weights);
      for (int64_t factor = 0; factor < kFactors; ++factor) {
        for (int64_t vector = 0; vector < vectors; vector += kTileVectors) {
          const Panel panel{space.inputs + factor * channels * tiles + vector * kLanes, tiles};
          multiply(rows, least(kTileVectors, vectors - vector), space.weights + factor * kTileRows * weight_stride,
                   weight_stride, panel, channels, space.products + factor * kTileRows * tiles + vector * kLanes, tiles);
        }
      }
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t vector = 0; vector < vectors; ++vector) {
          put_outputs(problem, plan, block, vector, out_channel + row, channel == 0,
                      space.products + row * tiles + vector * kLanes, kTileRows * tiles);
        }
      }
    }
  }
}

inline WinogradPlan plan_winograd(const Convolution& problem) {
  WinogradPlan plan{};
  plan.groups = divide_up(problem.out_width, kLanes);
  plan.tile_rows = divide_up(problem.out_height, kTileOutputs);
  plan.channel_block = equal_part(problem.channels, kWinogradChannels);
  const int64_t most_groups = kWinogradVectors * kGroups, rows = problem.batch * plan.tile_rows;
  plan.group_block = equal_part(plan.groups, most_groups);
  plan.group_blocks = divide_up(plan.groups, plan.group_block);
  plan.row_block = equal_part(rows, most_groups / plan.group_block);
  plan.row_blocks = divide_up(rows, plan.row_block);
  const int64_t parts = divide_up(2 * thread_count(), plan.group_blocks * plan.row_blocks);
  plan.out_channel_block = divide_up(divide_up(problem.out_channels, parts), kTileRows) * kTileRows;
  plan.out_channel_blocks = divide_up(problem.out_channels, plan.out_channel_block);
  return plan;
}

inline bool suits_winograd(const Convolution& problem) {
  return problem.kernel_height == 3 && problem.kernel_width == 3 && problem.stride_height == 1 &&
         problem.stride_width == 1 && problem.dilation_height == 1 && problem.dilation_width == 1 &&
         problem.channels >= 16 && problem.out_channels >= 16;
}

inline Status convolve_by_winograd(const Convolution& problem, int64_t work) {
  const WinogradPlan plan = plan_winograd(problem);
  const int64_t channels = plan.channel_block, padded_channels = divide_up(channels, kLanes) * kLanes;
  const WinogradBlock largest{0, plan.row_block, 0, plan.group_block, 0, 0};
  const int64_t tiles = largest.tiles();
  const int64_t rows = divide_up(plan.row_block * kTileInputs * largest.width(), kLanes) * kLanes;
  const int64_t inputs = kFactors * channels * tiles, weights = kFactors * kTileRows * padded_channels;
  const int64_t products = kFactors * kTileRows * tiles;
  const size_t bytes = static_cast<size_t>(rows + inputs + weights + products) * sizeof(float);
  bool failed = false;
  parallel_for(plan.row_blocks * plan.group_blocks * plan.out_channel_blocks, work, [&](int64_t task) {
    float* memory = static_cast<float*>(thread_scratch(bytes));
    if (!memory) {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      return;
    }
    const WinogradWorkspace space{memory, memory + rows, memory + rows + inputs, memory + rows + inputs + weights};
    const int64_t out_channel = task % plan.out_channel_blocks * plan.out_channel_block;
    const int64_t group = task / plan.out_channel_blocks % plan.group_blocks * plan.group_block;
    const int64_t row = task / plan.out_channel_blocks / plan.group_blocks * plan.row_block;
    const WinogradBlock block{row,
                              least(plan.row_block, problem.batch * plan.tile_rows - row),
                              group,
                              least(plan.group_block, plan.groups - group),
                              out_channel,
                              least(plan.out_channel_block, problem.out_channels - out_channel)};
    convolve_tiles(problem, plan, block, space);
  });
  return failed ? kNoMemory : kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL
