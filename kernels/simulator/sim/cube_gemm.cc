// The hot loops of cube_gemm.h, written for vector registers: a strip of 6 rows times a panel of 16 columns.
#pragma GCC optimize("O3", "fp-contract=fast")

#include "cube_gemm.h"

namespace coopdraw::sim {
namespace {

using Lanes = float __attribute__((vector_size(32), aligned(4), may_alias));
using LaneBits = uint32_t __attribute__((vector_size(32)));
using HalfLanes = uint16_t __attribute__((vector_size(16), aligned(2), may_alias));

void multiply_panel(const float* left, uint32_t rows, uint32_t depth, const float* panel, float* result,
                    uint64_t stride, uint32_t columns) {
    alignas(32) float block[STRIP][PANEL] = {};
    for (uint32_t row = 0; row < rows; row += STRIP, left += size_t{depth} * STRIP) {
        const uint32_t count = std::min(STRIP, rows - row);
        for (uint32_t i = 0; i < count; ++i) {
            std::memcpy(block[i], result + (row + i) * stride, columns * sizeof(float));
        }
        Lanes low[STRIP], high[STRIP];
        for (uint32_t i = 0; i < STRIP; ++i) {
            low[i] = *reinterpret_cast<const Lanes*>(block[i]);
            high[i] = *reinterpret_cast<const Lanes*>(block[i] + 8);
        }
        for (uint32_t k = 0; k < depth; ++k) {
            const Lanes right_low = *reinterpret_cast<const Lanes*>(panel + size_t{k} * PANEL);
            const Lanes right_high = *reinterpret_cast<const Lanes*>(panel + size_t{k} * PANEL + 8);
#pragma GCC unroll 6
            for (uint32_t i = 0; i < STRIP; ++i) {
                const float factor = left[size_t{k} * STRIP + i];
                low[i] += factor * right_low;
                high[i] += factor * right_high;
            }
        }
        for (uint32_t i = 0; i < STRIP; ++i) {
            *reinterpret_cast<Lanes*>(block[i]) = low[i];
            *reinterpret_cast<Lanes*>(block[i] + 8) = high[i];
        }
        for (uint32_t i = 0; i < count; ++i) {
            std::memcpy(result + (row + i) * stride, block[i], columns * sizeof(float));
        }
    }
}

}  // namespace

// Shift exponent and mantissa into place, rescale (which also makes subnormals right), repair infinities and NaN.
void halves_to_floats(const uint16_t* source, float* target, uint32_t count) {
    for (uint32_t done = 0; done < count; done += 8) {
        const uint32_t lanes = std::min(8U, count - done);
        uint16_t rest[8] = {};
        if (lanes < 8) {
            std::memcpy(rest, source + done, lanes * sizeof(uint16_t));
        }
        const HalfLanes halves = *reinterpret_cast<const HalfLanes*>(lanes < 8 ? rest : source + done);
        const LaneBits bits = __builtin_convertvector(halves, LaneBits);
        const LaneBits magnitude = (bits & 0x7fffU) << 13;
        const Lanes scaled = reinterpret_cast<Lanes>(magnitude) * 0x1p112F;
        const LaneBits special = reinterpret_cast<LaneBits>(magnitude >= 0x0f800000U) & 0x7f800000U;
        const LaneBits result = reinterpret_cast<LaneBits>(scaled) | special | ((bits & 0x8000U) << 16);
        std::memcpy(target + done, &result, lanes * sizeof(float));
    }
}

void multiply(float* result, uint64_t stride, const LeftMatrix<float>& left, const RightMatrix<float>& right,
              bool accumulate) {
    for (uint32_t row = 0; row < left.rows && !accumulate; ++row) {
        std::fill_n(result + row * stride, right.columns, 0.0F);
    }
    for (uint32_t column = 0; column < right.columns; column += PANEL) {
        multiply_panel(left.values.data(), left.rows, left.depth, right.panel(column), result + column, stride,
                       std::min(PANEL, right.columns - column));
    }
}

void multiply(int32_t* result, uint64_t stride, const LeftMatrix<int32_t>& left, const RightMatrix<int32_t>& right,
              bool accumulate) {
    for (uint32_t row = 0; row < left.rows; ++row) {
        for (uint32_t column = 0; column < right.columns; ++column) {
            const int32_t* panel = right.panel(column) + column % PANEL;
            int32_t sum = accumulate ? result[row * stride + column] : 0;
            for (uint32_t k = 0; k < left.depth; ++k) {
                sum += left.at(row, k) * panel[size_t{k} * PANEL];
            }
            result[row * stride + column] = sum;
        }
    }
}

}  // namespace coopdraw::sim
