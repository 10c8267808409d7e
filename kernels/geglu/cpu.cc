// The gated linear unit of transformer feed-forward layers: value * gelu(gate), both halves of the last axis.
#include "cpu/entry.h"
#include "cpu/parallel.h"
#include "cpu/vector_math.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 13;

template <bool Tanh>
void gated(const float* value, const float* gate, const float* value_bias, const float* gate_bias, int64_t length,
           float* out) {
  for_each_vector(length, [&](int64_t index, int64_t count) {
    Floats v = load_some(value + index, count), g = load_some(gate + index, count);
    if (value_bias) {
      v += load_some(value_bias + index, count);
      g += load_some(gate_bias + index, count);
    }
    store_some(out + index, v * (Tanh ? gelu_tanh(g) : gelu(g)), count);
  });
}

}  // namespace

// Inputs x[, bias]; attributes tanh (0, 1), gate half (0 first, 1 second); one output.
int geglu(const Parameters& parameters) {
  Operands operands;
  if (const Status status = operands.read(parameters, 2)) return status;
  const double tanh_form = operands.attribute(0), gate_half = operands.attribute(1);
  if ((tanh_form != 0.0 && tanh_form != 1.0) || (gate_half != 0.0 && gate_half != 1.0)) return kWrongAttribute;
  if (operands.inputs() < 1 || operands.inputs() > 2 || operands.outputs() != 1) return kWrongCount;
  const Tensor x = operands.input(0), y = operands.output(0);
  if (x.rank < 1 || y.rank != x.rank || x.shape[x.rank - 1] % 2) return kWrongShape;
  const int64_t length = x.shape[x.rank - 1] / 2, rows = x.product(0, x.rank - 1);
  if (y.shape[y.rank - 1] != length || y.product(0, y.rank - 1) != rows) return kWrongShape;
  const bool has_bias = operands.inputs() == 2;
  if (has_bias && !operands.input(1).is_vector(2 * length)) return kWrongShape;
  if (rows * length == 0) return kOk;
  const float* bias = has_bias ? operands.input(1).data : nullptr;
  const int64_t gate = gate_half == 1.0 ? length : 0, value = length - gate;
  const int64_t rows_of_task = kTaskElements / length + 1;
  parallel_for(divide_up(rows, rows_of_task), rows * length * 8, [&](int64_t task) {
    const int64_t end = least((task + 1) * rows_of_task, rows);
    for (int64_t row = task * rows_of_task; row < end; ++row) {
      const float* in = x.data + row * 2 * length;
      const float *value_bias = bias ? bias + value : nullptr, *gate_bias = bias ? bias + gate : nullptr;
      (tanh_form == 1.0 ? gated<true> : gated<false>)(in + value, in + gate, value_bias, gate_bias, length,
                                                      y.data + row * length);
    }
  });
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(geglu)
