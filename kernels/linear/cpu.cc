// Dense layers: y = x @ weight^T + bias, float32. The weight is read as it lies; what is copied of it lives for one task.
#include "cpu/entry.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

constexpr int64_t kFewRows = 6;      // up to here, packing the weight costs more than it saves
constexpr int64_t kRowsOfTask = 256;
constexpr int64_t kDepth = 256;      // of a packed block of the weight; its 48 KiB stay in the caches
constexpr int64_t kFewRowsTaskElements = 1 << 14;  // of the weight

struct Problem {
  int64_t rows, depth, columns;
  const float *x, *weight, *bias;  // bias: null without one
  float* y;
};

// Few rows: lanes run along the depth.

// The sum of the lanes of sums[i] goes to lane i: adds halves, quarters ... while their lanes change places.
template <int Step = kLanes / 2>
COOPDRAW_INLINE Floats sum_lanes(Floats (&sums)[kLanes]) {
  Integers low, high;  // of the lanes of two vectors, behind one another
  for (int lane = 0; lane < kLanes; ++lane) {
    low[lane] = lane & Step ? kLanes + lane - Step : lane;
    high[lane] = lane & Step ? kLanes + lane : lane + Step;
  }
#pragma GCC unroll 16
  for (int row = 0; row < Step; ++row) {
    const Floats a = sums[row], b = sums[row + Step];
    sums[row] = __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
  }
  if constexpr (Step > 1) return sum_lanes<Step / 2>(sums);
  return sums[0];
}

// kLanes dot products: of `Rows` rows of x with kLanes / Rows rows of the weight, from `column` on.
template <int Rows>
void dot_products(const Problem& problem, int64_t row, int64_t column) {
  constexpr int kColumns = kLanes / Rows;
  const int64_t depth = problem.depth, count = least(kColumns, problem.columns - column);
  const float *x[Rows], *weight[kColumns];
  for (int i = 0; i < Rows; ++i) x[i] = problem.x + (row + i) * depth;
  for (int j = 0; j < kColumns; ++j) weight[j] = problem.weight + (column + least(j, count - 1)) * depth;
  Floats sums[kLanes] = {};
  for_each_vector(depth, [&](int64_t k, int64_t lanes) {
    Floats values[Rows];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) values[i] = load_some(x[i] + k, lanes);
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) {
      const Floats factor = load_some(weight[j] + k, lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sums[i * kColumns + j] += values[i] * factor;
    }
  });
  float products[kLanes];
  store(products, sum_lanes(sums));
  for (int i = 0; i < Rows; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      const float bias = problem.bias ? problem.bias[column + j] : 0.0f;
      problem.y[(row + i) * problem.columns + column + j] = products[i * kColumns + j] + bias;
    }
  }
}

void few_rows(const Problem& problem, int64_t work) {
  const int64_t columns_of_task = divide_up(kFewRowsTaskElements / problem.depth + 1, kLanes) * kLanes;
  parallel_for(divide_up(problem.columns, columns_of_task), work, [&](int64_t task) {
    const int64_t begin = task * columns_of_task, end = least(begin + columns_of_task, problem.columns);
    for (int64_t row = 0; row < problem.rows; row += 2) {
      if (row + 1 < problem.rows) {
        for (int64_t column = begin; column < end; column += kLanes / 2) dot_products<2>(problem, row, column);
      } else {
        for (int64_t column = begin; column < end; column += kLanes) dot_products<1>(problem, row, column);
      }
    }
  });
}

// More rows: lanes run along the columns.

// panel[k][j] = weight[j][k] for `count` rows of the weight; further columns are 0.
void pack(const float* weight, int64_t stride, int64_t count, int64_t vectors, int64_t depth, float* panel) {
  for (int64_t vector = 0; vector < vectors; ++vector) {
    for (int64_t k = 0; k < depth; k += kLanes) {
      const int64_t lanes = least(kLanes, depth - k);
      Floats block[kLanes];
      for (int row = 0; row < kLanes; ++row) {
        const int64_t column = vector * kLanes + row;
        block[row] = column < count ? load_some(weight + column * stride + k, lanes) : Floats{};
      }
      transpose(block);
      float* out = panel + k * kTileWidth + vector * kLanes;
      for (int row = 0; row < kLanes; ++row) {
        if (row < lanes) store(out + row * kTileWidth, block[row]);
      }
    }
  }
}

struct Workspace {
  float panel[kDepth * kTileWidth];
  float tile[kTileRows * kTileWidth];
  float bias[kTileWidth];
};

// y = tile + bias for the first block of the depth, y += tile for the others.
void add_tile(const Workspace& space, int64_t rows, int64_t count, bool first, float* y, int64_t stride) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* tile = space.tile + row * kTileWidth;
    float* out = y + row * stride;
    for_each_vector(count, [&](int64_t index, int64_t lanes) {
      const Floats before = first ? load(space.bias + index) : load_some(out + index, lanes);
      store_some(out + index, load(tile + index) + before, lanes);
    });
  }
}

void product(const Problem& problem, int64_t row_begin, int64_t row_end, int64_t column, int64_t count,
             Workspace& space) {
  const int64_t vectors = divide_up(count, kLanes);
  for (int64_t index = 0; index < kTileWidth; ++index) {
    space.bias[index] = problem.bias && index < count ? problem.bias[column + index] : 0.0f;
  }
  for (int64_t k = 0; k < problem.depth; k += kDepth) {
    const int64_t depth = least(kDepth, problem.depth - k);
    pack(problem.weight + column * problem.depth + k, problem.depth, count, vectors, depth, space.panel);
    const Panel panel{space.panel, kTileWidth};
    for (int64_t row = row_begin; row < row_end; row += kTileRows) {
      const int64_t rows = least(kTileRows, row_end - row);
      multiply(rows, vectors, problem.x + row * problem.depth + k, problem.depth, panel, depth, space.tile, kTileWidth);
      add_tile(space, rows, count, k == 0, problem.y + row * problem.columns + column, problem.columns);
    }
  }
}

Status many_rows(const Problem& problem, int64_t work) {
  const int64_t vectors = divide_up(problem.columns, kLanes), panels = divide_up(vectors, kTileVectors);
  const int64_t groups = divide_up(2 * thread_count(), panels);
  const int64_t rows = least(kRowsOfTask, divide_up(divide_up(problem.rows, groups), kTileRows) * kTileRows);
  constexpr int64_t kFloats = sizeof(Workspace) / sizeof(float);
  return parallel_for_in_scratch(divide_up(problem.rows, rows) * panels, work, kFloats, [&](int64_t task, float* memory) {
    const int64_t row = task / panels * rows, panel = task % panels;
    // Panels of nearly the same number of vectors.
    const int64_t begin = panel * vectors / panels * kLanes, end = (panel + 1) * vectors / panels * kLanes;
    product(problem, row, least(row + rows, problem.rows), begin, least(end, problem.columns) - begin,
            *reinterpret_cast<Workspace*>(memory));
  });
}

}  // namespace

// Inputs x (..., depth), weight (columns, depth)[, bias (columns)]; no attributes; one output (..., columns).
int linear(const Parameters& parameters) {
  Operands operands;
  if (const Status status = operands.read(parameters, 0)) return status;
  if (operands.inputs() < 2 || operands.inputs() > 3 || operands.outputs() != 1) return kWrongCount;
  const Tensor x = operands.input(0), weight = operands.input(1), y = operands.output(0);
  if (weight.rank != 2 || x.rank < 1 || y.rank != x.rank) return kWrongShape;
  Problem problem{};
  problem.rows = x.product(0, x.rank - 1);
  problem.columns = weight.shape[0];
  problem.depth = weight.shape[1];
  if (x.shape[x.rank - 1] != problem.depth || y.shape[y.rank - 1] != problem.columns) return kWrongShape;
  for (int axis = 0; axis < x.rank - 1; ++axis) {
    if (y.shape[axis] != x.shape[axis]) return kWrongShape;
  }
  if (operands.inputs() == 3) {
    if (!operands.input(2).is_vector(problem.columns)) return kWrongShape;
    problem.bias = operands.input(2).data;
  }
  problem.x = x.data;
  problem.weight = weight.data;
  problem.y = y.data;
  if (problem.rows * problem.columns == 0) return kOk;
  const int64_t work = problem.rows * problem.columns * (problem.depth / 8 + 1);
  if (problem.rows > kFewRows) return many_rows(problem, work);
  few_rows(problem, work);
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(linear)
