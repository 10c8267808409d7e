// Group normalisation with what surrounds it: the sum before it, scale and shift after it, and the activation.
#include <math.h>
#include <stdlib.h>

#include "cpu/entry.h"
#include "cpu/normalization.h"
#include "cpu/parallel.h"
#include "cpu/vector_math.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

enum Added { kNone, kChannel, kFull };

struct Problem {
  int64_t batch, channels, inner, groups, group_channels, group_length;
  double epsilon;
  bool silu;
  Added add;
  const float *x, *gamma, *beta, *added, *scale, *shift;  // null: not there
  float *y, *summed;  // `summed` holds x + added: an output of its own, else y
};

// x + added over elements [begin, end) of a group, which starts at channel `first`.
void add_block(const Problem& problem, int64_t group, int64_t begin, int64_t end) {
  const int64_t offset = group * problem.group_length;
  if (problem.add == kFull) {
    add_rows(problem.x + offset + begin, problem.added + offset + begin, problem.summed + offset + begin, end - begin);
    return;
  }
  const float* added = problem.added + group * problem.group_channels;
  while (begin < end) {
    const int64_t channel = begin / problem.inner;
    const int64_t length = least(end, (channel + 1) * problem.inner) - begin;
    const float* x = problem.x + offset + begin;
    float* out = problem.summed + offset + begin;
    const Floats value = splat(added[channel]);
    for_each_vector(length, [&](int64_t index, int64_t count) {
      store_some(out + index, load_some(x + index, count) + value, count);
    });
    begin += length;
  }
}

// Moments of block `block` of a group; makes the sum first if there is one.
Moments block_of_group(const Problem& problem, int64_t group, int64_t block) {
  const int64_t begin = block * kMomentsBlock, end = least(begin + kMomentsBlock, problem.group_length);
  const float* values = problem.x;
  if (problem.add != kNone) {
    add_block(problem, group, begin, end);
    values = problem.summed;
  }
  return block_moments(values + group * problem.group_length + begin, end - begin);
}

// y = (x - mean) * factor + term; the mean in two floats, so that what the first one rounds off is not lost.
template <bool Silu>
COOPDRAW_INLINE void normalize_row(const float* x, float* y, int64_t length, float mean, float factor, float term) {
  for_each_vector(length, [&](int64_t index, int64_t count) {
    const Floats value = (load_some(x + index, count) - mean) * factor + term;
    store_some(y + index, Silu ? silu(value) : value, count);
  });
}

void normalize_channel(const Problem& problem, int64_t group, int64_t channel_of_group, double mean,
                       double reciprocal_deviation) {
  const int64_t row = group * problem.group_channels + channel_of_group;  // over batch and channels
  const int64_t channel = row % problem.channels;
  double factor = reciprocal_deviation * static_cast<double>(problem.gamma[channel]);
  double term = static_cast<double>(problem.beta[channel]);
  if (problem.scale) {
    const double scale = 1.0 + static_cast<double>(problem.scale[row]);
    factor *= scale;
    term = term * scale + static_cast<double>(problem.shift[row]);
  }
  const float centre = static_cast<float>(mean);
  term += (static_cast<double>(centre) - mean) * factor;
  const float* x = (problem.add == kNone ? problem.x : problem.summed) + row * problem.inner;
  float* y = problem.y + row * problem.inner;
  if (problem.silu) {
    normalize_row<true>(x, y, problem.inner, centre, static_cast<float>(factor), static_cast<float>(term));
  } else {
    normalize_row<false>(x, y, problem.inner, centre, static_cast<float>(factor), static_cast<float>(term));
  }
}

void normalize_group(const Problem& problem, int64_t group, int64_t blocks) {
  Moments moments;
  for (int64_t block = 0; block < blocks; ++block) moments.add(block_of_group(problem, group, block));
  const double reciprocal_deviation = moments.reciprocal_deviation(problem.epsilon);
  for (int64_t channel = 0; channel < problem.group_channels; ++channel) {
    normalize_channel(problem, group, channel, moments.mean, reciprocal_deviation);
  }
}

// Few groups: their blocks, then their channels, are spread over the threads. Same blocks, same order: same bits.
Status normalize_in_parts(const Problem& problem, int64_t groups, int64_t blocks, int64_t work) {
  Moments* partial = static_cast<Moments*>(malloc(static_cast<size_t>(groups * blocks) * sizeof(Moments)));
  if (!partial) return kNoMemory;
  parallel_for(groups * blocks, work, [&](int64_t task) {
    partial[task] = block_of_group(problem, task / blocks, task % blocks);
  });
  for (int64_t group = 0; group < groups; ++group) {
    Moments moments;
    for (int64_t block = 0; block < blocks; ++block) moments.add(partial[group * blocks + block]);
    partial[group * blocks] = moments;
  }
  parallel_for(groups * problem.group_channels, work, [&](int64_t row) {
    const int64_t group = row / problem.group_channels;
    const Moments& moments = partial[group * blocks];
    normalize_channel(problem, group, row % problem.group_channels, moments.mean,
                      moments.reciprocal_deviation(problem.epsilon));
  });
  free(partial);
  return kOk;
}

bool is_flag(double value) { return value == 0.0 || value == 1.0; }

Status read(const Operands& operands, Problem& problem) {
  const double groups = operands.attribute(0), silu = operands.attribute(2), add = operands.attribute(3);
  const double modulated = operands.attribute(4), keep_sum = operands.attribute(5);
  problem.epsilon = operands.attribute(1);
  if (!is_flag(silu) || !is_flag(modulated) || !is_flag(keep_sum)) return kWrongAttribute;
  if (add != 0.0 && add != 1.0 && add != 2.0) return kWrongAttribute;
  problem.silu = silu == 1.0;
  problem.add = static_cast<Added>(static_cast<int>(add));
  const int inputs = 3 + (problem.add != kNone) + (modulated == 1.0 ? 2 : 0);
  if (operands.inputs() != inputs || operands.outputs() != 1 + (keep_sum == 1.0)) return kWrongCount;

  const Tensor x = operands.input(0), y = operands.output(0);
  if (x.rank < 2 || !y.same_shape(x)) return kWrongShape;
  problem.batch = x.shape[0];
  problem.channels = x.shape[1];
  problem.inner = x.product(2, x.rank);
  if (!(groups >= 1.0 && groups <= static_cast<double>(problem.channels)) || groups != floor(groups)) {
    return kWrongAttribute;
  }
  problem.groups = static_cast<int64_t>(groups);
  if (problem.channels % problem.groups) return kWrongAttribute;
  problem.group_channels = problem.channels / problem.groups;
  problem.group_length = problem.group_channels * problem.inner;

  const Tensor gamma = operands.input(1), beta = operands.input(2);
  if (!gamma.is_vector(problem.channels) || !beta.is_vector(problem.channels)) return kWrongShape;
  const auto by_channel = [&](const Tensor& tensor) {
    return tensor.rank == 2 && tensor.shape[0] == problem.batch && tensor.shape[1] == problem.channels;
  };
  int next = 3;
  if (problem.add != kNone) {
    const Tensor added = operands.input(next++);
    if (problem.add == kFull ? !added.same_shape(x) : !by_channel(added)) return kWrongShape;
    problem.added = added.data;
  }
  if (modulated == 1.0) {
    const Tensor scale = operands.input(next++), shift = operands.input(next++);
    if (!by_channel(scale) || !by_channel(shift)) return kWrongShape;
    problem.scale = scale.data;
    problem.shift = shift.data;
  }
  if (keep_sum == 1.0 && !operands.output(1).same_shape(x)) return kWrongShape;
  problem.x = x.data;
  problem.gamma = gamma.data;
  problem.beta = beta.data;
  problem.y = y.data;
  problem.summed = keep_sum == 1.0 ? operands.output(1).data : y.data;
  return kOk;
}

}  // namespace

// Inputs x, gamma, beta[, added][, scale, shift]; attributes groups, epsilon, silu (0, 1), add (0 none, 1 channel,
// 2 full), modulated (0, 1), keep_sum (0, 1); outputs y[, x + added].
int fused_group_norm(const Parameters& parameters) {
  Operands operands;
  Problem problem{};
  if (const Status status = operands.read(parameters, 6)) return status;
  if (const Status status = read(operands, problem)) return status;
  const int64_t groups = problem.batch * problem.groups;
  const int64_t size = groups * problem.group_length, work = size * (problem.silu ? 3 : 2);
  if (size == 0) return kOk;
  const int64_t blocks = divide_up(problem.group_length, kMomentsBlock);
  const int threads = thread_count();
  if (groups % threads && groups < 4 * threads) return normalize_in_parts(problem, groups, blocks, work);
  parallel_for(groups, work, [&](int64_t group) { normalize_group(problem, group, blocks); });
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(fused_group_norm)
