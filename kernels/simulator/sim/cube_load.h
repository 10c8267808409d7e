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

inline bool is_written(const Span& span) {
    return span.bank->first_uninitialised(span.offset, span.bytes) == span.offset + span.bytes;
}

// Element i of `to` was just written from element i of `from`: what nobody wrote there is undefined here too.
inline void carry_undefined(const Span& from, uint32_t from_element, const Span& to, uint32_t to_element) {
    if (is_written(from)) {
        return;
    }
    for (uint64_t i = 0; i * from_element < from.bytes; ++i) {
        if (!is_written({from.bank, from.offset + i * from_element, from_element, from.limit})) {
            to.bank->set_initialised(to.offset + i * to_element, to_element, false);
        }
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
    if (is_written(from)) {
        return;
    }
    for (uint32_t i = 0; i < elements; ++i) {
        if (!is_written({from.bank, from.offset + source_of(i) * sizeof(T), sizeof(T), from.limit})) {
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
        fail(Kind::argument,
             "LoadData: ifTranspose takes elements of 2 bytes, these have %d; use LoadDataWithTranspose",
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
            const uint64_t step = static_cast<uint64_t>(params.dstGap + 1) * i;
            const uint64_t first = (step + (params.dstFracGap + 1) * part) * fractal;
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

// L1 to the bias table, widened to float32. Without a change of type it is the general DataCopy.
// asc-devkit:docs .../矩阵计算的搬入/DataCopy（L1ToBiasTable-Buffer数据搬运）.md
template <typename T, typename U>
    requires(!std::is_same_v<T, U>)
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const DataCopyParams& params) {
    static_assert(std::is_same_v<T, float> && std::is_same_v<U, half>, "DataCopy changes the type from half to float only");
    coopdraw::sim::require_memory(dst, "DataCopy with a change of type: dst", coopdraw::sim::Memory::BIAS,
                                  coopdraw::sim::Memory::BIAS);
    coopdraw::sim::copy_to_bias_table(dst.span(0, 0), src.span(0, 0), params, sizeof(U));
}

}  // namespace AscendC
