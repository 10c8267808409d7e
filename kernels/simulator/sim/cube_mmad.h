// Mmad: a block of the left matrix in L0A times one of the right matrix in L0B, into L0C.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/Mmad计算/Mmad.md
#pragma once

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

// Reads one line of an operand (a row of the left matrix, a column of the right one) of `depth` elements, 32 bytes at a
// time: place(k) is where element k is, keep(k, value) takes it. False when a part of it is undefined.
template <typename Accumulator, typename T, typename Place, typename Keep>
bool read_line(Instruction& instruction, const AscendC::LocalTensor<T>& operand, uint32_t depth, Place&& place, Keep&& keep) {
    constexpr uint32_t lanes = CUBE_LANES<T>;
    bool defined = true;
    for (uint32_t first = 0; first < depth; first += lanes) {
        const uint32_t count = std::min(lanes, depth - first);
        const Span span = operand.span(place(first), count);
        instruction.reads_padding(span, sizeof(T));
        defined = defined && is_written(span);
        Accumulator line[lanes];
        widen(operand.raw(place(first)), line, count);
        for (uint32_t i = 0; i < count; ++i) {
            keep(first + i, line[i]);
        }
    }
    return defined;
}

// The result in L0C: fractals of 16 x 16 in columns (Nz), whatever the type.
template <typename T>
class ResultTile {
public:
    ResultTile(const AscendC::LocalTensor<T>& tensor, uint32_t rows, uint32_t columns)
        : sums(size_t{rows} * columns), undefined(sums.size()), tensor_(tensor), rows_(rows), columns_(columns),
          aligned_rows_(up_to(rows, FRACTAL_ROWS)) {}

    std::vector<T> sums;          // row by row
    std::vector<bool> undefined;  // likewise

    Span span() const { return tensor_.span(0, uint64_t{aligned_rows_} * up_to(columns_, FRACTAL_ROWS)); }

    // Sums to start with: what the tile has, or one row for all of them.
    void read(Instruction& instruction) {
        instruction.reads_padding(span(), 1024);
        for_each([&](size_t i, uint64_t place, uint32_t) {
            sums[i] = tensor_.raw()[place];
            undefined[i] = !is_written(tensor_.span(place, 1));
        });
    }
    void fill(Instruction& instruction, const AscendC::LocalTensor<T>& row) {
        instruction.reads_padding(row.span(0, columns_), 64);
        for_each([&](size_t i, uint64_t, uint32_t column) {
            sums[i] = row.raw()[column];
            undefined[i] = !is_written(row.span(column, 1));
        });
    }

    // What lies beyond the rows and columns in the last fractals is garbage on the device.
    void write(Instruction& instruction) {
        instruction.writes(span(), 1024);
        span().bank->set_initialised(span().offset, span().bytes, false);
        for_each([&](size_t i, uint64_t place, uint32_t) {
            tensor_.raw()[place] = sums[i];
            const Span element = tensor_.span(place, 1);
            element.bank->set_initialised(element.offset, element.bytes, !undefined[i]);
        });
    }

private:
    template <typename Visit>
    void for_each(Visit&& visit) {
        for (uint32_t row = 0; row < rows_; ++row) {
            for (uint32_t column = 0; column < columns_; ++column) {
                visit(size_t{row} * columns_ + column,
                      (uint64_t{column / FRACTAL_ROWS} * aligned_rows_ + row) * FRACTAL_ROWS + column % FRACTAL_ROWS,
                      column);
            }
        }
    }

    const AscendC::LocalTensor<T>& tensor_;
    uint32_t rows_, columns_, aligned_rows_;
};

template <typename Result, typename Left, typename Right>
void require_operands(const AscendC::LocalTensor<Result>& dst, const AscendC::LocalTensor<Left>& left,
                      const AscendC::LocalTensor<Right>& right, const AscendC::MmadParams& params) {
    static_assert(is_mmad_type<Result, Left, Right>(), "Mmad: the SoC (or the simulator) has no such types");
    require_memory(dst, "Mmad: dst", Memory::L0C, Memory::L0C);
    require_memory(left, "Mmad: fm", Memory::L0A, Memory::L0A);
    require_memory(right, "Mmad: filter", Memory::L0B, Memory::L0B);
    require_alignment(left, "Mmad: fm", FRACTAL_BYTES);
    require_alignment(right, "Mmad: filter", FRACTAL_BYTES);
    require_range("Mmad: m", params.m, 0, 4095);
    require_range("Mmad: n", params.n, 0, 4095);
    require_range("Mmad: k", params.k, 0, 4095);
}

// `bias` is a row in the bias table to start with, or null.
template <typename Result, typename Left, typename Right>
void mmad(const AscendC::LocalTensor<Result>& dst, const AscendC::LocalTensor<Left>& left,
          const AscendC::LocalTensor<Right>& right, const AscendC::LocalTensor<Result>* bias,
          const AscendC::MmadParams& params) {
    require_operands(dst, left, right, params);
    const uint32_t m = params.m, n = params.n, k = params.k;
    if (m == 0 || n == 0 || k == 0) {
        return;
    }
    constexpr uint32_t lanes = CUBE_LANES<Left>;
    const uint32_t aligned_k = up_to(k, params.kDirectionAlign && sizeof(Left) == 4 ? 16 : lanes);
    const LeftPlace left_at{lanes, aligned_k / lanes, m == 1};
    const RightPlace right_at{lanes, up_to(n, FRACTAL_ROWS) / FRACTAL_ROWS};

    unit_flag_waits(params.unitFlag, Pipe::M);
    if ((m / 16) * (n / 16) >= 10) {
        barrier(Pipe::M);  // the hardware orders large Mmads that add to the same tile
    }
    Instruction instruction("Mmad", Pipe::M);
    ResultTile<Result> tile(dst, m, n);
    const bool adds = bias != nullptr || !params.cmatrixInitVal;
    if (bias != nullptr) {
        require_memory(*bias, "Mmad: bias", Memory::BIAS, Memory::BIAS);
        tile.fill(instruction, *bias);
    } else if (adds) {
        tile.read(instruction);
    }
    LeftMatrix<Result> a;
    RightMatrix<Result> b;
    a.resize(m, k);
    b.resize(k, n);
    for (uint32_t row = 0; row < m; ++row) {
        const bool defined = read_line<Result>(
            instruction, left, k, [&](uint32_t at) { return left_at(row, at); },
            [&](uint32_t at, Result value) { a.at(row, at) = value; });
        for (uint32_t column = 0; column < n && !defined; ++column) {
            tile.undefined[size_t{row} * n + column] = true;
        }
    }
    for (uint32_t column = 0; column < n; ++column) {
        const bool defined = read_line<Result>(
            instruction, right, k, [&](uint32_t at) { return right_at(at, column); },
            [&](uint32_t at, Result value) { b.at(at, column) = value; });
        for (uint32_t row = 0; row < m && !defined; ++row) {
            tile.undefined[size_t{row} * n + column] = true;
        }
    }
    multiply(tile.sums.data(), n, a, b, adds);
    tile.write(instruction);
    instruction.counts_cube(uint64_t{up_to(m, 16)} * up_to(n, 16) * up_to(k, lanes), sizeof(Left));
    unit_flag_sets(params.unitFlag, Pipe::M);
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T, typename U, typename S>
void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter, const MmadParams& params) {
    using namespace coopdraw::sim;
    if (!params.cmatrixSource || params.cmatrixInitVal) {
        mmad<T, U, S>(dst, fm, filter, nullptr, params);
        return;
    }
    if (__NPU_ARCH__ != 2201) {
        fail(Kind::argument, "Mmad: this SoC has no bias table; leave cmatrixSource false");
    }
    Bank& table = self().bank(Memory::BIAS);
    const LocalTensor<T> bias(&table, 0, static_cast<uint32_t>(table.bytes), TPosition::C2, nullptr);
    mmad<T, U, S>(dst, fm, filter, &bias, params);
}

template <typename T, typename U, typename S, typename V>
void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter, const LocalTensor<V>& bias,
          const MmadParams& params) {
    static_assert(coopdraw::sim::ON_910B<T>, "Mmad: this SoC takes no bias");
    static_assert(std::is_same_v<T, V>, "Mmad: the bias has the type of the result");
    coopdraw::sim::mmad<T, U, S>(dst, fm, filter, &bias, params);
}

// The order in which the cube fills L0C: no effect on values. asc-devkit:docs .../SetMMColumnMajor-SetMMRowMajor.md
inline void SetMMColumnMajor() {}
inline void SetMMRowMajor() {}

}  // namespace AscendC
