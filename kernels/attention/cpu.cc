// Attention with an online softmax over blocks of keys (FlashAttention, arXiv 2205.14135, algorithm 1).
//
// Everything is transposed: the lanes of a vector are queries. A block of scores is [keys][queries], so that maximum
// and sum over keys need no step across lanes, and keys and values are read as they lie, one element for all lanes.
#include <math.h>
#include <stdlib.h>

#include "attention/cpu_tiles.h"
#include "cpu/entry.h"
#include "cpu/parallel.h"
#include "cpu/vector_math.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

// How a (batch, heads, tokens, elements) operand lies in memory; elements are contiguous.
struct View {
  float* data;
  int64_t batch, head, token;

  float* row(int64_t b, int64_t h, int64_t t) const { return data + b * batch + h * head + t * token; }
};

struct Problem {
  int64_t batch, heads, queries, keys, depth, width;
  float scale;
  View query, key, value, output;
  const float* mask;  // null without one
  int64_t mask_batch, mask_head, mask_query, mask_key;
};

struct Workspace {
  float* queries;  // [depth][kQueries], scaled
  float* scores;   // [kKeys][kQueries]
  float* output;   // [width][kQueries]
  float maximum[kQueries], total[kQueries], decay[kQueries];
};

// columns[j][i] = rows[i][j] for a block of `height` rows and `width` columns, each at most kLanes.
COOPDRAW_INLINE void load_transposed(const float* rows, int64_t stride, int64_t height, int64_t width,
                                     Floats (&columns)[kLanes]) {
  for (int row = 0; row < kLanes; ++row) {
    columns[row] = row < height ? load_some(rows + row * stride, width) : Floats{};
  }
  transpose(columns);
}

void load_queries(const Problem& problem, const float* rows, int64_t count, Workspace& space) {
  const int64_t stride = problem.query.token;
  for (int64_t query = 0; query < kQueries; query += kLanes) {
    for (int64_t d = 0; d < problem.depth; d += kLanes) {
      const int64_t width = least(kLanes, problem.depth - d);
      Floats columns[kLanes];
      load_transposed(rows + query * stride + d, stride, count - query, width, columns);
      float* out = space.queries + d * kQueries + query;
      for (int column = 0; column < kLanes; ++column) {
        if (column < width) store(out + column * kQueries, columns[column] * problem.scale);
      }
    }
  }
}

// scores[key][query] += mask[query][key] for rows of keys that lie one after the other.
void add_mask_rows(const float* mask, int64_t stride, int64_t queries, int64_t keys, float* scores) {
  for (int64_t query = 0; query < queries; query += kLanes) {
    for (int64_t key = 0; key < keys; key += kLanes) {
      const int64_t width = least(kLanes, keys - key);
      Floats columns[kLanes];
      load_transposed(mask + query * stride + key, stride, queries - query, width, columns);
      float* out = scores + key * kQueries + query;
      for (int column = 0; column < kLanes; ++column) {
        if (column < width) store(out + column * kQueries, load(out + column * kQueries) + columns[column]);
      }
    }
  }
}

void add_mask(const Problem& problem, const float* mask, int64_t queries, int64_t keys, Workspace& space) {
  if (problem.mask_query != 0 && problem.mask_key == 1) {
    return add_mask_rows(mask, problem.mask_query, queries, keys, space.scores);
  }
  for (int64_t key = 0; key < keys; ++key) {
    float* scores = space.scores + key * kQueries;
    const float* column = mask + key * problem.mask_key;
    for (int64_t query = 0; query < queries; ++query) scores[query] += column[query * problem.mask_query];
  }
}

// Turns scores into exponentials relative to the maximum so far and updates maximum, total and decay (what earlier
// blocks must be multiplied with). Where all scores so far are -inf, the exponentials are 0.
void soften(int64_t keys, Workspace& space) {
  for (int panel = 0; panel < kQueries; panel += kLanes) {
    float* scores = space.scores + panel;
    const Floats before = load(space.maximum + panel);
    Floats maximum = before, other = before;
    int64_t key = 0;
    for (; key + 2 <= keys; key += 2) {
      maximum = larger(load(scores + key * kQueries), maximum);
      other = larger(load(scores + (key + 1) * kQueries), other);
    }
    if (key < keys) maximum = larger(load(scores + key * kQueries), maximum);
    maximum = larger(other, maximum);
    store(space.maximum + panel, maximum);
    const Floats origin = maximum == -INFINITY ? Floats{} : maximum;
    const Floats decay = exponential_of_nonpositive(before - origin);
    store(space.decay + panel, decay);
    Floats total = {};
    for (key = 0; key < keys; ++key) {
      const Floats weight = exponential_of_nonpositive(load(scores + key * kQueries) - origin);
      store(scores + key * kQueries, weight);
      total += weight;
    }
    store(space.total + panel, load(space.total + panel) * decay + total);
  }
}

void store_output(const Problem& problem, float* rows, int64_t count, const Workspace& space) {
  const int64_t stride = problem.output.token;
  for (int64_t query = 0; query < count; query += kLanes) {
    const Floats factor = 1.0f / load(space.total + query);
    for (int64_t e = 0; e < problem.width; e += kLanes) {
      const int64_t width = least(kLanes, problem.width - e);
      const float* elements = space.output + e * kQueries + query;
      Floats block[kLanes];
      for (int row = 0; row < kLanes; ++row) {
        block[row] = row < width ? load(elements + row * kQueries) * factor : Floats{};
      }
      transpose(block);
      for (int row = 0; row < kLanes; ++row) {
        if (query + row < count) store_some(rows + (query + row) * stride + e, block[row], width);
      }
    }
  }
}

// scores[key][query] of a block of keys.
void multiply_keys(const Problem& problem, const float* rows, int64_t keys, Workspace& space) {
  const int64_t stride = problem.key.token;
  for (int64_t key = 0; key < keys; key += kRows) {
    const int64_t count = least(kRows, keys - key);
    for (int panel = 0; panel < kQueries; panel += kPanel) {
      score_rows(rows + key * stride, stride, count, space.queries + panel, problem.depth,
                 space.scores + key * kQueries + panel);
    }
  }
}

// output[element][query] = decay[query] * output[element][query] + sum over keys of value * score.
void add_values(const Problem& problem, const float* rows, int64_t keys, Workspace& space) {
  for (int64_t e = 0; e < problem.width; e += kRows) {
    const int64_t count = least(kRows, problem.width - e);
    for (int panel = 0; panel < kQueries; panel += kPanel) {
      value_rows(rows + e, problem.value.token, count, space.scores + panel, keys, space.decay + panel,
                 space.output + e * kQueries + panel);
    }
  }
}

void attend(const Problem& problem, int64_t b, int64_t h, int64_t first_query, Workspace& space) {
  const int64_t queries = least(kQueries, problem.queries - first_query);
  load_queries(problem, problem.query.row(b, h, first_query), queries, space);
  for (int query = 0; query < kQueries; ++query) {
    space.maximum[query] = -INFINITY;
    space.total[query] = 0.0f;
  }
  memset(space.output, 0, static_cast<size_t>(problem.width * kQueries) * sizeof(float));
  for (int64_t first_key = 0; first_key < problem.keys; first_key += kKeys) {
    const int64_t keys = least(kKeys, problem.keys - first_key);
    multiply_keys(problem, problem.key.row(b, h, first_key), keys, space);
    if (problem.mask) {
      const float* mask = problem.mask + b * problem.mask_batch + h * problem.mask_head +
                          first_query * problem.mask_query + first_key * problem.mask_key;
      add_mask(problem, mask, queries, keys, space);
    }
    soften(keys, space);
    add_values(problem, problem.value.row(b, h, first_key), keys, space);
  }
  store_output(problem, problem.output.row(b, h, first_query), queries, space);
}

// Mask dimensions align with (batch, heads, queries, keys) from the right; one of extent 1 is repeated.
Status read_mask(const Tensor& mask, Problem& problem) {
  const int64_t extents[4] = {problem.batch, problem.heads, problem.queries, problem.keys};
  int64_t* strides[4] = {&problem.mask_batch, &problem.mask_head, &problem.mask_query, &problem.mask_key};
  if (mask.rank > 4) return kWrongShape;
  int64_t stride = 1;
  for (int axis = 3; axis >= 4 - mask.rank; --axis) {
    const int64_t extent = mask.shape[axis - (4 - mask.rank)];
    if (extent != extents[axis] && extent != 1) return kWrongShape;
    *strides[axis] = extent == 1 ? 0 : stride;
    stride *= extent;
  }
  problem.mask = mask.data;
  return kOk;
}

// (B, tokens, heads * elements), or (B, heads, tokens, elements) if `split`.
View view(const Tensor& tensor, int64_t heads, bool split) {
  const int64_t last = tensor.shape[tensor.rank - 1], tokens = tensor.shape[tensor.rank - 2];
  if (split) return {tensor.data, heads * tokens * last, tokens * last, last};
  return {tensor.data, tokens * last, last / heads, last};
}

Status read(const Operands& operands, Problem& problem) {
  if (operands.inputs() < 3 || operands.inputs() > 4 || operands.outputs() != 1) return kWrongCount;
  const double heads = operands.attribute(0);
  const bool split = operands.attribute(2) == 1.0;
  if (!(heads >= 1.0 && heads <= 1e6) || heads != floor(heads)) return kWrongAttribute;
  if (!split && operands.attribute(2) != 0.0) return kWrongAttribute;
  const Tensor query = operands.input(0), key = operands.input(1), value = operands.input(2);
  const Tensor output = operands.output(0);
  const int rank = split ? 4 : 3;
  if (query.rank != rank || key.rank != rank || value.rank != rank || output.rank != rank) return kWrongShape;
  const int tokens = rank - 2, last = rank - 1;
  problem.heads = static_cast<int64_t>(heads);
  problem.batch = query.shape[0];
  problem.queries = query.shape[tokens];
  problem.keys = key.shape[tokens];
  const int64_t parts = split ? 1 : problem.heads;
  problem.depth = query.shape[last] / parts;
  problem.width = value.shape[last] / parts;
  const bool fits = query.shape[last] % parts == 0 && value.shape[last] % parts == 0 &&
                    key.shape[last] == query.shape[last] && value.shape[tokens] == problem.keys &&
                    output.shape[tokens] == problem.queries && output.shape[last] == value.shape[last];
  if (!fits) return kWrongShape;
  const Tensor* const all[4] = {&query, &key, &value, &output};
  for (const Tensor* tensor : all) {
    if (tensor->shape[0] != problem.batch || (split && tensor->shape[1] != problem.heads)) return kWrongShape;
  }
  problem.scale = static_cast<float>(operands.attribute(1));
  problem.query = view(query, problem.heads, split);
  problem.key = view(key, problem.heads, split);
  problem.value = view(value, problem.heads, split);
  problem.output = view(output, problem.heads, split);
  return operands.inputs() == 4 ? read_mask(operands.input(3), problem) : kOk;
}

}  // namespace

// Inputs query, key, value[, mask]; attributes heads, scale, layout (0 BSH, 1 BNSD); one output.
int attention(const Parameters& parameters) {
  Operands operands;
  Problem problem{};
  if (const Status status = operands.read(parameters, 3)) return status;
  if (const Status status = read(operands, problem)) return status;
  const int64_t blocks = divide_up(problem.queries, kQueries);
  const int64_t tasks = problem.batch * problem.heads * blocks;
  const int64_t bytes = (problem.depth + kKeys + problem.width) * kQueries * static_cast<int64_t>(sizeof(float));
  const int64_t scores = problem.batch * problem.heads * problem.queries * problem.keys;
  bool failed = false;
  parallel_for(tasks, scores * (2 + (problem.depth + problem.width) / 8), [&](int64_t task) {
    float* memory = static_cast<float*>(aligned_alloc(64, static_cast<size_t>(bytes)));
    if (!memory) {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      return;
    }
    Workspace space;
    space.queries = memory;
    space.scores = space.queries + problem.depth * kQueries;
    space.output = space.scores + kKeys * kQueries;
    const int64_t pair = task / blocks;
    attend(problem, pair / problem.heads, pair % problem.heads, task % blocks * kQueries, space);
    free(memory);
  });
  return failed ? kNoMemory : kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(attention)
