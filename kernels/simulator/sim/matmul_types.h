// Types of the Matmul high-level API: operand descriptions, configuration and tiling, with the public names and order.
// asc-devkit:include/adv_api/matmul/matmul_config.h, matmul_tilingdata.h;
// docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/Matmul使用说明.md
#pragma once

#include <cstdint>

#include "types.h"

enum class CubeFormat { ND = 0, NZ, ZN, ZZ, NN, ND_ALIGN, SCALAR, VECTOR, ROW_MAJOR = ND, COLUMN_MAJOR = 8 };

enum class LayoutMode { NONE = 0, BSNGD, SBNGD, BNGS1S2, NORMAL };

enum class IterateOrder { ORDER_M = 0, ORDER_N, UNDEF };

enum class ScheduleType { INNER_PRODUCT = 0, OUTER_PRODUCT };

// The template's choice. Of the fields only those that change values, limits or the count of bytes have an effect here.
struct MatmulConfig {
    bool doNorm = false;
    bool doBasicBlock = false;
    bool doMultiDataLoad = false;
    uint32_t basicM = 0;
    uint32_t basicN = 0;
    uint32_t basicK = 0;
    bool intrinsicsCheck = false;
    bool isNBatch = false;
    bool enVecND2NZ = false;
    bool doSpecialBasicBlock = false;
    uint32_t doMTE2Preload = 0;
    uint32_t singleCoreM = 0;
    uint32_t singleCoreN = 0;
    uint32_t singleCoreK = 0;
    uint32_t stepM = 0;
    uint32_t stepN = 0;
    uint32_t baseMN = 0;
    uint32_t singleCoreMN = 0;
    bool enUnitFlag = true;
    bool isPerTensor = false;
    bool hasAntiQuantOffset = false;
    bool doIBShareNorm = false;
    bool doSpecialMDL = false;
    bool enableInit = true;
};

constexpr MatmulConfig GetNormalConfig(bool intrinsics_check = false, bool is_n_batch = false) {
    MatmulConfig config;
    config.doNorm = true;
    config.intrinsicsCheck = intrinsics_check;
    config.isNBatch = is_n_batch;
    config.enUnitFlag = false;
    return config;
}

constexpr MatmulConfig GetMDLConfig(bool intrinsics_check = false, bool is_n_batch = false, uint32_t preload = 0,
                                    bool vector_nd_to_nz = false, bool per_tensor = false, bool has_offset = false,
                                    bool unit_flag = false) {
    MatmulConfig config;
    config.doMultiDataLoad = true;
    config.intrinsicsCheck = intrinsics_check;
    config.isNBatch = is_n_batch;
    config.doMTE2Preload = preload;
    config.enVecND2NZ = vector_nd_to_nz;
    config.isPerTensor = per_tensor;
    config.hasAntiQuantOffset = has_offset;
    config.enUnitFlag = unit_flag;
    return config;
}

constexpr MatmulConfig CFG_NORM = GetNormalConfig();
constexpr MatmulConfig CFG_MDL = GetMDLConfig();

// What the host gives to a Matmul object, in the order of the public struct.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Tiling类/TCubeTiling结构体.md
struct TCubeTiling {
    int32_t usedCoreNum, M, N, Ka, Kb, singleCoreM, singleCoreN, singleCoreK, baseM, baseN, baseK, depthA1, depthB1,
        stepM, stepN, isBias, transLength, iterateOrder, shareMode, shareL1Size, shareL0CSize, shareUbSize, batchM,
        batchN, singleBatchM, singleBatchN, stepKa, stepKb, depthAL1CacheUB, depthBL1CacheUB, dbL0A, dbL0B, dbL0C,
        ALayoutInfoB, ALayoutInfoS, ALayoutInfoN, ALayoutInfoG, ALayoutInfoD, BLayoutInfoB, BLayoutInfoS, BLayoutInfoN,
        BLayoutInfoG, BLayoutInfoD, CLayoutInfoB, CLayoutInfoS1, CLayoutInfoN, CLayoutInfoG, CLayoutInfoS2, BatchNum,
        mxTypePara;
};

namespace AscendC {

using ::CubeFormat;
using ::IterateOrder;
using ::LayoutMode;
using ::MatmulConfig;
using ::ScheduleType;
namespace tiling {
using ::TCubeTiling;
}

// Where an operand lies, how and of what type.
template <TPosition POSITION, CubeFormat FORMAT, typename TYPE, bool ISTRANS = false,
          LayoutMode LAYOUT = LayoutMode::NONE, bool IBSHARE = false, TPosition SRCPOS = TPosition::GM>
struct MatmulType {
    static constexpr TPosition pos = POSITION;
    static constexpr CubeFormat format = FORMAT;
    using T = TYPE;
    static constexpr bool isTrans = ISTRANS;
    static constexpr LayoutMode layout = LAYOUT;
    static constexpr bool ibShare = IBSHARE;
    static constexpr TPosition srcPos = SRCPOS;
};

template <auto... functions>
struct MatmulCallBackFunc {
    static constexpr bool is_default = ((functions == nullptr) && ...);
};

}  // namespace AscendC

namespace matmul {
using AscendC::MatmulCallBackFunc;
using AscendC::MatmulType;
}  // namespace matmul
