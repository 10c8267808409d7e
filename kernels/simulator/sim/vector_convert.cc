// Runs of half and float, eight at a time where the host has the instructions.
#include "vector_map.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace coopdraw::sim {

void widen(const half* from, float* to, size_t elements) {
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= elements; i += 8) {
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
    }
#endif
    for (; i < elements; ++i) {
        to[i] = static_cast<float>(from[i]);
    }
}

void narrow(const float* from, half* to, size_t elements) {
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= elements; i += 8) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    }
#endif
    for (; i < elements; ++i) {
        to[i] = static_cast<half>(from[i]);
    }
}

}  // namespace coopdraw::sim
