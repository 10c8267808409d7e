// What a Matmul object knows about shapes: its tiling, the whole matrices, the product of this core, and the blocks
// that it is computed in.
#pragma once

#include "matmul_tiling.h"

namespace coopdraw::sim {

// The shapes of the whole matrices, of which a product takes a part.
struct MatmulOriginal {
    uint32_t rows, columns, left_depth, right_depth, result_columns;
};

// A part of the result: where it starts and its size.
struct MatmulBlock {
    uint32_t row, column, rows, columns;
};

// The part of Matmul that does not depend on types. Public functions have the public names.
class MatmulShapes {
public:
    void SetOrgShape(int orgM, int orgN, int orgK) { SetOrgShape(orgM, orgN, orgK, orgK); }
    void SetOrgShape(int orgM, int orgN, int orgKa, int orgKb, int orgKc = 0);
    void SetSingleShape(int singleM, int singleN, int singleK) { SetTail(singleM, singleN, singleK); }
    void SetTail(int tailM = -1, int tailN = -1, int tailK = -1);

protected:
    void set_tiling(const TCubeTiling& tiling, const MatmulTraits& traits);
    void require_tiling(const char* api) const;  // fails when there is none
    void begin_operands() { operands_set_ = true; }
    void end_operands() { operands_set_ = false; }

    const TCubeTiling& tiling() const { return tiling_; }
    const MatmulShape& single() const { return single_; }
    const MatmulOriginal& original() const { return original_; }

    // The blocks [baseM, baseN] of the product, in the tiling's order.
    uint32_t blocks() const;
    MatmulBlock block_at(uint32_t index) const;
    MatmulBlock whole() const { return {0, 0, single_.rows, single_.columns}; }

private:
    TCubeTiling tiling_{};
    bool has_tiling_ = false;
    bool operands_set_ = false;  // of the next product
    MatmulShape single_{};
    MatmulOriginal original_{};
};

}  // namespace coopdraw::sim
