#include <cstdlib>
#include <cstring>

#include "cpu/entry.h"

namespace coopdraw {
namespace {

Level best_level() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) return kAvx512;
  if (avx2) return kAvx2;
#endif
  return kBaseline;
}

Level chosen_level() {
  const Level best = best_level();
  const char* wish = std::getenv("COOPDRAW_CPU_LEVEL");
  if (wish && std::strcmp(wish, "baseline") == 0) return kBaseline;
  if (wish && std::strcmp(wish, "avx2") == 0 && best > kAvx2) return kAvx2;
  return best;
}

}  // namespace

Level level() {
  static const Level chosen = chosen_level();
  return chosen;
}

}  // namespace coopdraw
