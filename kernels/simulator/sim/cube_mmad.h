// Mmad: a block of the left matrix in L0A times one of the right matrix in L0B, into L0C.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/Mmad计算/Mmad.md
#pragma once

#include <bit>

#include "cube_gemm.h"
#include "cube_load.h"

namespace coopdraw::sim {

constexpr uint32_t up_to(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

// The types that the SoC multiplies, and what they add up in.
template <typename Result, typename Left, typename Right>
constexpr bool is_mmad_type() {
    if constexpr (std::is_same_v<Result, int32_t>) {
        return std::is_same_v<Left, int8_t> && std::is_same_v<Right, int8_t>;
    } else if constexpr (std::is_same_v<Result, float> && std::is_same_v<Left, Right>) {
        return std::is_same_v<Left, half> ||
               (__NPU_ARCH__ == 2201 && (std::is_same_v<Left, float> || std::is_same_v<Left, bfloat16_t>));
    } else {
        return false;
    }
}

// The place of element (row, k) in L0A: fractals in rows, row by row inside (Zz); one row of ND when m is 1.
struct LeftPlace {
    uint32_t lanes, fractal_columns;
    bool vector;

    uint64_t operator()(uint32_t row, uint32_t k) const {
        if (vector) {
            return k;
        }
        const uint64_t fractal = static_cast<uint64_t>(row / FRACTAL_ROWS) * fractal_columns + k / lanes;
        return (fractal * FRACTAL_ROWS + row % FRACTAL_ROWS) * lanes + k % lanes;
    }
};

// The place of element (k, column) in L0B: fractals in rows, column by column inside (Zn).
struct RightPlace {
    uint32_t lanes, fractal_columns;

    uint64_t operator()(uint32_t k, uint32_t column) const {
        const uint64_t fractal = static_cast<uint64_t>(k / lanes) * fractal_columns + column / FRACTAL_ROWS;
        return (fractal * FRACTAL_ROWS + column % FRACTAL_ROWS) * lanes + k % lanes;
    }
};

// The unit flags of L0C: Mmad and Fixpipe of one tile wait for each other without SetFlag and WaitFlag.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/Mmad计算关键特性说明/UnitFlag.md
struct UnitFlags {
    Clock full, empty;  // after the newest Mmad that filled a tile, after the newest Fixpipe that emptied one
};

// Before an instruction with unitFlag 2 or 3, and after it.
void unit_flag_waits(uint8_t unit_flag, Pipe pipe);
void unit_flag_sets(uint8_t unit_flag, Pipe pipe);

template <typename Result, typename Left, typename Right, typename Bias>
void mmad(const AscendC::LocalTensor<Result>& dst, const AscendC::LocalTensor<Left>& left,
          const AscendC::LocalTensor<Right>& right, const AscendC::LocalTensor<Bias>* bias,
          const AscendC::MmadParams& params) {
    static_assert(is_mmad_type<Result, Left, Right>(), "Mmad: the SoC (or the simulator) has no such types");
    require_memory(dst, "Mmad: dst", Memory::L0C, Memory::L0C);
    require_memory(left, "Mmad: fm", Memory::L0A, Memory::L0A);
    require_memory(right, "Mmad: filter", Memory::L0B, Memory::L0B);
    require_alignment(left, "Mmad: fm", FRACTAL_BYTES);
    require_alignment(right, "Mmad: filter", FRACTAL_BYTES);
    require_range("Mmad: m", params.m, 0, 4095);
    require_range("Mmad: n", params.n, 0, 4095);
    require_range("Mmad: k", params.k, 0, 4095);
    const uint32_t m = params.m, n = params.n, k = params.k;
    if (m == 0 || n == 0 || k == 0) {
        return;
    }
    using Accumulator = Result;
    constexpr uint32_t lanes = CUBE_LANES<Left>;
    const uint32_t aligned_k = up_to(k, params.kDirectionAlign && sizeof(Left) == 4 ? 16 : lanes);
    const LeftPlace left_at{lanes, aligned_k / lanes, m == 1};
    const RightPlace right_at{lanes, up_to(n, FRACTAL_ROWS) / FRACTAL_ROWS};
    const uint32_t aligned_m = up_to(m, FRACTAL_ROWS), aligned_n = up_to(n, FRACTAL_ROWS);
    const uint64_t result_elements = static_cast<uint64_t>(aligned_m) * aligned_n;
    const bool accumulates = !params.cmatrixInitVal && bias == nullptr && !params.cmatrixSource;

    unit_flag_waits(params.unitFlag, Pipe::M);
    if ((m / 16) * (n / 16) >= 10) {
        barrier(Pipe::M);  // the hardware orders large Mmads that add to the same tile
    }
    Instruction instruction("Mmad", Pipe::M);
    LeftMatrix<Accumulator> a;
    RightMatrix<Accumulator> b;
    a.resize(m, k);
    b.resize(k, n);
    for (uint32_t row = 0; row < m; ++row) {
        for (uint32_t first = 0; first < k; first += lanes) {
            const uint32_t count = std::min(lanes, k - first);
            instruction.reads(left.span(left_at(row, first), count), sizeof(Left));
            Accumulator line[lanes];
            widen(left.raw(left_at(row, first)), line, count);
            for (uint32_t i = 0; i < count; ++i) {
                a.at(row, first + i) = line[i];
            }
        }
    }
    for (uint32_t column = 0; column < n; ++column) {
        for (uint32_t first = 0; first < k; first += lanes) {
            const uint32_t count = std::min(lanes, k - first);
            instruction.reads(right.span(right_at(first, column), count), sizeof(Right));
            Accumulator line[lanes];
            widen(right.raw(right_at(first, column)), line, count);
            for (uint32_t i = 0; i < count; ++i) {
                b.at(first + i, column) = line[i];
            }
        }
    }
    // L0C holds fractals of 16 x 16 in columns (Nz), whatever the type.
    std::vector<Accumulator> sums(static_cast<size_t>(m) * n);
    const auto result_at = [&](uint32_t row, uint32_t column) {
        return (static_cast<uint64_t>(column / 16) * aligned_m + row) * 16 + column % 16;
    };
    if (accumulates) {
        instruction.reads(dst.span(0, result_elements), 1024);
    } else if (bias != nullptr || params.cmatrixSource) {
        const AscendC::LocalTensor<Bias> table =
            bias != nullptr ? *bias
                            : AscendC::LocalTensor<Bias>(&self().bank(Memory::BIAS), 0,
                                                         static_cast<uint32_t>(self().bank(Memory::BIAS).bytes),
                                                         AscendC::TPosition::C2, nullptr);
        require_memory(table, "Mmad: bias", Memory::BIAS, Memory::BIAS);
        instruction.reads(table.span(0, n), 64);
        for (uint32_t row = 0; row < m; ++row) {
            std::copy_n(table.raw(), n, &sums[static_cast<size_t>(row) * n]);
        }
    }
    if (accumulates) {
        for (uint32_t row = 0; row < m; ++row) {
            for (uint32_t column = 0; column < n; ++column) {
                sums[static_cast<size_t>(row) * n + column] = dst.raw()[result_at(row, column)];
            }
        }
    }
    multiply(sums.data(), n, a, b, accumulates || bias != nullptr || params.cmatrixSource);
    instruction.writes(dst.span(0, result_elements), 1024);
    // What lies beyond m and n in the last fractals is garbage on the device.
    const Accumulator garbage = std::is_same_v<Accumulator, float> ? std::bit_cast<Accumulator>(0x7fc0dead)
                                                                   : static_cast<Accumulator>(0x7badbad);
    std::fill_n(dst.raw(), result_elements, garbage);
    for (uint32_t row = 0; row < m; ++row) {
        for (uint32_t column = 0; column < n; ++column) {
            dst.raw()[result_at(row, column)] = sums[static_cast<size_t>(row) * n + column];
        }
    }
    instruction.counts_cube(static_cast<uint64_t>(aligned_m) * aligned_n * up_to(k, lanes), sizeof(Left));
    unit_flag_sets(params.unitFlag, Pipe::M);
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, typename U, typename S>
void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter, const MmadParams& params) {
    if (params.cmatrixSource && __NPU_ARCH__ != 2201) {
        coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Mmad: this SoC has no bias table; leave cmatrixSource false");
    }
    coopdraw::sim::mmad<T, U, S, T>(dst, fm, filter, nullptr, params);
}

template <typename T, typename U, typename S, typename V>
void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter, const LocalTensor<V>& bias,
          const MmadParams& params) {
    static_assert(coopdraw::sim::ON_910B<T>, "Mmad: this SoC takes no bias");
    static_assert(std::is_same_v<T, V>, "Mmad: the bias has the type of the result");
    coopdraw::sim::mmad<T, U, S, V>(dst, fm, filter, &bias, params);
}

// The order in which the cube fills L0C: no effect on values. asc-devkit:docs .../SetMMColumnMajor-SetMMRowMajor.md
inline void SetMMColumnMajor() {}
inline void SetMMRowMajor() {}

}  // namespace AscendC
