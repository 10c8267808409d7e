// The rules that a TCubeTiling has to keep, and the traffic that it causes.
#pragma once

#include "matmul_types.h"

namespace coopdraw::sim {

// Bytes of an element of each operand, and what the types of a Matmul object say of it.
struct MatmulTraits {
    uint32_t left_bytes, right_bytes, result_bytes, bias_bytes;
    bool left_may_transpose, right_may_transpose;  // ISTRANS
    bool multi_data_load;                          // the MDL template
};

// One product [rows, depth] @ [depth, columns] of one core.
struct MatmulShape {
    uint32_t rows, columns, depth;
};

// Fails for a tiling that breaks a rule of
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Tiling类/TCubeTiling结构体.md, tables 1 to 3.
void check_tiling(const TCubeTiling& tiling, const MatmulTraits& traits);

// Bytes that the tiling moves for one product.
struct MatmulTraffic {
    uint64_t left_from_global, right_from_global;  // GM to L1: operands that L1 can't hold are read again
    uint64_t to_l0;                                // L1 to L0A and L0B
    uint64_t multiply_adds;                        // of whole fractals, as the cube computes them
};
MatmulTraffic traffic_of(const TCubeTiling& tiling, const MatmulTraits& traits, const MatmulShape& shape);

}  // namespace coopdraw::sim
