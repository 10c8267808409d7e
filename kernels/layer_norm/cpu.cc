// Layer normalisation over the last axis, with the residual sum before it.
#include <math.h>

#include "cpu/entry.h"
#include "cpu/normalization.h"
#include "cpu/parallel.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 14;

void normalize(const float* x, const float* gamma, const float* beta, double epsilon, int64_t length, float* y) {
  const Moments moments = row_moments(x, length);
  const double reciprocal_deviation = moments.reciprocal_deviation(epsilon);
  const float centre = static_cast<float>(moments.mean), factor = static_cast<float>(reciprocal_deviation);
  const float term = static_cast<float>((static_cast<double>(centre) - moments.mean) * reciprocal_deviation);
  for_each_vector(length, [&](int64_t index, int64_t count) {
    const Floats value = (load_some(x + index, count) - centre) * factor + term;
    store_some(y + index, value * load_some(gamma + index, count) + load_some(beta + index, count), count);
  });
}

}  // namespace

// Inputs x, gamma, beta, added; attributes epsilon, keep_sum (0, 1); outputs y[, x + added].
int fused_layer_norm(const Parameters& parameters) {
  Operands operands;
  if (const Status status = operands.read(parameters, 2)) return status;
  const double epsilon = operands.attribute(0), keep_sum = operands.attribute(1);
  if (keep_sum != 0.0 && keep_sum != 1.0) return kWrongAttribute;
  if (operands.inputs() != 4 || operands.outputs() != 1 + (keep_sum == 1.0)) return kWrongCount;
  const Tensor x = operands.input(0), gamma = operands.input(1), beta = operands.input(2), added = operands.input(3);
  const Tensor y = operands.output(0), summed = operands.output(operands.outputs() - 1);
  if (x.rank < 1 || !added.same_shape(x) || !y.same_shape(x) || !summed.same_shape(x)) return kWrongShape;
  const int64_t length = x.shape[x.rank - 1], rows = x.product(0, x.rank - 1);
  if (!gamma.is_vector(length) || !beta.is_vector(length)) return kWrongShape;
  if (rows * length == 0) return kOk;
  const int64_t rows_of_task = kTaskElements / length + 1;
  parallel_for(divide_up(rows, rows_of_task), rows * length * 3, [&](int64_t task) {
    const int64_t end = least((task + 1) * rows_of_task, rows);
    for (int64_t row = task * rows_of_task; row < end; ++row) {
      const int64_t offset = row * length;
      add_rows(x.data + offset, added.data + offset, summed.data + offset, length);
      normalize(summed.data + offset, gamma.data, beta.data, epsilon, length, y.data + offset);
    }
  });
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(fused_layer_norm)
