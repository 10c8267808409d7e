// An operand of a Matmul: where it lies, which bytes a product reads, and its values for the inner loops.
#pragma once

#include <vector>

#include "cube_gemm.h"
#include "cube_load.h"
#include "hazard.h"
#include "matmul_order.h"
#include "tensor.h"

namespace coopdraw::sim {

// The shapes of the whole matrices, of which a product takes a part.
struct MatmulOriginal {
    uint32_t rows, columns, left_depth, right_depth, result_columns;
};

// A part of the result: where it starts and its size.
struct MatmulBlock {
    uint32_t row, column, rows, columns;
};

template <typename Result, typename Left, typename Right>
constexpr bool is_product_type() {
    if constexpr (std::is_same_v<Left, int8_t>) {
        return std::is_same_v<Right, int8_t> && std::is_same_v<Result, int32_t>;
    } else {
        const bool operands = std::is_same_v<Left, Right> &&
                              (std::is_same_v<Left, half> ||
                               (__NPU_ARCH__ == 2201 && (std::is_same_v<Left, float> || std::is_same_v<Left, bfloat16_t>)));
        const bool result = std::is_same_v<Result, float> || std::is_same_v<Result, half> ||
                            (__NPU_ARCH__ == 2201 && std::is_same_v<Result, bfloat16_t>);
        return operands && result;
    }
}

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
        }
    }

    // Names the bytes that `lines` lines from `first` on take, and remembers where they are. `line_extent` and
    // `depth_extent` are those of the whole matrix.
    template <CubeFormat format>
    void read(Instruction& reading, uint32_t first, uint32_t lines, uint32_t depth, uint32_t line_extent,
              uint32_t depth_extent, bool lines_are_rows) {
        static_assert(format == CubeFormat::ND, "Matmul: the simulator takes operands as ND");
        // One row of the matrix as stored is one line, or one step along the depth.
        const bool stored_by_line = lines_are_rows != transposed_;
        stride_ = stored_by_line ? depth_extent : line_extent;
        offset_ = stored_by_line ? uint64_t{first} * stride_ : first;
        by_line_ = stored_by_line;
        const uint32_t stored_rows = stored_by_line ? lines : depth, stored_columns = stored_by_line ? depth : lines;
        if (stored_columns > stride_) {
            fail(Kind::argument, "Matmul reads %u columns of a matrix that has %llu; correct SetOrgShape or SetTail",
                 stored_columns, static_cast<unsigned long long>(stride_));
        }
        if (!is_local()) {
            read_rows(reading, global_, stored_rows, stored_columns);
        } else if (copy_.empty()) {
            Instruction loading("Matmul", Pipe::MTE3);
            read_rows(loading, local_, stored_rows, stored_columns);
        } else if (offset_ + uint64_t{stored_rows - 1} * stride_ + stored_columns > copy_.size()) {
            fail(Kind::bounds, "Matmul reads %llu elements of a local tensor of %zu; give it a larger tensor",
                 static_cast<unsigned long long>(offset_ + uint64_t{stored_rows - 1} * stride_ + stored_columns),
                 copy_.size());
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
    const T* values() const { return (!is_local() ? global_.raw() : copy_.empty() ? local_.raw() : copy_.data()) + offset_; }

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
    std::vector<T> copy_;
    bool transposed_ = false;
    bool by_line_ = true;
    uint64_t stride_ = 0, offset_ = 0;
};

}  // namespace coopdraw::sim
