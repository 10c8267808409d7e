// Convolution as a matrix product: the weight (out_channels, channels * taps) times windows over the input.
//
// A block of the input is copied into planes, one for each phase of the stride, with the padding. There, what a tap sees
// at consecutive output columns lies in consecutive floats, so that windows need no copy of their own: the planes are
// read at a different offset for each tap. A vector of outputs is a run of positions in a plane. It may run over the end
// of a row into the margin and the next row; lanes in the margin are computed and dropped.
#pragma once

#include "conv2d/cpu_problem.h"
#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace coopdraw::COOPDRAW_LEVEL {

constexpr int64_t kDirectDepth = 288;                 // channels of a block times taps, about
constexpr int64_t kDirectPlanesElements = 1 << 16;    // of a block, about: 256 KiB
constexpr int64_t kDirectOutChannels = 256;           // of a task, at most
constexpr int64_t kMostPlanesElements = INT32_MAX / 2;

// How a convolution is cut into tasks, and where things lie in a task's planes.
struct DirectPlan {
  int64_t channels, rows, columns, out_channels;  // of a block, at most
  int64_t row_blocks, column_blocks, out_channel_blocks;
  int64_t row_phases, column_phases, plane_height, plane_width, channel_stride;

  int64_t plane() const { return plane_height * plane_width; }
};

// A task's part of the outputs.
struct DirectBlock {
  int64_t image, row, column, out_channel, rows, columns, out_channels;
};

// A vector of outputs of a block: its first position, and how many of its lanes count.
struct OutputVector {
  int64_t start, lanes;
};

struct DirectWorkspace {
  float* planes;
  float* tile;  // of products, kTileRows by kTileWidth
  OutputVector* vectors;
  int32_t* offsets;  // [channel][tap]
};

inline void size_planes(const Convolution& problem, DirectPlan& plan) {
  const int64_t reach_rows = (problem.kernel_height - 1) * problem.dilation_height;
  const int64_t reach_columns = (problem.kernel_width - 1) * problem.dilation_width;
  plan.row_phases = least(problem.stride_height, reach_rows + 1);
  plan.column_phases = least(problem.stride_width, reach_columns + 1);
  plan.plane_height = plan.rows + reach_rows / problem.stride_height;
  plan.plane_width = plan.columns + reach_columns / problem.stride_width;
  // An odd number of vectors: channels must not fall on the same lines of the cache.
  const int64_t elements = plan.row_phases * plan.column_phases * plan.plane();
  plan.channel_stride = (divide_up(elements, kLanes) | 1) * kLanes;
}

inline DirectPlan plan_direct(const Convolution& problem) {
  DirectPlan plan{};
  plan.channels = equal_part(problem.channels, kDirectDepth / problem.taps() + 1);
  plan.rows = problem.out_height;
  plan.columns = problem.out_width;
  for (;;) {
    size_planes(problem, plan);
    if (plan.channels * plan.channel_stride <= kDirectPlanesElements) break;
    if (plan.rows > 1) {
      plan.rows = divide_up(plan.rows, 2);
    } else if (plan.columns > kTileWidth) {
      plan.columns = round_up(divide_up(plan.columns, 2), kLanes);
    } else if (plan.channels > 1) {
      plan.channels = divide_up(plan.channels, 2);
    } else {
      break;
    }
  }
  plan.row_blocks = divide_up(problem.out_height, plan.rows);
  plan.column_blocks = divide_up(problem.out_width, plan.columns);
  const int64_t blocks = problem.batch * plan.row_blocks * plan.column_blocks;
  const int64_t parts = divide_up(2 * thread_count(), blocks);
  plan.out_channels = least(kDirectOutChannels, round_up(divide_up(problem.out_channels, parts), kTileRows));
  plan.out_channel_blocks = divide_up(problem.out_channels, plan.out_channels);
  return plan;
}

inline DirectBlock direct_block(const Convolution& problem, const DirectPlan& plan, int64_t task) {
  const int64_t out_channel = task % plan.out_channel_blocks * plan.out_channels;
  task /= plan.out_channel_blocks;
  const int64_t column = task % plan.column_blocks * plan.columns;
  task /= plan.column_blocks;
  const int64_t row = task % plan.row_blocks * plan.rows;
  return {task / plan.row_blocks,
          row,
          column,
          out_channel,
          least(plan.rows, problem.out_height - row),
          least(plan.columns, problem.out_width - column),
          least(plan.out_channels, problem.out_channels - out_channel)};
}

inline void copy_planes(const Convolution& problem, const DirectPlan& plan, const DirectBlock& block,
                        int64_t first_channel, int64_t channels, float* planes) {
  const int64_t reach = (problem.kernel_height - 1) * problem.dilation_height;
  const int64_t padded_rows = (block.rows - 1) * problem.stride_height + reach + 1;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const float* image = problem.input(block.image, first_channel + channel);
    for (int64_t index = 0; index < padded_rows; ++index) {
      const int64_t row_phase = index % problem.stride_height;
      if (row_phase >= plan.row_phases) continue;
      float* out = planes + channel * plan.channel_stride + row_phase * plan.column_phases * plan.plane() +
                   index / problem.stride_height * plan.plane_width;
      const int64_t row = block.row * problem.stride_height - problem.top + index;
      for (int64_t phase = 0; phase < plan.column_phases; ++phase, out += plan.plane()) {
        copy_row(problem, image, row, block.column * problem.stride_width - problem.left + phase, problem.stride_width,
                 plan.plane_width, out);
      }
    }
  }
}

inline void find_offsets(const Convolution& problem, const DirectPlan& plan, int32_t* offsets) {
  const int64_t taps = problem.taps();
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t row = tap / problem.kernel_width * problem.dilation_height;
    const int64_t column = tap % problem.kernel_width * problem.dilation_width;
    const int64_t phase = row % problem.stride_height * plan.column_phases + column % problem.stride_width;
    const int64_t position = row / problem.stride_height * plan.plane_width + column / problem.stride_width;
    offsets[tap] = static_cast<int32_t>(phase * plan.plane() + position);
  }
  for (int64_t index = taps; index < plan.channels * taps; ++index) {
    offsets[index] = offsets[index - taps] + static_cast<int32_t>(plan.channel_stride);
  }
}

// Covers the outputs of a block by as few vectors as there may be: row by row, or all rows with their margins as one.
inline int64_t find_vectors(const DirectPlan& plan, const DirectBlock& block, OutputVector* vectors) {
  const int64_t run = (block.rows - 1) * plan.plane_width + block.columns;
  const bool by_rows = block.rows * divide_up(block.columns, kLanes) <= divide_up(run, kLanes);
  const int64_t rows = by_rows ? block.rows : 1, length = by_rows ? block.columns : run;
  int64_t count = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t index = 0; index < length; index += kLanes) {
      vectors[count++] = {row * plan.plane_width + index, least(kLanes, length - index)};
    }
  }
  return count;
}

// Puts a vector's column of a tile into the output.
inline void put_vector(const Convolution& problem, const DirectPlan& plan, const DirectBlock& block,
                       const OutputVector& vector, const float* tile, int64_t out_channel, int64_t rows, bool first) {
  float* const image = problem.output(block.image, out_channel);
  for (int64_t lane = 0; lane < vector.lanes;) {
    const int64_t row = (vector.start + lane) / plan.plane_width, column = (vector.start + lane) % plan.plane_width;
    if (column >= block.columns) {
      lane += plan.plane_width - column;
      continue;
    }
    const int64_t count = least(vector.lanes - lane, block.columns - column);
    float* out = image + (block.row + row) * problem.out_width + block.column + column;
    for (int64_t index = 0; index < rows; ++index, out += problem.out_height * problem.out_width) {
      put_outputs(problem, out_channel + index, load(tile + index * kTileWidth + lane), count, first, out);
    }
    lane += count;
  }
}

inline void convolve_block(const Convolution& problem, const DirectPlan& plan, const DirectBlock& block,
                           const DirectWorkspace& space) {
  const int64_t taps = problem.taps(), row_length = problem.channels * taps;
  const int64_t vectors = find_vectors(plan, block, space.vectors), panels = divide_up(vectors, kTileVectors);
  for (int64_t channel = 0; channel < problem.channels; channel += plan.channels) {
    const int64_t channels = least(plan.channels, problem.channels - channel);
    copy_planes(problem, plan, block, channel, channels, space.planes);
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t begin = panel * vectors / panels, end = (panel + 1) * vectors / panels;
      Windows windows{{}, space.offsets};
      for (int64_t vector = begin; vector < end; ++vector) {
        windows.starts[vector - begin] = space.planes + space.vectors[vector].start;
      }
      for (int64_t row = 0; row < block.out_channels; row += kTileRows) {
        const int64_t rows = least(kTileRows, block.out_channels - row), out_channel = block.out_channel + row;
        const float* weight = problem.weight + out_channel * row_length + channel * taps;
        multiply(rows, end - begin, weight, row_length, windows, channels * taps, space.tile, kTileWidth);
        for (int64_t vector = begin; vector < end; ++vector) {
          put_vector(problem, plan, block, space.vectors[vector], space.tile + (vector - begin) * kLanes, out_channel,
                     rows, channel == 0);
        }
      }
    }
  }
}

inline Status convolve_directly(const Convolution& problem, int64_t work) {
  const DirectPlan plan = plan_direct(problem);
  const int64_t planes = padded(plan.channels * plan.channel_stride + kLanes);  // the last vector may reach beyond
  if (planes > kMostPlanesElements) return kNoMemory;
  const int64_t tile = padded(kTileRows * kTileWidth + kLanes);  // read from any lane on
  constexpr int64_t kVectorFloats = sizeof(OutputVector) / sizeof(float);
  const int64_t vectors = padded(plan.rows * divide_up(plan.columns, kLanes) * kVectorFloats);
  const int64_t floats = planes + tile + vectors + plan.channels * problem.taps();
  const int64_t tasks = problem.batch * plan.row_blocks * plan.column_blocks * plan.out_channel_blocks;
  return parallel_for_in_scratch(tasks, work, floats, [&](int64_t task, float* memory) {
    float* const rest = memory + planes + tile;
    const DirectWorkspace space{memory, memory + planes, reinterpret_cast<OutputVector*>(rest),
                                reinterpret_cast<int32_t*>(rest + vectors)};
    memset(space.planes + planes - kLanes, 0, kLanes * sizeof(float));
    find_offsets(problem, plan, space.offsets);
    convolve_block(problem, plan, direct_block(problem, plan, task), space);
  });
}

}  // namespace coopdraw::COOPDRAW_LEVEL
