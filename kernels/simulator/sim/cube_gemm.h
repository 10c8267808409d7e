// Dense multiply-accumulate behind Mmad and Matmul: blocked, in float32 (or int32) as the cube's L0C accumulates.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace coopdraw::sim {

constexpr uint32_t PANEL = 16;  // columns of the right matrix that the inner loop keeps in registers
constexpr uint32_t STRIP = 6;   // rows of the left matrix, likewise

// float16 to float32.
void halves_to_floats(const uint16_t* source, float* target, uint32_t count);

// A row of any operand type in the type it is accumulated in.
template <typename Source, typename Target>
void widen(const Source* source, Target* target, uint32_t count) {
    if constexpr (std::is_same_v<Source, _Float16> && std::is_same_v<Target, float>) {
        halves_to_floats(reinterpret_cast<const uint16_t*>(source), target, count);
    } else {
        for (uint32_t i = 0; i < count; ++i) {
            target[i] = static_cast<Target>(source[i]);
        }
    }
}

// The left matrix [rows, depth], in strips of 6 rows: [strip][depth][6], zero beyond the last row.
template <typename Accumulator>
struct LeftMatrix {
    uint32_t rows = 0, depth = 0;
    std::vector<Accumulator> values;

    void resize(uint32_t row_count, uint32_t depth_count) {
        rows = row_count;
        depth = depth_count;
        values.assign(size_t{(rows + STRIP - 1) / STRIP} * depth * STRIP, Accumulator{});
    }
    size_t index(uint32_t row, uint32_t k) const {
        return (size_t{row / STRIP} * depth + k) * STRIP + row % STRIP;
    }
    Accumulator& at(uint32_t row, uint32_t k) { return values[index(row, k)]; }
    const Accumulator& at(uint32_t row, uint32_t k) const { return values[index(row, k)]; }

    // `stride` is the distance in elements of two rows of the source, which is [depth, rows] when `transposed`.
    template <typename Source>
    void pack(const Source* source, uint64_t stride, uint32_t row_count, uint32_t depth_count, bool transposed) {
        resize(row_count, depth_count);
        std::vector<Accumulator> line(std::max(rows, depth));
        for (uint32_t outer = 0; outer < (transposed ? depth : rows); ++outer) {
            widen(source + outer * stride, line.data(), transposed ? rows : depth);
            for (uint32_t inner = 0; inner < (transposed ? rows : depth); ++inner) {
                (transposed ? at(inner, outer) : at(outer, inner)) = line[inner];
            }
        }
    }
};

// The right matrix [depth, columns], in panels of 16 columns: [panel][depth][16], zero beyond the last column.
template <typename Accumulator>
struct RightMatrix {
    uint32_t depth = 0, columns = 0;
    std::vector<Accumulator> values;

    void resize(uint32_t depth_count, uint32_t column_count) {
        depth = depth_count;
        columns = column_count;
        values.assign(size_t{(columns + PANEL - 1) / PANEL} * depth * PANEL, Accumulator{});
    }
    Accumulator* panel(uint32_t column) { return values.data() + size_t{column / PANEL} * depth * PANEL; }
    const Accumulator* panel(uint32_t column) const {
        return values.data() + size_t{column / PANEL} * depth * PANEL;
    }
    Accumulator& at(uint32_t k, uint32_t column) { return panel(column)[size_t{k} * PANEL + column % PANEL]; }

    // `stride` as for LeftMatrix; the source is [columns, depth] when `transposed`.
    template <typename Source>
    void pack(const Source* source, uint64_t stride, uint32_t depth_count, uint32_t column_count, bool transposed) {
        resize(depth_count, column_count);
        std::vector<Accumulator> line(std::max(depth, columns));
        if (!transposed) {
            for (uint32_t k = 0; k < depth; ++k) {
                widen(source + k * stride, line.data(), columns);
                for (uint32_t column = 0; column < columns; column += PANEL) {
                    const size_t count = std::min(PANEL, columns - column);
                    std::memcpy(&at(k, column), line.data() + column, count * sizeof(Accumulator));
                }
            }
            return;
        }
        for (uint32_t column = 0; column < columns; ++column) {
            widen(source + column * stride, line.data(), depth);
            Accumulator* target = &at(0, column);
            for (uint32_t k = 0; k < depth; ++k) {
                target[size_t{k} * PANEL] = line[k];
            }
        }
    }
};

// result [rows, columns] with `stride` = left @ right, added to what is there when `accumulate`.
void multiply(float* result, uint64_t stride, const LeftMatrix<float>& left, const RightMatrix<float>& right,
              bool accumulate);
void multiply(int32_t* result, uint64_t stride, const LeftMatrix<int32_t>& left, const RightMatrix<int32_t>& right,
              bool accumulate);

}  // namespace coopdraw::sim
