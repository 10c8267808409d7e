// Vectors of floats in GCC's portable form. Every kernel is compiled once per instruction set ("level"), each in a
// namespace of its own, so that the linker can never take a function of one level for another's.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef COOPDRAW_LEVEL
#error "compile with -DCOOPDRAW_LEVEL=<baseline, avx2 or avx512>"
#endif

#define COOPDRAW_INLINE inline __attribute__((always_inline))

namespace coopdraw::COOPDRAW_LEVEL {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorRegisters = 16;
#endif

typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef uint32_t Bits __attribute__((vector_size(kLanes * sizeof(uint32_t))));

// Every lane has `value`; subtracting zero keeps the sign of -0.
COOPDRAW_INLINE Floats splat(float value) { return value - Floats{}; }

// MindSpore aligns tensors to 16 bytes only: no load or store relies on more.
COOPDRAW_INLINE Floats load(const float* source) {
  Floats result;
  __builtin_memcpy(&result, source, sizeof(result));
  return result;
}

COOPDRAW_INLINE void store(float* target, Floats values) { __builtin_memcpy(target, &values, sizeof(values)); }

// The first `count` (< kLanes) values; the other lanes have `rest`.
COOPDRAW_INLINE Floats load_partial(const float* source, int64_t count, float rest = 0.0f) {
  Floats result = splat(rest);
  memcpy(&result, source, static_cast<size_t>(count) * sizeof(float));
  return result;
}

COOPDRAW_INLINE void store_partial(float* target, Floats values, int64_t count) {
  memcpy(target, &values, static_cast<size_t>(count) * sizeof(float));
}

// Of two numbers the larger; `b` where one is not a number.
COOPDRAW_INLINE Floats larger(Floats a, Floats b) { return a > b ? a : b; }

COOPDRAW_INLINE Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

COOPDRAW_INLINE Floats absolute(Floats x) { return (Floats)((Bits)x & 0x7fffffffu); }

COOPDRAW_INLINE double sum(Floats values) {
  double total = 0.0;
  for (int lane = 0; lane < kLanes; ++lane) total += static_cast<double>(values[lane]);
  return total;
}

COOPDRAW_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

COOPDRAW_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls body(offset, count) for each vector of a row; `count` is kLanes but in the last one.
template <class Body>
COOPDRAW_INLINE void for_each_vector(int64_t length, const Body& body) {
  int64_t offset = 0;
  for (; offset + kLanes <= length; offset += kLanes) body(offset, kLanes);
  if (offset < length) body(offset, length - offset);
}

COOPDRAW_INLINE Floats load_some(const float* source, int64_t count, float rest = 0.0f) {
  return count == kLanes ? load(source) : load_partial(source, count, rest);
}

COOPDRAW_INLINE void store_some(float* target, Floats values, int64_t count) {
  if (count == kLanes) {
    store(target, values);
  } else {
    store_partial(target, values, count);
  }
}

// rows[i][j] becomes rows[j][i]: exchanges blocks of 1, 2, 4 ... lanes across the diagonal.
template <int Step = kLanes / 2>
COOPDRAW_INLINE void transpose(Floats (&rows)[kLanes]) {
  Integers low, high;  // of the lanes of two vectors, behind one another
  for (int lane = 0; lane < kLanes; ++lane) {
    low[lane] = lane & Step ? kLanes + lane - Step : lane;
    high[lane] = lane & Step ? kLanes + lane : lane + Step;
  }
#pragma GCC unroll 16
  for (int row = 0; row < kLanes; ++row) {
    if (row & Step) continue;
    const Floats a = rows[row], b = rows[row | Step];
    rows[row] = __builtin_shuffle(a, b, low);
    rows[row | Step] = __builtin_shuffle(a, b, high);
  }
  if constexpr (Step > 1) transpose<Step / 2>(rows);
}

}  // namespace coopdraw::COOPDRAW_LEVEL
