// The result of a Matmul on its way to global memory or UB.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "matmul_operand.h"

namespace coopdraw::sim {

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

// Writes a block to its place in the result, or by itself when `sequential`. `columns` is the width of the result's rows.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/GetTensorC.md; ND_ALIGN: docs/zh/guide/.../矩阵乘输出的N方向对齐.md
template <CubeFormat format, typename T, typename Accumulator>
void write_result(Instruction& writing, const AscendC::GlobalTensor<T>& result, const std::vector<Accumulator>& sums,
                  const MatmulBlock& block, uint8_t atomic, uint32_t columns, bool sequential) {
    static_assert(format == CubeFormat::ND || format == CubeFormat::ND_ALIGN,
                  "Matmul: the simulator gives results as ND or ND_ALIGN");
    constexpr uint32_t lanes = 32 / sizeof(T);
    constexpr bool aligned = format == CubeFormat::ND_ALIGN;
    const auto padded = [](uint32_t count) { return aligned ? (count + lanes - 1) / lanes * lanes : count; };
    if (__NPU_ARCH__ != 2201 && !aligned && (columns % lanes != 0 || block.columns % lanes != 0)) {
        fail(Kind::alignment, "Matmul: rows of %u elements of the result are no multiple of 32 bytes, which ND needs on this "
             "SoC; use CubeFormat::ND_ALIGN", block.columns);
    }
    if (block.columns > columns) {
        fail(Kind::argument, "Matmul writes %u columns into rows of %u; correct SetOrgShape or SetTail", block.columns, columns);
    }
    if (atomic > 1) {
        fail(Kind::argument, "Matmul: the simulator has no atomic maximum or minimum (enAtomic %d)", atomic);
    }
    const uint64_t stride = padded(columns);
    const uint64_t start = sequential ? 0 : block.row * stride + block.column;
    const uint32_t width = padded(block.columns);
    // The elements that fill up rows of ND_ALIGN are garbage on the device.
    std::vector<T> line(width, garbage<T>());
    for (uint32_t row = 0; row < block.rows; ++row) {
        const Span span = result.span(start + row * stride, width);
        atomic != 0 ? writing.accumulates(span) : writing.writes(span);
        auto* target = reinterpret_cast<uint8_t*>(result.raw(start + row * stride));
        for (uint32_t column = 0; column < block.columns; ++column) {
            Accumulator value = sums[size_t{row} * block.columns + column];
            if (atomic != 0) {
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

struct WorkspaceOrder {
    Clock last_pass;
};

// 310P: the room in UB that operands and results pass through, of which half serves each direction.
// asc-devkit:impl/adv_api/tiling/matmul/matmul_tiling_algorithm.cpp GetTransLength, matmul_tiling.cpp
inline void use_workspace(const AscendC::LocalTensor<uint8_t>& buffer, const TCubeTiling& tiling, const MatmulTraits& traits,
                          bool left_is_nd, bool right_is_nd) {
    const auto bytes = [](int32_t rows, int32_t columns, uint32_t element) { return uint64_t(rows) * columns * element; };
    const uint64_t needed = std::max({left_is_nd ? bytes(tiling.baseM, tiling.baseK, traits.left_bytes) : 0,
                                      right_is_nd ? bytes(tiling.baseN, tiling.baseK, traits.right_bytes) : 0,
                                      bytes(tiling.baseM, tiling.baseN, traits.result_bytes)});
    if (tiling.transLength < 0 || static_cast<uint64_t>(tiling.transLength) < needed) {
        fail(Kind::argument, "TCubeTiling.transLength is %d, but the largest base block takes %llu bytes of UB on its way",
             tiling.transLength, static_cast<unsigned long long>(needed));
    }
    if (buffer.bank() == nullptr) {
        fail(Kind::argument, "Matmul has no room in UB on this SoC; call SetLocalWorkspace with 2 * transLength bytes before");
    }
    if (buffer.GetLength() < 2 * static_cast<uint64_t>(tiling.transLength)) {
        fail(Kind::capacity, "Matmul's room in UB has %u bytes, but needs 2 * transLength = %d", buffer.GetLength(),
             2 * tiling.transLength);
    }
    // One product's pass comes after that of the product before; other users of the room see to their own order.
    Clock& last_pass = core_state<WorkspaceOrder>().last_pass;
    order_after(last_pass, Pipe::V);
    Instruction passing("Matmul", Pipe::V);
    passing.scratches(buffer.span(0, buffer.GetLength()));
    last_pass = order_of(Pipe::V);
}

}  // namespace coopdraw::sim
