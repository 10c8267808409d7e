// From global memory to L1 and on to L0A, L0B and the bias table.
#pragma once

#include <cstring>

#include "cube_params.h"
#include "data_copy.h"
#include "hazard.h"
#include "tensor.h"

namespace coopdraw::sim {

// Whether the kernel is built for 910B; depends on a type so that only code that is used is refused.
template <typename T>
constexpr bool ON_910B = __NPU_ARCH__ == 2201 && sizeof(T) != 0;

constexpr uint32_t FRACTAL_BYTES = 512;  // the unit of LoadData: 16 rows of 32 bytes
constexpr uint32_t FRACTAL_ROWS = 16;

// Elements in 32 bytes: the inner axis of a fractal in L1, L0A and L0B.
template <typename T>
constexpr uint32_t CUBE_LANES = 32 / sizeof(T);

// Fails for a tensor that is not in one of two memories; `what` says which tensor of which API.
template <typename T>
void require_memory(const AscendC::LocalTensor<T>& tensor, const char* what, Memory first, Memory second) {
    const Memory memory = memory_of(tensor.position());
    if (memory != first && memory != second) {
        fail(Kind::argument, "%s is in %s, but has to be in %s%s%s; give the queue or buffer the right TPosition", what,
             name_of(memory), name_of(first), first == second ? "" : " or ", first == second ? "" : name_of(second));
    }
}

template <typename T>
void require_alignment(const AscendC::LocalTensor<T>& tensor, const char* what, uint32_t bytes) {
    if (tensor.GetPhyAddr() % bytes != 0) {
        fail(Kind::alignment, "%s starts at byte %llu, but addresses there are multiples of %u bytes", what,
             static_cast<unsigned long long>(tensor.GetPhyAddr()), bytes);
    }
}

inline void require_range(const char* what, uint64_t value, uint64_t least, uint64_t most) {
    if (value < least || value > most) {
        fail(Kind::argument, "%s is %llu, but has to be %llu to %llu", what, static_cast<unsigned long long>(value),
             static_cast<unsigned long long>(least), static_cast<unsigned long long>(most));
    }
}

// Moves elements to a fractal that was just written: element i comes from `from[source_of(i)]`. What nobody wrote stays
// undefined on its way, as the rows that fill up a fractal.
template <typename T, typename SourceOf>
void place_fractal(const Span& to, T* target, const Span& from, const uint8_t* source, SourceOf&& source_of) {
    constexpr uint32_t elements = FRACTAL_BYTES / sizeof(T);
    for (uint32_t i = 0; i < elements; ++i) {
        target[i] = load<T>(source + source_of(i) * sizeof(T));
    }
    if (from.bank->first_uninitialised(from.offset, from.bytes) == from.offset + from.bytes) {
        return;
    }
    for (uint32_t i = 0; i < elements; ++i) {
        const uint64_t at = from.offset + source_of(i) * sizeof(T);
        if (from.bank->first_uninitialised(at, sizeof(T)) != at + sizeof(T)) {
            to.bank->set_initialised(to.offset + i * sizeof(T), sizeof(T), false);
        }
    }
}

// Copies fractals one by one. asc-devkit:examples/.../load_data_l12l0/scripts/load2d.py gives the addresses.
template <typename T, typename Source>
void load_fractals(const char* api, Pipe pipe, const AscendC::LocalTensor<T>& target, const Source& source,
                   const AscendC::LoadData2DParams& params) {
    constexpr uint32_t elements = FRACTAL_BYTES / sizeof(T);
    Instruction instruction(api, pipe);
    for (int direction = 0; direction < 2; ++direction) {
        for (uint32_t i = 0; i < params.repeatTimes; ++i) {
            const int64_t step = static_cast<int64_t>(params.srcStride) * i;
            const int64_t from = params.startIndex + (params.addrMode == 0 ? step : -step);
            if (from < 0) {
                fail(Kind::bounds, "%s reads fractal %lld; with addrMode 1 startIndex has to be at least srcStride * "
                     "(repeatTimes - 1)", api, static_cast<long long>(from));
            }
            const uint64_t to = static_cast<uint64_t>(params.dstGap + 1) * i;
            if (direction == 0) {
                instruction.reads_padding(source.span(from * elements, elements));
                continue;
            }
            instruction.writes(target.span(to * elements, elements));
            place_fractal(target.span(to * elements, elements), target.raw(to * elements),
                          source.span(from * elements, elements),
                          reinterpret_cast<const uint8_t*>(source.raw(from * elements)), [&](uint32_t i) {
                              return params.ifTranspose ? i % FRACTAL_ROWS * FRACTAL_ROWS + i / FRACTAL_ROWS : i;
                          });
        }
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

// Fractals of 512 bytes from L1 to L0A or L0B, each transposed if wanted.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵计算的搬入/LoadData_2D.md
template <typename T>
void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LoadData2DParams& params) {
    using namespace coopdraw::sim;
    static_assert(!std::is_same_v<T, int4b_t>, "LoadData: the simulator has no int4b_t");
    require_memory(dst, "LoadData: dst", Memory::L0A, Memory::L0B);
    require_memory(src, "LoadData: src", Memory::L1, Memory::L1);
    if (params.ifTranspose && sizeof(T) != 2) {
        fail(Kind::argument, "LoadData: ifTranspose takes elements of 2 bytes, these have %d; use LoadDataWithTranspose",
             static_cast<int>(sizeof(T)));
    }
    load_fractals("LoadData", Pipe::MTE1, dst, src, params);
}

template <typename T>
void LoadData(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const LoadData2DParams& params) {
    using namespace coopdraw::sim;
    static_assert(!std::is_same_v<T, int4b_t>, "LoadData: the simulator has no int4b_t");
    const Memory memory = memory_of(dst.position());
    if (memory != Memory::L1) {
        require_memory(dst, "LoadData: dst", Memory::L0A, Memory::L0B);
    }
    if (params.ifTranspose) {
        fail(Kind::argument, "LoadData: ifTranspose is for data in L1, src is in GM; copy it to L1 first");
    }
    load_fractals("LoadData", Pipe::MTE2, dst, src, params);
}

// Square blocks (16x16, of bytes 32x32) from L1, transposed, to L0A or L0B as one or two fractals.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵计算的搬入/LoadDataWithTranspose.md; the addresses are
// those of examples/.../load_data_l12l0/scripts/load_data_with_transpose.py.
template <typename T>
void LoadDataWithTranspose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                           const LoadData2dTransposeParams& params) {
    using namespace coopdraw::sim;
    static_assert(ON_910B<T>, "LoadDataWithTranspose: this SoC has none; use LoadData with ifTranspose");
    static_assert(!std::is_same_v<T, int4b_t>, "LoadDataWithTranspose: the simulator has no int4b_t");
    require_memory(dst, "LoadDataWithTranspose: dst", Memory::L0A, Memory::L0B);
    require_memory(src, "LoadDataWithTranspose: src", Memory::L1, Memory::L1);
    constexpr uint32_t side = sizeof(T) == 1 ? 32 : 16;
    constexpr uint32_t fractal = FRACTAL_BYTES / sizeof(T), square = side * side, lanes = CUBE_LANES<T>;
    constexpr uint32_t fractals = square / fractal;
    Instruction instruction("LoadDataWithTranspose", Pipe::MTE1);
    const auto source_of = [&](uint32_t i) {
        const int64_t step = static_cast<int64_t>(params.srcStride) * i;
        return (params.startIndex + (params.addrMode == 0 ? step : -step)) * square;
    };
    for (uint32_t i = 0; i < params.repeatTimes; ++i) {
        instruction.reads_padding(src.span(source_of(i), square));
    }
    for (uint32_t i = 0; i < params.repeatTimes; ++i) {
        for (uint32_t part = 0; part < fractals; ++part) {
            const uint64_t first = (static_cast<uint64_t>(params.dstGap + 1) * i + (params.dstFracGap + 1) * part) * fractal;
            instruction.writes(dst.span(first, fractal));
            // Of four-byte elements the two fractals of a square lie side by side, of one-byte elements one below the
            // other; (row, column) is the place in the transposed square.
            const auto place = [part](uint32_t element) {
                constexpr bool side_by_side = sizeof(T) == 4;
                const uint32_t row = element / lanes + (side_by_side ? 0 : part * FRACTAL_ROWS);
                const uint32_t column = element % lanes + (side_by_side ? part * lanes : 0);
                return side_by_side ? row / lanes * fractal + column * lanes + row % lanes : column * side + row;
            };
            place_fractal(dst.span(first, fractal), dst.raw(first), src.span(source_of(i), square),
                          reinterpret_cast<const uint8_t*>(src.raw(source_of(i))), place);
        }
    }
}

}  // namespace AscendC

namespace coopdraw::sim {

// DataCopy from L1 (C1) to the bias table (C2), which may widen float16 to float32. Lengths count 64 bytes of the target.
// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵计算的搬入/DataCopy（L1ToBiasTable-Buffer数据搬运）.md
template <typename T, typename U>
void copy_to_bias_table(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<U>& src, uint32_t blocks,
                        uint32_t block_length, uint32_t source_gap, uint32_t target_gap) {
    static_assert(sizeof(T) == 4 && (std::is_same_v<T, U> || (std::is_same_v<U, half> && std::is_same_v<T, float>)),
                  "DataCopy to the bias table: float from float or half, int32_t from int32_t");
    require_memory(src, "DataCopy to the bias table: src", Memory::L1, Memory::L1);
    require_range("DataCopy to the bias table: blockCount", blocks, 0, 4095);
    const uint64_t count = uint64_t{block_length} * 64 / sizeof(T);
    const uint64_t source_step = count + uint64_t{source_gap} * 32 / sizeof(U);
    const uint64_t target_step = count + uint64_t{target_gap} * 64 / sizeof(T);
    Instruction instruction("DataCopy to the bias table", Pipe::MTE1);
    for (uint32_t block = 0; block < blocks; ++block) {
        instruction.reads(src.span(block * source_step, count));
    }
    for (uint32_t block = 0; block < blocks; ++block) {
        instruction.writes(dst.span(block * target_step, count), 64);
        for (uint64_t i = 0; i < count; ++i) {
            dst.raw(block * target_step)[i] = static_cast<T>(src.raw(block * source_step)[i]);
        }
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

// L1 to the bias table, widened. Without a change of type it is the general DataCopy.
template <typename T, typename U>
    requires(!std::is_same_v<T, U>)
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const DataCopyParams& params) {
    coopdraw::sim::require_memory(dst, "DataCopy with a change of type: dst", coopdraw::sim::Memory::BIAS,
                                  coopdraw::sim::Memory::BIAS);
    coopdraw::sim::copy_to_bias_table(dst, src, params.blockCount, params.blockLen, params.srcGap, params.dstGap);
}

}  // namespace AscendC
