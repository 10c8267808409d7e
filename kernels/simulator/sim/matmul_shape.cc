#include "matmul_shape.h"

#include <algorithm>

#include "report.h"

namespace coopdraw::sim {
namespace {

uint32_t divide(uint32_t value, int32_t unit) { return (value + unit - 1) / unit; }

void set_size(uint32_t& size, int tail) {
    if (tail == 0 || tail < -1) {
        fail(Kind::argument, "Matmul::SetTail has %d, but needs a size above 0, or -1 to keep what is set", tail);
    }
    size = tail == -1 ? size : static_cast<uint32_t>(tail);
}

}  // namespace

void MatmulShapes::set_tiling(const TCubeTiling& tiling, const MatmulTraits& traits) {
    check_tiling(tiling, traits);
    tiling_ = tiling;
    has_tiling_ = true;
    single_ = {static_cast<uint32_t>(tiling.singleCoreM), static_cast<uint32_t>(tiling.singleCoreN),
               static_cast<uint32_t>(tiling.singleCoreK)};
    SetOrgShape(tiling.M, tiling.N, tiling.Ka, tiling.Kb);
}

void MatmulShapes::require_tiling(const char* api) const {
    if (!has_tiling_) {
        fail(Kind::argument, "Matmul::%s before the object has a tiling; pass one to REGIST_MATMUL_OBJ or Init", api);
    }
}

// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/SetOrgShape.md asks for it to come first.
void MatmulShapes::SetOrgShape(int orgM, int orgN, int orgKa, int orgKb, int orgKc) {
    if (operands_set_) {
        fail(Kind::argument,
             "Matmul::SetOrgShape comes after SetTensorA, SetTensorB or SetBias of the same product; call it before");
    }
    original_ = {static_cast<uint32_t>(orgM), static_cast<uint32_t>(orgN), static_cast<uint32_t>(orgKa),
                 static_cast<uint32_t>(orgKb), static_cast<uint32_t>(orgKc == 0 ? orgN : orgKc)};
}

void MatmulShapes::SetTail(int tailM, int tailN, int tailK) {
    set_size(single_.rows, tailM);
    set_size(single_.columns, tailN);
    set_size(single_.depth, tailK);
}

uint32_t MatmulShapes::blocks() const {
    return divide(single_.rows, tiling_.baseM) * divide(single_.columns, tiling_.baseN);
}

MatmulBlock MatmulShapes::block_at(uint32_t index) const {
    const uint32_t row_blocks = divide(single_.rows, tiling_.baseM);
    const uint32_t column_blocks = divide(single_.columns, tiling_.baseN);
    const bool rows_first = tiling_.iterateOrder == 0;
    const uint32_t row = (rows_first ? index % row_blocks : index / column_blocks) * tiling_.baseM;
    const uint32_t column = (rows_first ? index / row_blocks : index % column_blocks) * tiling_.baseN;
    return {row, column, std::min<uint32_t>(tiling_.baseM, single_.rows - row),
            std::min<uint32_t>(tiling_.baseN, single_.columns - column)};
}

}  // namespace coopdraw::sim
