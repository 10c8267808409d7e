// Transposition of blocks.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/数据排布转换/{Transpose,TransDataTo5HD}.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

using AscendC::NCHW_CONV_ADDR_LIST_SIZE;
using AscendC::TransDataTo5HDParams;
using AscendC::TransposeParamsExt;
using AscendC::TransposeType;

using AddressList = std::array<uint64_t, NCHW_CONV_ADDR_LIST_SIZE>;  // of blocks, in the unified buffer
using Block = std::array<uint8_t, BLOCK_BYTES>;

// Sixteen blocks in, sixteen out: element j of input block i becomes element i of output row j. Rows of 16-bit elements
// are one block, of 32-bit elements two, of 8-bit elements the half that `params` names.
template <typename T>
std::array<Block, 16> transposed(const std::array<Block, 16>& in, const std::array<Block, 16>& old,
                                 const TransDataTo5HDParams& params) {
    std::array<Block, 16> out = old;
    constexpr uint32_t rows = sizeof(T) == 1 ? 16 : BLOCK_BYTES / sizeof(T);
    const uint32_t from = sizeof(T) == 1 && params.srcHighHalf ? 16 : 0;
    const uint32_t to = sizeof(T) == 1 && params.dstHighHalf ? 16 : 0;
    constexpr uint32_t row_blocks = sizeof(T) == 4 ? 2 : 1;
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t column = 0; column < 16; ++column) {
            Block& block = out[row * row_blocks + (row_blocks == 2 ? column / 8 : 0)];
            const uint32_t position = row_blocks == 2 ? column % 8 : to + column;
            std::memcpy(block.data() + position * sizeof(T), in[column].data() + (from + row) * sizeof(T), sizeof(T));
        }
    }
    return out;
}

template <typename T>
void transpose_blocks(const char* api, const AddressList& dst, const AddressList& src,
                      const TransDataTo5HDParams& params) {
    static_assert(one_of<T, int8_t, uint8_t, int16_t, uint16_t, half, int32_t, uint32_t, float>,
                  "TransDataTo5HD: T must be an 8-, 16- or 32-bit type other than bfloat16_t");
    if (params.repeatTimes == 0) {
        return;
    }
    Bank& bank = self().bank(Memory::UB);
    Instruction instruction(api, Pipe::V);
    const auto span = [&](uint64_t address) { return Span{&bank, address, BLOCK_BYTES, bank.bytes}; };
    for (uint64_t repeat = 0; repeat < params.repeatTimes; ++repeat) {
        // A single repeat starts one stride behind the addresses. asc-devkit: TransDataTo5HD.md repeatTimes
        const uint64_t steps = params.repeatTimes == 1 ? 1 : repeat;
        const uint64_t dst_step = steps * params.dstRepStride * BLOCK_BYTES;
        const uint64_t src_step = steps * params.srcRepStride * BLOCK_BYTES;
        std::array<Block, 16> in{}, old{};
        for (size_t i = 0; i < 16; ++i) {
            instruction.reads(span(src[i] + src_step));
            std::memcpy(in[i].data(), bank.data + src[i] + src_step, BLOCK_BYTES);
            if (dst[i] + dst_step + BLOCK_BYTES <= bank.bytes) {
                std::memcpy(old[i].data(), bank.data + dst[i] + dst_step, BLOCK_BYTES);
            }
        }
        const auto out = transposed<T>(in, old, params);
        for (size_t i = 0; i < 16; ++i) {
            const uint64_t half_block = sizeof(T) == 1 && params.dstHighHalf ? BLOCK_BYTES / 2 : 0;
            const uint64_t address = dst[i] + dst_step;
            if (address % BLOCK_BYTES != 0) {
                fail(Kind::alignment, "%s: destination %zu is not 32-byte aligned", api, i);
            }
            const uint64_t bytes = sizeof(T) == 1 ? BLOCK_BYTES / 2 : BLOCK_BYTES;
            instruction.writes({&bank, address + half_block, bytes, bank.bytes}, 1);
            std::memcpy(bank.data + address, out[i].data(), BLOCK_BYTES);
        }
    }
    instruction.counts_vector(uint64_t{params.repeatTimes} * 512 / sizeof(T), sizeof(T),
                              uint64_t{params.repeatTimes} * 2);
}

template <typename T>
void transpose_16x16(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src) {
    Instruction instruction(api, Pipe::V);
    instruction.reads(src.span(0, 256));
    instruction.writes(dst.span(0, 256));
    instruction.counts_vector(256, sizeof(T), 2);
    std::array<T, 256> in;
    std::copy_n(src.raw(), 256, in.begin());
    for (size_t i = 0; i < 256; ++i) {
        dst.raw()[i] = in[i % 16 * 16 + i / 16];
    }
}

// Bytes of the work tensor. asc-devkit: Transpose.md, table of sharedTmpBuffer
template <typename T>
uint64_t transpose_work_bytes(const TransposeParamsExt& params) {
    constexpr uint64_t tile = (sizeof(T) == 1 ? 32 : 16) * uint64_t{BLOCK_BYTES};
    const uint64_t channels = params.cSize;
    return (params.transposeType == TransposeType::TRANSPOSE_NCHW2NHWC ? channels + 2 : channels * 2 + 1) * tile;
}

template <typename T>
void transpose_channels(const char* api, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                        const AscendC::LocalTensor<uint8_t>& work, const TransposeParamsExt& params) {
    const uint64_t images = params.nSize, channels = params.cSize;
    const uint64_t pixels = uint64_t{params.hSize} * params.wSize;
    if (channels > 4095 || pixels > 4095 || pixels * sizeof(T) % BLOCK_BYTES != 0) {
        fail(Kind::argument, "%s: cSize and hSize * wSize must be at most 4095, and a plane a multiple of 32 bytes",
             api);
    }
    const uint64_t elements = images * channels * pixels;
    if (elements == 0) {
        return;
    }
    const bool to_last = params.transposeType == TransposeType::TRANSPOSE_NCHW2NHWC;
    Instruction instruction(api, Pipe::V);
    instruction.reads(src.span(0, elements));
    instruction.scratches(work.span(0, transpose_work_bytes<T>(params)));
    barrier(Pipe::V);  // between the steps of the public implementation
    Instruction result(api, Pipe::V);
    result.writes(dst.span(0, elements));
    result.counts_vector(elements * 2, sizeof(T), elements * sizeof(T) / REPEAT_BYTES * 2 + 1);
    forbid_shared_memory(api, src.span(0, elements), dst.span(0, elements));
    for (uint64_t image = 0; image < images; ++image) {
        for (uint64_t channel = 0; channel < channels; ++channel) {
            for (uint64_t pixel = 0; pixel < pixels; ++pixel) {
                const uint64_t first = (image * channels + channel) * pixels + pixel;
                const uint64_t last = (image * pixels + pixel) * channels + channel;
                dst.raw()[to_last ? last : first] = src.raw()[to_last ? first : last];
            }
        }
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T>
void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src) {
    static_assert(coopdraw::sim::one_of<T, int16_t, uint16_t, half>,
                  "Transpose: T must be one of int16_t, uint16_t, half");
    coopdraw::sim::transpose_16x16("Transpose", dst, src);
}

template <typename T>
void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint8_t>& sharedTmpBuffer,
               const TransposeParamsExt& transposeParams) {
    namespace sim = coopdraw::sim;
    static_assert(sim::one_of<T, int8_t, uint8_t, int16_t, uint16_t, half, int32_t, uint32_t, float>,
                  "Transpose: T must be an 8-, 16- or 32-bit type other than bfloat16_t");
    switch (transposeParams.transposeType) {
        case TransposeType::TRANSPOSE_TYPE_NONE: return;
        case TransposeType::TRANSPOSE_ND2ND_B16:
            if constexpr (std::is_same_v<T, uint16_t>) {
                return sim::transpose_16x16("Transpose", dst, src);
            }
            sim::fail(sim::Kind::argument, "Transpose: TRANSPOSE_ND2ND_B16 takes uint16_t tensors; reinterpret them");
        case TransposeType::TRANSPOSE_NCHW2NHWC:
        case TransposeType::TRANSPOSE_NHWC2NCHW:
            return sim::transpose_channels("Transpose", dst, src, sharedTmpBuffer, transposeParams);
        default:
            sim::fail(sim::Kind::argument, "Transpose: transposeType %u is not supported by the device either",
                      static_cast<unsigned>(transposeParams.transposeType));
    }
}

template <typename T>
void TransDataTo5HD(uint64_t dstList[NCHW_CONV_ADDR_LIST_SIZE], uint64_t srcList[NCHW_CONV_ADDR_LIST_SIZE],
                    const TransDataTo5HDParams& nchwconvParams) {
    coopdraw::sim::AddressList dst, src;
    std::copy_n(dstList, dst.size(), dst.begin());
    std::copy_n(srcList, src.size(), src.begin());
    coopdraw::sim::transpose_blocks<T>("TransDataTo5HD", dst, src, nchwconvParams);
}

template <typename T>
void TransDataTo5HD(const LocalTensor<T> (&dstList)[NCHW_CONV_ADDR_LIST_SIZE],
                    const LocalTensor<T> (&srcList)[NCHW_CONV_ADDR_LIST_SIZE],
                    const TransDataTo5HDParams& nchwconvParams) {
    coopdraw::sim::AddressList dst, src;
    for (size_t i = 0; i < dst.size(); ++i) {
        dst[i] = dstList[i].GetPhyAddr();
        src[i] = srcList[i].GetPhyAddr();
    }
    coopdraw::sim::transpose_blocks<T>("TransDataTo5HD", dst, src, nchwconvParams);
}

// The addresses lie in tensors, where the scalar unit reads them.
template <typename T>
void TransDataTo5HD(const LocalTensor<uint64_t>& dst, const LocalTensor<uint64_t>& src,
                    const TransDataTo5HDParams& nchwconvParams) {
    coopdraw::sim::AddressList dst_list, src_list;
    for (uint32_t i = 0; i < dst_list.size(); ++i) {
        dst_list[i] = dst.GetValue(i);
        src_list[i] = src.GetValue(i);
    }
    coopdraw::sim::transpose_blocks<T>("TransDataTo5HD", dst_list, src_list, nchwconvParams);
}

}  // namespace AscendC
