// An operand of a Matmul: where it lies, which bytes a product reads, and its values for the inner loops.
#pragma once

#include <vector>

#include "cube_gemm.h"
#include "cube_load.h"
#include "hazard.h"
#include "matmul_order.h"
#include "tensor.h"

namespace coopdraw::sim {

template <typename T>
constexpr bool is_wide() {
    return std::is_same_v<T, float> || std::is_same_v<T, bfloat16_t>;
}

template <typename Result, typename Left, typename Right>
constexpr bool is_product_type() {
    if constexpr (std::is_same_v<Left, int8_t>) {
        return std::is_same_v<Right, int8_t> && std::is_same_v<Result, int32_t>;
    } else {
        const bool operands = std::is_same_v<Left, Right> &&
                              (std::is_same_v<Left, half> || (__NPU_ARCH__ == 2201 && is_wide<Left>()));
        const bool result = std::is_same_v<Result, float> || std::is_same_v<Result, half> ||
                            (__NPU_ARCH__ == 2201 && std::is_same_v<Result, bfloat16_t>);
        return operands && result;
    }
}

// Lines and depth of an operand.
struct OperandExtents {
    uint32_t lines, depth;
};

// A or B. "Lines" are rows of A or columns of B: the axis that is not summed over.
template <typename T>
class MatmulOperand {
public:
    void set(const AscendC::GlobalTensor<T>& tensor, bool transposed) {
        global_ = tensor;
        copy_.clear();
        local_ = {};
        transposed_ = transposed;
    }

    // From UB. A vector core copies the tensor for its cube core at once, behind the vector instructions so far
    // (asc-devkit:include/adv_api/matmul/matmul_client.h CopyGlobalAddr); a coupled core reads it when it computes.
    void set(const AscendC::LocalTensor<T>& tensor, bool transposed) {
        if (memory_of(tensor.position()) != Memory::UB) {
            fail(Kind::argument, "Matmul takes local operands from UB (VECOUT, VECCALC) in the simulator, not from %s",
                 name_of(memory_of(tensor.position())));
        }
        local_ = tensor;
        transposed_ = transposed;
        copy_.clear();
        if (self().kind == CoreKind::AIV) {
            order_after(order_of(Pipe::V), Pipe::MTE3);
            Instruction copying("Matmul::SetTensor", Pipe::MTE3);
            copying.reads_padding(tensor.span(0, tensor.GetSize()));
            copy_.assign(tensor.raw(), tensor.raw() + tensor.GetSize());
            undefined_.assign(copy_.size(), false);
            for (size_t i = 0; i < copy_.size() && !is_written(tensor.span(0, copy_.size())); ++i) {
                undefined_[i] = !is_written(tensor.span(i, 1));
            }
        }
    }

    // Names the bytes that `lines` lines from `first` on take, and remembers where they are. `whole` is the matrix that
    // the product is a part of, `single` all of this core's product: a local tensor holds just that, in rows that are
    // filled up to 32 bytes (asc-devkit:examples/01_simd_cpp_api/04_advanced_api/00_matmul/matmul_vecout).
    template <CubeFormat format>
    void read(Instruction& reading, uint32_t first, uint32_t lines, uint32_t depth, const OperandExtents& whole,
              const OperandExtents& single, bool lines_are_rows) {
        static_assert(format == CubeFormat::ND, "Matmul: the simulator takes operands as ND");
        // One row of the matrix as stored is one line, or one step along the depth.
        by_line_ = lines_are_rows != transposed_;
        const OperandExtents& extents = is_local() ? single : whole;
        stride_ = by_line_ ? extents.depth : extents.lines;
        if (is_local()) {
            stride_ = (stride_ + CUBE_LANES<T> - 1) / CUBE_LANES<T> * CUBE_LANES<T>;
        }
        offset_ = by_line_ ? uint64_t{first} * stride_ : first;
        const uint32_t stored_rows = by_line_ ? lines : depth, stored_columns = by_line_ ? depth : lines;
        if (stored_columns > stride_) {
            fail(Kind::argument, "Matmul reads %u columns of a matrix that has %llu; correct SetOrgShape or SetTail",
                 stored_columns, static_cast<unsigned long long>(stride_));
        }
        if (!is_local()) {
            read_rows(reading, global_, stored_rows, stored_columns);
        } else if (copy_.empty()) {
            Instruction loading("Matmul", Pipe::MTE3);
            read_rows(loading, local_, stored_rows, stored_columns);
        } else {
            check_copy(stored_rows, stored_columns);
        }
    }

    // The lines that were read last, as rows of the left matrix or columns of the right one.
    template <typename Accumulator>
    void pack(LeftMatrix<Accumulator>& matrix, uint32_t rows, uint32_t depth) const {
        matrix.pack(values(), stride_, rows, depth, !by_line_);
    }
    template <typename Accumulator>
    void pack(RightMatrix<Accumulator>& matrix, uint32_t depth, uint32_t columns) const {
        matrix.pack(values(), stride_, depth, columns, by_line_);
    }

private:
    bool is_local() const { return local_.bank() != nullptr; }
    const T* values() const {
        const T* first = !is_local() ? global_.raw() : copy_.empty() ? local_.raw() : copy_.data();
        return first + offset_;
    }

    void check_copy(uint32_t rows, uint32_t columns) const {
        const uint64_t end = offset_ + uint64_t{rows - 1} * stride_ + columns;
        if (end > copy_.size()) {
            fail(Kind::bounds, "Matmul reads %llu elements of a local tensor of %zu; give it a larger tensor",
                 static_cast<unsigned long long>(end), copy_.size());
        }
        for (uint64_t row = 0; row < rows; ++row) {
            const auto begin = undefined_.begin() + static_cast<int64_t>(offset_ + row * stride_);
            if (std::find(begin, begin + columns, true) != begin + columns) {
                fail(Kind::uninitialised, "Matmul reads row %llu of a local tensor that nothing wrote; fill it before "
                     "SetTensor", static_cast<unsigned long long>(row));
            }
        }
    }

    template <typename Tensor>
    void read_rows(Instruction& reading, const Tensor& tensor, uint32_t rows, uint32_t columns) const {
        if (columns == stride_) {
            reading.reads(tensor.span(offset_, uint64_t{rows} * columns), 1);
            return;
        }
        for (uint32_t row = 0; row < rows; ++row) {
            reading.reads(tensor.span(offset_ + uint64_t{row} * stride_, columns), 1);
        }
    }

    AscendC::GlobalTensor<T> global_;
    AscendC::LocalTensor<T> local_;
    std::vector<T> copy_;          // of a local tensor, for a cube core
    std::vector<bool> undefined_;  // its elements that nobody wrote
    bool transposed_ = false;
    bool by_line_ = true;
    uint64_t stride_ = 0, offset_ = 0;
};

}  // namespace coopdraw::sim
