// From L0C to global memory and L1 (Fixpipe), and on 310P to UB (DataCopy).
#pragma once

#include <bit>

#include "cube_mmad.h"

namespace coopdraw::sim {

// One value on its way out of L0C. A factor counts with 10 bits of its fraction.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵搬出关键特性说明/随路量化.md
template <typename Target, typename Source>
Target fixpipe_value(Source value, uint64_t factor, bool relu) {
    if (relu && !(value > Source{})) {
        value = Source{};
    }
    if constexpr (std::is_same_v<Source, int32_t> && std::is_same_v<Target, half>) {
        const float scale = std::bit_cast<float>(static_cast<uint32_t>(factor) & 0xffffe000U);
        return static_cast<half>(static_cast<float>(value) * scale);
    } else {
        return static_cast<Target>(value);
    }
}

template <typename Target, typename Source>
void require_quantisation(QuantMode_t mode) {
    constexpr bool none = std::is_same_v<Target, Source> && sizeof(Target) == 4;
    constexpr bool to_half = std::is_same_v<Target, half> && std::is_same_v<Source, float>;
    constexpr bool to_bfloat = std::is_same_v<Target, bfloat16_t> && std::is_same_v<Source, float>;
    constexpr bool from_integers = std::is_same_v<Target, half> && std::is_same_v<Source, int32_t>;
    static_assert(none || to_half || to_bfloat || from_integers,
                  "Fixpipe: the simulator has float and int32_t as they are, float to 16 bits, and int32_t to half");
    const QuantMode_t needed = none ? NoQuant : to_half ? F322F16 : to_bfloat ? F322BF16 : DEQF16;
    if (mode != needed) {
        fail(Kind::argument, "Fixpipe: quantPre is %d, but the types of dst and src need %d", mode, needed);
    }
}

// Rows of 16 lanes from L0C to `target`; `place(row, column)` is the target's element for the first of them.
template <typename T, typename U, typename Tensor, typename Place>
void fixpipe_rows(Instruction& instruction, const Tensor& target, const AscendC::LocalTensor<U>& src, uint64_t source,
                  const AscendC::FixpipeParamsV220& params, Place&& place) {
    const uint32_t columns = params.nSize;
    for (uint32_t first = 0; first < columns; first += 16) {
        const uint32_t count = std::min(16U, columns - first);
        for (uint32_t row = 0; row < params.mSize; ++row) {
            const uint64_t from = source + (static_cast<uint64_t>(first / 16) * params.srcStride + row) * 16;
            const uint64_t to = place(row, first);
            T values[16];
            for (uint32_t i = 0; i < count; ++i) {
                values[i] = fixpipe_value<T>(src.raw(from)[i], params.deqScalar, params.reluEn);
            }
            instruction.writes(target.span(to, count));
            std::memcpy(static_cast<void*>(target.raw(to)), values, count * sizeof(T));
            carry_undefined(src.span(from, count), sizeof(U), target.span(to, count), sizeof(T));
        }
    }
}

template <typename U>
void read_tile(Instruction& instruction, const AscendC::LocalTensor<U>& src, uint64_t source,
               const AscendC::FixpipeParamsV220& params) {
    for (uint32_t first = 0; first < params.nSize; first += 16) {
        const uint64_t from = source + static_cast<uint64_t>(first / 16) * params.srcStride * 16;
        instruction.reads_padding(src.span(from, static_cast<uint64_t>(params.mSize) * 16), 64);
    }
}

template <typename T, typename U, typename Tensor>
void fixpipe(const char* api, const Tensor& dst, const AscendC::LocalTensor<U>& src, AscendC::CO2Layout layout,
             const AscendC::FixpipeParamsV220& params) {
    const bool row_major = layout == AscendC::CO2Layout::ROW_MAJOR;
    require_memory(src, "Fixpipe: src", Memory::L0C, Memory::L0C);
    require_quantisation<T, U>(params.quantPre);
    require_range("Fixpipe: nSize", params.nSize, 0, 4095);
    require_range("Fixpipe: mSize", params.mSize, 0, row_major ? 8192 : 65535);
    if (params.isChannelSplit) {
        fail(Kind::argument, "Fixpipe: the simulator has no channel split; leave isChannelSplit false");
    }
    if (!row_major && params.nSize % 16 != 0) {
        fail(Kind::argument, "Fixpipe: nSize is %d, but fractals have 16 columns; round it up", params.nSize);
    }
    if (params.nSize == 0 || params.mSize == 0 || params.ndNum == 0) {
        return;
    }
    if (params.dstStride == 0) {
        fail(Kind::argument, "Fixpipe: dstStride is 0; give the distance of two rows (ND) or columns of fractals (NZ)");
    }
    unit_flag_waits(params.unitFlag, Pipe::FIX);
    Instruction instruction(api, Pipe::FIX);
    const uint32_t matrices = row_major ? params.ndNum : 1;
    const auto source_of = [&](uint32_t matrix) { return static_cast<uint64_t>(matrix) * params.srcNdStride * 256; };
    for (uint32_t matrix = 0; matrix < matrices; ++matrix) {
        read_tile(instruction, src, source_of(matrix), params);
    }
    for (uint32_t matrix = 0; matrix < matrices; ++matrix) {
        const uint64_t start = static_cast<uint64_t>(matrix) * params.dstNdStride;
        fixpipe_rows<T>(instruction, dst, src, source_of(matrix), params, [&](uint32_t row, uint32_t column) {
            if (row_major) {
                return start + static_cast<uint64_t>(row) * params.dstStride + column;
            }
            return static_cast<uint64_t>(column / 16) * params.dstStride * (32 / sizeof(T)) + uint64_t{row} * 16;
        });
    }
    unit_flag_sets(params.unitFlag, Pipe::FIX);
}

}  // namespace coopdraw::sim

namespace AscendC {

// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵计算的搬出/Fixpipe（L0C到GM数据搬运）.md and
// 矩阵搬出关键特性说明/NZ2ND.md, NZ2NZ.md
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src, const FixpipeParamsV220& params) {
    static_assert(coopdraw::sim::ON_910B<T>, "Fixpipe: this SoC has none; copy L0C to UB with DataCopy");
    coopdraw::sim::fixpipe<T>("Fixpipe", dst, src, config.format, params);
}

// To L1, as fractals. asc-devkit:docs .../矩阵计算的搬出/Fixpipe（L0C到L1数据搬运）.md
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const LocalTensor<T>& dst, const LocalTensor<U>& src, const FixpipeParamsV220& params) {
    static_assert(coopdraw::sim::ON_910B<T>, "Fixpipe: this SoC has none; copy L0C to UB with DataCopy");
    static_assert(config.format == CO2Layout::NZ && sizeof(T) == 2,
                  "Fixpipe to L1: half or bfloat16_t with CFG_NZ; go through GM for other formats");
    coopdraw::sim::require_memory(dst, "Fixpipe: dst", coopdraw::sim::Memory::L1, coopdraw::sim::Memory::L1);
    coopdraw::sim::fixpipe<T>("Fixpipe", dst, src, config.format, params);
}

}  // namespace AscendC

namespace AscendC {

// 310P: fractals of 16 x 16 from L0C to UB on the vector pipe. Lengths and the source's gap count fractals, the
// target's gap 32 bytes. asc-devkit:docs .../矩阵计算的搬出/DataCopy（L0C到UB数据搬运）.md
template <typename T, typename U>
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const DataCopyParams& params,
              const DataCopyEnhancedParams& enhanced) {
    using namespace coopdraw::sim;
    static_assert(!ON_910B<T>, "DataCopy with DataCopyEnhancedParams: this SoC has no way from L0C to UB");
    static_assert((std::is_same_v<T, U> && sizeof(T) == 4) || (std::is_same_v<T, half> && std::is_same_v<U, float>),
                  "DataCopy L0C to UB: the simulator has float and int32_t as they are, and float to half");
    require_memory(src, "DataCopy L0C to UB: src", Memory::L0C, Memory::L0C);
    require_memory(dst, "DataCopy L0C to UB: dst", Memory::UB, Memory::UB);
    if (enhanced.blockMode != BlockMode::BLOCK_MODE_MATRIX || enhanced.deqScale != DeqScale::DEQ_NONE) {
        fail(Kind::argument, "DataCopy L0C to UB: the simulator has BLOCK_MODE_MATRIX with DEQ_NONE only");
    }
    constexpr uint64_t fractal = 256;
    const uint64_t length = params.blockLen * fractal;
    const uint64_t source_step = length + params.srcGap * fractal;
    const uint64_t target_step = length + uint64_t{params.dstGap} * 32 / sizeof(T);
    Instruction instruction("DataCopy L0C to UB", Pipe::V);
    for (uint64_t block = 0; block < params.blockCount; ++block) {
        instruction.reads_padding(src.span(block * source_step, length));
    }
    for (uint64_t block = 0; block < params.blockCount; ++block) {
        instruction.writes(dst.span(block * target_step, length));
        carry_undefined(src.span(block * source_step, length), sizeof(U), dst.span(block * target_step, length),
                        sizeof(T));
        for (uint64_t i = 0; i < length; ++i) {
            dst.raw(block * target_step)[i] =
                fixpipe_value<T>(src.raw(block * source_step)[i], 0, enhanced.isRelu);
        }
    }
}

}  // namespace AscendC
