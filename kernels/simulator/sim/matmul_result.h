// The result of a Matmul on its way to global memory or UB.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "matmul_operand.h"
#include "matmul_shape.h"

namespace coopdraw::sim {

// Where a block goes: `columns` is the width of the result's rows; a sequential block is written by itself.
struct ResultPlace {
    uint32_t columns;
    bool sequential;
    uint8_t atomic;
};

template <typename T>
T garbage() {
    if constexpr (std::is_same_v<T, int32_t>) {
        return 0x7badbad;
    } else {
        return static_cast<T>(std::numeric_limits<float>::quiet_NaN());
    }
}

inline void require_plain(uint8_t atomic) {
    if (atomic != 0) {
        fail(Kind::argument, "Matmul: enAtomic is %d, but a local result is not added up; leave it 0", atomic);
    }
}

inline void check_result(const MatmulBlock& block, const ResultPlace& place, bool aligned, uint32_t lanes) {
    if (__NPU_ARCH__ != 2201 && !aligned && (place.columns % lanes != 0 || block.columns % lanes != 0)) {
        fail(Kind::alignment,
             "Matmul: %u columns of the result in rows of %u are no multiple of 32 bytes, which ND needs on this SoC; "
             "use CubeFormat::ND_ALIGN",
             block.columns, place.columns);
    }
    if (block.columns > place.columns) {
        fail(Kind::argument, "Matmul writes %u columns into rows of %u; correct SetOrgShape or SetTail", block.columns,
             place.columns);
    }
    if (place.atomic > 1) {
        fail(Kind::argument, "Matmul: the simulator has no atomic maximum or minimum (enAtomic %d)", place.atomic);
    }
}

// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/GetTensorC.md; ND_ALIGN:
// docs/zh/guide/算子实践参考/SIMD算子实现/矩阵编程（高阶API）/特性场景/矩阵乘输出的N方向对齐.md
template <CubeFormat format, typename T, typename Accumulator>
void write_result(Instruction& writing, const AscendC::GlobalTensor<T>& result, const std::vector<Accumulator>& sums,
                  const MatmulBlock& block, const ResultPlace& place) {
    static_assert(format == CubeFormat::ND || format == CubeFormat::ND_ALIGN,
                  "Matmul: the simulator gives results as ND or ND_ALIGN");
    constexpr uint32_t lanes = 32 / sizeof(T);
    constexpr bool aligned = format == CubeFormat::ND_ALIGN;
    check_result(block, place, aligned, lanes);
    const auto padded = [](uint32_t count) { return aligned ? (count + lanes - 1) / lanes * lanes : count; };
    const uint64_t stride = padded(place.columns);
    const uint64_t start = place.sequential ? 0 : block.row * stride + block.column;
    const uint32_t width = padded(block.columns);
    // The elements that fill up rows of ND_ALIGN are garbage on the device.
    std::vector<T> line(width, garbage<T>());
    for (uint32_t row = 0; row < block.rows; ++row) {
        const Span span = result.span(start + row * stride, width);
        place.atomic != 0 ? writing.accumulates(span) : writing.writes(span);
        auto* target = reinterpret_cast<uint8_t*>(result.raw(start + row * stride));
        for (uint32_t column = 0; column < block.columns; ++column) {
            Accumulator value = sums[size_t{row} * block.columns + column];
            if (place.atomic != 0) {
                value = static_cast<Accumulator>(static_cast<T>(value)) +
                        static_cast<Accumulator>(load<T>(target + column * sizeof(T)));
            }
            line[column] = static_cast<T>(value);
        }
        std::memcpy(target, line.data(), width * sizeof(T));
    }
}

// A block to UB, in rows of `stride` elements: it arrives through MTE2, and the vector unit comes after it
// (asc-devkit:include/adv_api/matmul/matmul_client.h CopyToUB).
template <typename T, typename Accumulator>
void copy_to_local(const AscendC::LocalTensor<T>& local, const std::vector<Accumulator>& sums, const MatmulBlock& block,
                   uint32_t stride) {
    Instruction copying("Matmul::GetTensorC", Pipe::MTE2);
    for (uint32_t row = 0; row < block.rows; ++row) {
        copying.writes(local.span(uint64_t{row} * stride, block.columns), sizeof(T));
        for (uint32_t column = 0; column < block.columns; ++column) {
            local.raw(uint64_t{row} * stride)[column] = static_cast<T>(sums[size_t{row} * block.columns + column]);
        }
    }
    order_after(order_of(Pipe::MTE2), Pipe::V);
}

}  // namespace coopdraw::sim
