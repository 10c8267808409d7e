// A bias along one axis and an activation, in one pass over memory.
#include "cpu/entry.h"
#include "cpu/parallel.h"
#include "cpu/vector_math.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 13;

enum Activation { kIdentity, kSilu, kGelu, kGeluTanh, kRelu, kActivations };

template <Activation activation>
COOPDRAW_INLINE Floats activate(Floats x) {
  if constexpr (activation == kSilu) return silu(x);
  if constexpr (activation == kGelu) return gelu(x);
  if constexpr (activation == kGeluTanh) return gelu_tanh(x);
  if constexpr (activation == kRelu) return relu(x);
  return x;
}

// Elements [begin, end) of an array (outer, channels, inner), flattened.
template <Activation activation>
void biased(const float* x, const float* bias, int64_t channels, int64_t inner, int64_t begin, int64_t end, float* y) {
  while (begin < end) {
    const int64_t channel = begin / inner % channels;
    // The bias is a vector where channels are the innermost axis, else one number for a row of `inner`.
    const int64_t length = least(end - begin, inner == 1 ? channels - channel : inner - begin % inner);
    const float* in = x + begin;
    float* out = y + begin;
    if (inner == 1) {
      for_each_vector(length, [&](int64_t index, int64_t count) {
        const Floats value = load_some(in + index, count) + load_some(bias + channel + index, count);
        store_some(out + index, activate<activation>(value), count);
      });
    } else {
      const Floats value = splat(bias[channel]);
      for_each_vector(length, [&](int64_t index, int64_t count) {
        store_some(out + index, activate<activation>(load_some(in + index, count) + value), count);
      });
    }
    begin += length;
  }
}

using Biased = void (*)(const float*, const float*, int64_t, int64_t, int64_t, int64_t, float*);
constexpr Biased kForms[kActivations] = {biased<kIdentity>, biased<kSilu>, biased<kGelu>, biased<kGeluTanh>,
                                         biased<kRelu>};

}  // namespace

// Inputs x, bias; attributes axis, activation (0 none, 1 silu, 2 gelu, 3 gelu_tanh, 4 relu); one output.
int bias_activation(const Parameters& parameters) {
  Operands operands;
  if (const Status status = operands.read(parameters, 2)) return status;
  if (operands.inputs() != 2 || operands.outputs() != 1) return kWrongCount;
  const Tensor x = operands.input(0), bias = operands.input(1), y = operands.output(0);
  if (!y.same_shape(x)) return kWrongShape;
  const double axis_value = operands.attribute(0), activation_value = operands.attribute(1);
  if (!(axis_value >= 0.0 && axis_value < x.rank)) return kWrongAttribute;
  if (!(activation_value >= 0.0 && activation_value < kActivations)) return kWrongAttribute;
  const int axis = static_cast<int>(axis_value), activation = static_cast<int>(activation_value);
  if (axis != axis_value || activation != activation_value) return kWrongAttribute;
  const int64_t channels = x.shape[axis], inner = x.product(axis + 1, x.rank), size = x.size();
  if (!bias.is_vector(channels)) return kWrongShape;
  if (size == 0) return kOk;
  const int64_t work = size * (activation == kIdentity || activation == kRelu ? 1 : 4);
  parallel_for(divide_up(size, kTaskElements), work, [&](int64_t task) {
    const int64_t begin = task * kTaskElements, end = least(begin + kTaskElements, size);
    kForms[activation](x.data, bias.data, channels, inner, begin, end, y.data);
  });
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(bias_activation)
