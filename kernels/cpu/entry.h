// The C entry that MindSpore's `Custom` primitive (func_type "aot") calls, and how a kernel reads its arguments.
//
// MindSpore gives inputs, then outputs. The last input is a float64 vector with the operator's attributes; everything
// else is float32. A kernel returns a Status, which MindSpore puts into its error.
#pragma once

#include "cpu/simd.h"

namespace coopdraw {

enum Status : int { kOk = 0, kWrongCount = 1, kWrongType = 2, kWrongShape = 3, kWrongAttribute = 4, kNoMemory = 5 };

struct Parameters {
  int count;
  void** data;
  int* ranks;
  int64_t** shapes;
  const char** dtypes;
};

// The instruction set to use: the best of this processor, or COOPDRAW_CPU_LEVEL (baseline, avx2) if that is less.
enum Level : int { kBaseline, kAvx2, kAvx512 };
Level level();

namespace COOPDRAW_LEVEL {

struct Tensor {
  float* data;
  int rank;
  const int64_t* shape;

  int64_t size() const { return product(0, rank); }

  // Number of elements over axes [begin, end).
  int64_t product(int begin, int end) const {
    int64_t result = 1;
    for (int axis = begin; axis < end; ++axis) result *= shape[axis];
    return result;
  }

  bool same_shape(const Tensor& other) const {
    return rank == other.rank && memcmp(shape, other.shape, static_cast<size_t>(rank) * sizeof(int64_t)) == 0;
  }

  bool is_vector(int64_t length) const { return rank == 1 && shape[0] == length; }
};

class Operands {
 public:
  // Finds the attributes, which split inputs from outputs, and checks the types and the number of attributes.
  Status read(const Parameters& parameters, int least_attributes) {
    parameters_ = parameters;
    inputs_ = -1;
    for (int index = 0; index < parameters.count; ++index) {
      const bool is_attributes = strcmp(parameters.dtypes[index], "float64") == 0;
      if (is_attributes && inputs_ >= 0) return kWrongType;
      if (is_attributes) {
        inputs_ = index;
      } else if (strcmp(parameters.dtypes[index], "float32") != 0) {
        return kWrongType;
      }
    }
    if (inputs_ < 0) return kWrongCount;
    if (parameters.ranks[inputs_] != 1 || parameters.shapes[inputs_][0] < least_attributes) return kWrongAttribute;
    return kOk;
  }

  int inputs() const { return inputs_; }
  int outputs() const { return parameters_.count - inputs_ - 1; }
  int64_t attributes() const { return parameters_.shapes[inputs_][0]; }
  double attribute(int64_t index) const { return static_cast<const double*>(parameters_.data[inputs_])[index]; }
  Tensor input(int index) const { return tensor(index); }
  Tensor output(int index) const { return tensor(inputs_ + 1 + index); }

 private:
  Tensor tensor(int index) const {
    return {static_cast<float*>(parameters_.data[index]), parameters_.ranks[index], parameters_.shapes[index]};
  }

  Parameters parameters_{};
  int inputs_ = -1;
};

}  // namespace COOPDRAW_LEVEL
}  // namespace coopdraw

#if defined(__x86_64__)
#define COOPDRAW_CALL_LEVEL(name, parameters)                                    \
  switch (coopdraw::level()) {                                                   \
    case coopdraw::kAvx512: return coopdraw::avx512::name(parameters);           \
    case coopdraw::kAvx2: return coopdraw::avx2::name(parameters);               \
    default: return coopdraw::baseline::name(parameters);                        \
  }
#else
#define COOPDRAW_CALL_LEVEL(name, parameters) return coopdraw::baseline::name(parameters);
#endif

// Defines the C symbol coopdraw_<name> for a kernel `int name(const Parameters&)`, once: in the baseline's object.
#if defined(COOPDRAW_ENTRIES)
#define COOPDRAW_KERNEL(name)                                                                                      \
  namespace coopdraw::avx2 { int name(const Parameters&); }                                                       \
  namespace coopdraw::avx512 { int name(const Parameters&); }                                                     \
  extern "C" __attribute__((visibility("default"))) int coopdraw_##name(                                           \
      int count, void** data, int* ranks, int64_t** shapes, const char** dtypes, void*, void*) {                   \
    const coopdraw::Parameters parameters{count, data, ranks, shapes, dtypes};                                     \
    COOPDRAW_CALL_LEVEL(name, parameters)                                                                          \
  }
#else
#define COOPDRAW_KERNEL(name)
#endif
