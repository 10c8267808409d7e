// Exponential and the activations built on it. The polynomials are relative minimax fits (Lawson's iteration).
#pragma once

#include "cpu/simd.h"

namespace coopdraw::COOPDRAW_LEVEL {

// log2(e) and what its rounding to float leaves.
constexpr float kLog2E = 1.44269504088896341f, kLog2ERest = 1.92596299e-8f;
// Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits of the sum.
constexpr float kRoundingShift = 12582912.0f;

// 2^r for |r| <= 1/2, relative error 2e-9 before rounding; exactly 1 at 0.
COOPDRAW_INLINE Floats exp2_fraction(Floats r) {
  Floats p = r * 0.00015353362f + 0.0013398875f;
  p = p * r + 0.009618437f;
  p = p * r + 0.055503324f;
  p = p * r + 0.24022648f;
  p = p * r + 0.6931472f;
  return p * r + 1.0f;
}

// e^x for x <= 0; below -87 (no normal number any more) it is 0; nan stays nan.
COOPDRAW_INLINE Floats exponential_of_nonpositive(Floats x) {
  const Floats shifted = x * kLog2E + kRoundingShift;
  const Floats n = shifted - kRoundingShift;
  const Floats p = exp2_fraction((x * kLog2E - n) + x * kLog2ERest);  // the product is exact where it is fused
  const Floats scaled = (Floats)((Bits)p + ((Bits)shifted << 23));
  return x < -87.0f ? Floats{} : scaled;
}

// e^x, relative error below 2e-7; underflows to 0 and overflows to infinity as expf does; nan stays nan.
COOPDRAW_INLINE Floats exponential(Floats x) {
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  x = x < -104.0f ? splat(-104.0f) : x;
  x = x > 89.0f ? splat(89.0f) : x;
  const Floats shifted = x * kLog2E + kRoundingShift;
  const Floats n = shifted - kRoundingShift;
  const Floats r = (x - n * kLn2High) - n * kLn2Low;
  Floats p = r * 0.0013843644f + 0.008374164f;
  p = p * r + 0.041668f;
  p = p * r + 0.16666432f;
  p = p * r + 0.49999994f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n in two factors: the result may be subnormal or infinite where neither factor is.
  const Integers exponent = (Integers)((Bits)shifted << 9) >> 9;
  const Integers half = exponent >> 1;
  const Floats first = (Floats)((half + 127) << 23), second = (Floats)((exponent - half + 127) << 23);
  return p * first * second;
}

COOPDRAW_INLINE Floats silu(Floats x) { return x / (1.0f + exponential(-x)); }

// x Phi(x). Phi(-t) = exp(-t^2 / 2) Q(1 / (1 + 0.27 t)), Q fitted to a relative 5e-8 over 0 <= t <= 14, beyond which
// the exponential is 0: the small values at negative x keep their relative accuracy, unlike with 1 + erf.
COOPDRAW_INLINE Floats gelu(Floats x) {
  const Floats t = absolute(x);
  const Floats u = 1.0f / (1.0f + 0.27f * t);
  Floats q = u * 0.028915243f - 0.12625512f;
  q = q * u + 0.16929115f;
  q = q * u - 0.06862071f;
  q = q * u + 0.10739927f;
  q = q * u + 0.07224035f;
  q = q * u + 0.10175915f;
  q = q * u + 0.10755051f;
  q = q * u + 0.10772018f;
  const Floats tail = q * u * exponential(t * t * -0.5f);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), by 1 + tanh(z) = 2 / (1 + exp(-2 z)).
COOPDRAW_INLINE Floats gelu_tanh(Floats x) {
  constexpr float kTwoSqrtTwoOverPi = 1.59576912160573071f;
  return x / (1.0f + exponential(x * -kTwoSqrtTwoOverPi * (1.0f + 0.044715f * x * x)));
}

COOPDRAW_INLINE Floats relu(Floats x) { return x < 0.0f ? Floats{} : x; }

}  // namespace coopdraw::COOPDRAW_LEVEL
