// A weighted sum of tensors, such as guidance and a sampler's step. Summed in float64: guidance takes large multiples
// of nearly equal tensors from each other.
#include "cpu/entry.h"
#include "cpu/parallel.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 13;
constexpr int64_t kBlock = 512;  // sums of a block, 4 KiB, stay in the first-level cache

void combine(const Operands& operands, int64_t begin, int64_t length) {
  double sums[kBlock] = {};
  for (int input = 0; input < operands.inputs(); ++input) {
    const double weight = operands.attribute(input);
    const float* values = operands.input(input).data + begin;
    for (int64_t index = 0; index < length; ++index) sums[index] += weight * static_cast<double>(values[index]);
  }
  float* out = operands.output(0).data + begin;
  for (int64_t index = 0; index < length; ++index) out[index] = static_cast<float>(sums[index]);
}

}  // namespace

// Any number of inputs of one shape; attributes: the weight of each; one output.
int linear_combination(const Parameters& parameters) {
  Operands operands;
  if (const Status status = operands.read(parameters, 1)) return status;
  if (operands.inputs() < 1 || operands.outputs() != 1) return kWrongCount;
  if (operands.attributes() != operands.inputs()) return kWrongAttribute;
  const Tensor y = operands.output(0);
  for (int index = 0; index < operands.inputs(); ++index) {
    if (!operands.input(index).same_shape(y)) return kWrongShape;
  }
  const int64_t size = y.size();
  parallel_for(divide_up(size, kTaskElements), size * operands.inputs(), [&](int64_t task) {
    const int64_t end = least((task + 1) * kTaskElements, size);
    for (int64_t begin = task * kTaskElements; begin < end; begin += kBlock) {
      combine(operands, begin, least(kBlock, end - begin));
    }
  });
  return kOk;
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(linear_combination)
