// Scalar helpers, printing and assertions of kernels.
// asc-devkit:docs/zh/api/SIMD-API/基础API/标量计算, docs/zh/api/Utils-API/调测接口
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <tuple>
#include <utility>

#include "report.h"
#include "types.h"

namespace coopdraw::sim {

// Adds to the output of the run.
void print(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_assertion(const char* expression, const char* file, int line);

}  // namespace coopdraw::sim

#define COOPDRAW_ASSERT(expression, ...)                                                                      \
    ((expression) ? static_cast<void>(0)                                                                      \
                  : (__VA_OPT__(coopdraw::sim::print(__VA_ARGS__), ) coopdraw::sim::fail_assertion(#expression, \
                                                                                                  __FILE__, __LINE__)))
#undef assert
#define assert(...) COOPDRAW_ASSERT(__VA_ARGS__)
#define ascendc_assert(...) COOPDRAW_ASSERT(__VA_ARGS__)
#define ASSERT(...) COOPDRAW_ASSERT(__VA_ARGS__)
#define ASCENDC_ASSERT(expression, ...) COOPDRAW_ASSERT(expression)
#define PRINTF(...) coopdraw::sim::print(__VA_ARGS__)

namespace AscendC {

template <typename... Arguments>
void printf(const char* format, Arguments... arguments) {
    coopdraw::sim::print(format, arguments...);
}

// The parts of the standard library that device code has under this name.
namespace Std {
using std::conditional;
using std::conditional_t;
using std::enable_if;
using std::enable_if_t;
using std::false_type;
using std::get;
using std::integral_constant;
using std::is_convertible;
using std::is_floating_point;
using std::is_integral;
using std::is_same;
using std::is_same_v;
using std::make_tuple;
using std::max;
using std::min;
using std::true_type;
using std::tuple;
using std::tuple_size;
}  // namespace Std

// asc-devkit:impl/basic_api/utils/kernel_utils_ceil_oom_que.h
constexpr uint32_t DivCeil(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit; }
constexpr uint32_t AlignUp(uint32_t value, uint32_t unit) { return DivCeil(value, unit) * unit; }
constexpr uint32_t Ceil(uint32_t value, uint32_t unit) { return DivCeil(value, unit); }
constexpr int32_t CeilDivision(int32_t value, int32_t unit) { return unit == 0 ? 0 : (value + unit - 1) / unit; }

inline float ToFloat(const bfloat16_t& value) { return static_cast<float>(value); }
inline bfloat16_t ToBfloat16(const float& value) { return bfloat16_t(value); }

// asc-devkit:docs/zh/api/SIMD-API/基础API/标量计算
template <int countValue>
int64_t ScalarGetCountOfValue(uint64_t valueIn) {
    static_assert(countValue == 0 || countValue == 1, "ScalarGetCountOfValue counts bits that are 0 or 1");
    return countValue == 1 ? std::popcount(valueIn) : 64 - std::popcount(valueIn);
}
inline int64_t ScalarCountLeadingZero(uint64_t valueIn) { return std::countl_zero(valueIn); }
inline int64_t CountBitsCntSameAsSignBit(int64_t valueIn) {
    const auto bits = static_cast<uint64_t>(valueIn < 0 ? ~valueIn : valueIn);
    return std::countl_zero(bits) - 1;
}
template <int countValue>
int64_t ScalarGetSFFValue(uint64_t valueIn) {
    static_assert(countValue == 0 || countValue == 1, "ScalarGetSFFValue looks for a bit that is 0 or 1");
    const uint64_t bits = countValue == 1 ? valueIn : ~valueIn;
    return bits == 0 ? -1 : std::countr_zero(bits);
}

}  // namespace AscendC
