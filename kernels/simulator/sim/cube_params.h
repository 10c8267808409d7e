// Parameter structs and enumerations of the cube's data movement and multiplication, with the public names and order.
// asc-devkit:include/basic_api/kernel_struct_mm.h, kernel_struct_data_copy.h, kernel_struct_fixpipe.h
#pragma once

#include <cstdint>

enum class pad_t : uint8_t { PAD_NONE = 0 };

enum QuantMode_t : uint8_t { NoQuant = 0, F322F16 = 1, F322BF16 = 2, DEQF16 = 3 };

namespace AscendC {

struct LoadData2DParams {
    LoadData2DParams() = default;
    LoadData2DParams(uint16_t start_index, uint8_t repeat_times, uint16_t source_stride, uint8_t reserved,
                     uint16_t target_gap, bool transpose, uint8_t address_mode)
        : startIndex(start_index), dstGap(target_gap), srcStride(source_stride), ifTranspose(transpose),
          repeatTimes(repeat_times), sid(reserved), addrMode(address_mode) {}

    uint16_t startIndex = 0;
    uint16_t dstGap = 0;
    uint16_t srcStride = 0;
    bool ifTranspose = false;
    uint8_t repeatTimes = 0;
    uint8_t sid = 0;
    uint8_t addrMode = 0;
};
using LoadData2dParams = LoadData2DParams;

struct LoadData2dTransposeParams {
    LoadData2dTransposeParams() = default;
    LoadData2dTransposeParams(uint16_t start_index, uint8_t repeat_times, uint16_t source_stride, uint16_t target_gap,
                              uint16_t target_fractal_gap, uint8_t address_mode = 0)
        : startIndex(start_index), repeatTimes(repeat_times), srcStride(source_stride), dstGap(target_gap),
          dstFracGap(target_fractal_gap), addrMode(address_mode) {}

    uint16_t startIndex = 0;
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;
    uint16_t dstGap = 0;
    uint16_t dstFracGap = 0;
    uint8_t addrMode = 0;
};

struct MmadParams {
    MmadParams() = default;
    MmadParams(uint16_t rows, uint16_t columns, uint16_t depth, uint8_t unit_flag, bool source_is_bias_table,
               bool initial_zero)
        : m(rows), n(columns), k(depth), unitFlag(unit_flag), cmatrixSource(source_is_bias_table),
          cmatrixInitVal(initial_zero) {}

    uint16_t m = 0;
    uint16_t n = 0;
    uint16_t k = 0;
    bool isBias = false;
    int32_t fmOffset = 0;
    bool enSsparse = false;
    bool enWinogradA = false;
    bool enWinogradB = false;
    uint8_t unitFlag = 0;
    bool kDirectionAlign = false;
    bool cmatrixSource = false;
    bool cmatrixInitVal = true;
};

enum class CO2Layout : uint8_t { NZ = 0, ROW_MAJOR, COLUMN_MAJOR };

struct FixpipeConfig {
    CO2Layout format;
};
constexpr FixpipeConfig CFG_NZ = {CO2Layout::NZ};
constexpr FixpipeConfig CFG_ROW_MAJOR = {CO2Layout::ROW_MAJOR};

struct FixpipeParamsV220 {
    FixpipeParamsV220() = default;
    FixpipeParamsV220(uint16_t columns, uint16_t rows, uint16_t source_stride, uint32_t target_stride, bool relu)
        : nSize(columns), mSize(rows), srcStride(source_stride), dstStride(target_stride), reluEn(relu) {}
    FixpipeParamsV220(uint16_t columns, uint16_t rows, uint16_t source_stride, uint32_t target_stride, bool relu,
                      QuantMode_t quantisation, int64_t factor, uint16_t matrices, uint16_t source_matrix_stride,
                      uint16_t target_matrix_stride, uint8_t unit_flag)
        : nSize(columns), mSize(rows), srcStride(source_stride), dstStride(target_stride), quantPre(quantisation),
          deqScalar(static_cast<uint64_t>(factor)), ndNum(matrices), srcNdStride(source_matrix_stride),
          dstNdStride(target_matrix_stride), reluEn(relu), unitFlag(unit_flag) {}

    uint16_t nSize = 0;
    uint16_t mSize = 0;
    uint16_t srcStride = 0;
    uint32_t dstStride = 0;
    QuantMode_t quantPre = QuantMode_t::NoQuant;
    uint64_t deqScalar = 0;
    uint16_t ndNum = 1;
    uint16_t srcNdStride = 0;
    uint16_t dstNdStride = 0;
    bool reluEn = false;
    uint8_t unitFlag = 0;
    bool isChannelSplit = false;
};

enum class BlockMode : uint8_t {
    BLOCK_MODE_NORMAL = 0,
    BLOCK_MODE_MATRIX,
    BLOCK_MODE_VECTOR,
    BLOCK_MODE_SMALL_CHANNEL,
    BLOCK_MODE_DEPTHWISE,
};

enum class DeqScale : uint8_t { DEQ_NONE = 0, DEQ, VDEQ, DEQ8, VDEQ8, DEQ16, VDEQ16 };

struct DataCopyEnhancedParams {
    BlockMode blockMode = BlockMode::BLOCK_MODE_NORMAL;
    DeqScale deqScale = DeqScale::DEQ_NONE;
    uint64_t deqValue = 0;
    uint8_t sidStoreMode = 0;
    bool isRelu = false;
    pad_t padMode = pad_t::PAD_NONE;
    uint64_t padValue = 0;
    uint64_t deqTensorAddr = 0;
};

}  // namespace AscendC
