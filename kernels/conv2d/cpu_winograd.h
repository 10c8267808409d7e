// Convolution with 3x3 kernels by Winograd's F(4x4, 3x3): 36 products for a tile of 4x4 outputs instead of 144.
//
// For each of the 36 factors, the sum over the channels is a matrix product (out_channels, channels) times (channels,
// tiles). A task makes the factors of its inputs once and those of the weights for a few output channels at a time.
#pragma once

#include "conv2d/cpu_problem.h"
#include "conv2d/cpu_winograd_factors.h"
#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace coopdraw::COOPDRAW_LEVEL {

constexpr int64_t kWinogradGroups = 48 / kLanes * kGroups;  // of a task: 48 tiles
constexpr int64_t kWinogradChannels = 64;                   // of a block: the factors of its inputs take 432 KiB
constexpr int64_t kWinogradOutChannels = 32;                // of a task, at least
// Making the factors of the weights for a block, in products for a vector of tiles.
constexpr double kWeightsCost = 5.0 / kLanes;

struct WinogradPlan {
  int64_t groups, tile_rows;                           // of a row of tiles; of an image
  int64_t rows, row_groups, channels, out_channels;    // of a block, at most
  int64_t row_blocks, group_blocks, out_channel_blocks;
};

// A task's part of the outputs: rows of tiles, counted through all images, and groups of each.
struct WinogradBlock {
  int64_t row, rows, group, groups, out_channel, out_channels;

  int64_t vectors() const { return divide_up(rows * groups, kGroups); }
  int64_t tiles() const { return vectors() * kLanes; }
  int64_t width() const { return groups * kLanes + kOutputs; }  // of its inputs, as input_factors reads them
};

struct WinogradWorkspace {
  float* rows;      // [row of tiles][6][width]: inputs of a channel with their padding
  float* inputs;    // [36][channel][tile]
  float* weights;   // [36][kTileRows][channel]
  float* products;  // [36][kTileRows][tile]
};

// Vectors of tiles over all blocks of `rows` by `row_groups`.
inline int64_t count_vectors(const WinogradPlan& plan, int64_t all_rows) {
  const int64_t last_rows = all_rows - (plan.row_blocks - 1) * plan.rows;
  const int64_t last_groups = plan.groups - (plan.group_blocks - 1) * plan.row_groups;
  const auto of_rows = [&](int64_t rows) {
    return (plan.group_blocks - 1) * divide_up(rows * plan.row_groups, kGroups) + divide_up(rows * last_groups, kGroups);
  };
  return (plan.row_blocks - 1) * of_rows(plan.rows) + of_rows(last_rows);
}

// Cuts the tiles into blocks: few vectors in all, though each block costs the factors of the weights again.
inline WinogradPlan plan_winograd(const Convolution& problem) {
  WinogradPlan best{};
  double least_cost = -1.0;
  const int64_t groups = divide_up(problem.out_width, kLanes), tile_rows = divide_up(problem.out_height, kOutputs);
  for (int64_t most = least(groups, kWinogradGroups); most > 0; --most) {
    WinogradPlan plan{};
    plan.groups = groups;
    plan.tile_rows = tile_rows;
    plan.row_groups = equal_part(groups, most);
    plan.group_blocks = divide_up(groups, plan.row_groups);
    plan.rows = equal_part(problem.batch * tile_rows, kWinogradGroups / plan.row_groups);
    plan.row_blocks = divide_up(problem.batch * tile_rows, plan.rows);
    const double vectors = static_cast<double>(count_vectors(plan, problem.batch * tile_rows));
    const double cost = vectors + kWeightsCost * static_cast<double>(plan.row_blocks * plan.group_blocks);
    if (least_cost >= 0.0 && cost >= least_cost) continue;
    least_cost = cost;
    best = plan;
  }
  best.channels = equal_part(problem.channels, kWinogradChannels);
  // Each part of the output channels costs the factors of the inputs again.
  const int64_t parts = divide_up(thread_count(), best.row_blocks * best.group_blocks);
  const int64_t out_channels = divide_up(problem.out_channels, parts);
  best.out_channels = round_up(out_channels < kWinogradOutChannels ? kWinogradOutChannels : out_channels, kTileRows);
  best.out_channel_blocks = divide_up(problem.out_channels, best.out_channels);
  return best;
}

inline WinogradBlock winograd_block(const Convolution& problem, const WinogradPlan& plan, int64_t task) {
  const int64_t out_channel = task % plan.out_channel_blocks * plan.out_channels;
  task /= plan.out_channel_blocks;
  const int64_t group = task % plan.group_blocks * plan.row_groups, row = task / plan.group_blocks * plan.rows;
  return {row,
          least(plan.rows, problem.batch * plan.tile_rows - row),
          group,
          least(plan.row_groups, plan.groups - group),
          out_channel,
          least(plan.out_channels, problem.out_channels - out_channel)};
}

inline void copy_tile_rows(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                           int64_t channel, float* out) {
  const int64_t width = block.width(), column = block.group * kLanes - problem.left;
  for (int64_t index = block.row; index < block.row + block.rows; ++index) {
    const float* image = problem.input(index / plan.tile_rows, channel);
    const int64_t first = index % plan.tile_rows * kOutputs - problem.top;
    for (int64_t row = first; row < first + kInputs; ++row, out += width) {
      copy_row(problem, image, row, column, 1, width, out);
    }
  }
}

inline void find_input_factors(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                               int64_t first_channel, int64_t channels, const WinogradWorkspace& space) {
  const int64_t tiles = block.tiles(), width = block.width();
  for (int64_t channel = 0; channel < channels; ++channel) {
    copy_tile_rows(problem, plan, block, first_channel + channel, space.rows);
    for (int64_t vector = 0; vector < block.vectors(); ++vector) {
      const float* groups[kGroups];
      for (int64_t index = 0; index < kGroups; ++index) {
        // Beyond the last group, anything will do.
        const int64_t group = least(vector * kGroups + index, block.rows * block.groups - 1);
        groups[index] = space.rows + group / block.groups * kInputs * width + group % block.groups * kLanes;
      }
      input_factors(groups, width, space.inputs + channel * tiles + vector * kLanes, channels * tiles);
    }
  }
}

inline void find_weight_factors(const Convolution& problem, int64_t out_channel, int64_t rows, int64_t first_channel,
                                int64_t channels, int64_t stride, float* out) {
  const int64_t size = problem.out_channels * problem.channels * kTaps;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t channel = 0; channel < channels; channel += kLanes) {
      const int64_t offset = ((out_channel + row) * problem.channels + first_channel + channel) * kTaps;
      Floats taps[kTaps];
      load_taps(problem.weight + offset, channels - channel, size - offset, taps);
      kernel_factors(taps, out + row * stride + channel, kTileRows * stride);
    }
  }
}

inline void put_tiles(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block, int64_t vector,
                      int64_t out_channel, bool first, const float* products) {
  Floats outputs[kGroups][kOutputs];
  outputs_of(products, kTileRows * block.tiles(), outputs);
  const int64_t count = least(kGroups, block.rows * block.groups - vector * kGroups);
  for (int64_t index = 0; index < count; ++index) {
    const int64_t group = vector * kGroups + index, tile_row = block.row + group / block.groups;
    const int64_t row = tile_row % plan.tile_rows * kOutputs;
    const int64_t column = (block.group + group % block.groups) * kLanes;
    const int64_t lines = least(kOutputs, problem.out_height - row), lanes = least(kLanes, problem.out_width - column);
    float* out = problem.output(tile_row / plan.tile_rows, out_channel) + row * problem.out_width + column;
    for (int64_t line = 0; line < lines; ++line, out += problem.out_width) {
      put_outputs(problem, out_channel, outputs[index][line], lanes, first, out);
    }
  }
}

inline void convolve_tiles(const Convolution& problem, const WinogradPlan& plan, const WinogradBlock& block,
                           const WinogradWorkspace& space) {
  const int64_t tiles = block.tiles(), vectors = block.vectors();
  for (int64_t channel = 0; channel < problem.channels; channel += plan.channels) {
    const int64_t channels = least(plan.channels, problem.channels - channel), stride = round_up(channels, kLanes);
    find_input_factors(problem, plan, block, channel, channels, space);
    for (int64_t index = 0; index < block.out_channels; index += kTileRows) {
      const int64_t out_channel = block.out_channel + index, rows = least(kTileRows, block.out_channels - index);
      find_weight_factors(problem, out_channel, rows, channel, channels, stride, space.weights);
      for (int64_t factor = 0; factor < kFactors; ++factor) {
        const float* weights = space.weights + factor * kTileRows * stride;
        for (int64_t vector = 0; vector < vectors; vector += kTileVectors) {
          const Panel inputs{space.inputs + factor * channels * tiles + vector * kLanes, tiles};
          multiply(rows, least(kTileVectors, vectors - vector), weights, stride, inputs, channels,
                   space.products + factor * kTileRows * tiles + vector * kLanes, tiles);
        }
      }
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t vector = 0; vector < vectors; ++vector) {
          put_tiles(problem, plan, block, vector, out_channel + row, channel == 0,
                    space.products + row * tiles + vector * kLanes);
        }
      }
    }
  }
}

// Whether the products are at most half as many as a direct sum's, lanes without a tile included, and there is enough
// of everything for them to outweigh the transforms.
inline bool suits_winograd(const Convolution& problem) {
  const bool fits = problem.kernel_height == kKernel && problem.kernel_width == kKernel && problem.stride_height == 1 &&
                    problem.stride_width == 1 && problem.dilation_height == 1 && problem.dilation_width == 1;
  if (!fits || problem.channels < 4 || problem.out_channels < 16) return false;
  const int64_t rows = problem.batch * divide_up(problem.out_height, kOutputs);
  const int64_t lanes = divide_up(rows * divide_up(problem.out_width, kLanes), kGroups) * kLanes;
  const int64_t outputs = problem.batch * problem.out_height * problem.out_width;
  return rows * divide_up(problem.out_width, kOutputs) >= 8 && 2 * kFactors * lanes <= kTaps * outputs;
}

inline Status convolve_by_winograd(const Convolution& problem, int64_t work) {
  const WinogradPlan plan = plan_winograd(problem);
  const WinogradBlock largest{0, plan.rows, 0, plan.row_groups, 0, 0};
  const int64_t tiles = largest.tiles();
  const int64_t rows = padded(plan.rows * kInputs * largest.width());
  const int64_t inputs = padded(kFactors * plan.channels * tiles);
  const int64_t weights = padded(kFactors * kTileRows * round_up(plan.channels, kLanes));
  const int64_t floats = rows + inputs + weights + kFactors * kTileRows * tiles;
  const int64_t tasks = plan.row_blocks * plan.group_blocks * plan.out_channel_blocks;
  return parallel_for_in_scratch(tasks, work, floats, [&](int64_t task, float* memory) {
    const WinogradWorkspace space{memory, memory + rows, memory + rows + inputs, memory + rows + inputs + weights};
    convolve_tiles(problem, plan, winograd_block(problem, plan, task), space);
  });
}

}  // namespace coopdraw::COOPDRAW_LEVEL
