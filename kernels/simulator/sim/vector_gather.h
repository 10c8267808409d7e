// Reads and writes at element or block offsets that a tensor holds.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/离散与聚合/{Gather,Gatherb(ISASI),Scatter(ISASI)}.md
#pragma once

#include "vector_map.h"

namespace coopdraw::sim {

// The element of `tensor` at a byte offset, checked to lie on an element.
template <typename T>
uint64_t element_at(const char* api, uint64_t byte_offset) {
    if (byte_offset % sizeof(T) != 0) {
        fail(Kind::alignment, "%s: byte offset %llu is not a multiple of the element's %zu bytes", api,
             static_cast<unsigned long long>(byte_offset), sizeof(T));
    }
    return byte_offset / sizeof(T);
}

// dst[i] = src at byte base + offsets[i]. Offsets are consumed one per element of a repeat, masked or not.
template <typename T>
void gather(const char* api, const Lanes& lanes, const Operand<T>& out, const AscendC::LocalTensor<T>& src,
            const AscendC::LocalTensor<uint32_t>& offsets, uint32_t base) {
    if (lanes.empty()) {
        return;
    }
    const Operand<uint32_t> positions(offsets, 1, lanes.per_repeat * 4 / BLOCK_BYTES);
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, positions.walk);
    std::vector<T> values;
    const auto each = [&](auto&& f) {
        for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
            for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
                for (uint32_t element = begin; element < end; ++element) {
                    f(repeat, element);
                }
            }
        }
    };
    each([&](uint32_t repeat, uint32_t element) {
        const uint64_t offset = uint64_t{base} + *positions.at(positions.walk.offset(repeat, element));
        const uint64_t index = element_at<T>(api, offset);
        instruction.reads(src.span(index, 1), sizeof(T));
        values.push_back(*src.raw(index));
    });
    write_operand(instruction, lanes, out.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    Span written = out.walk.tensor;
    written.bytes = out.walk.offset(lanes.repeats - 1, lanes.end(lanes.repeats - 1) - 1) + sizeof(T);
    forbid_shared_memory(api, src.span(0, src.GetSize()), written);
    size_t next = 0;
    each([&](uint32_t repeat, uint32_t element) { *out.at(out.walk.offset(repeat, element)) = values[next++]; });
}

template <typename T>
constexpr bool gathered =
    one_of<T, int16_t, uint16_t, half, int32_t, uint32_t, float> || (__NPU_ARCH__ == 2201 && one_of<T, bfloat16_t>);

// dst at byte base + offsets[i] = src[i].
template <typename T>
void scatter(const char* api, const Lanes& lanes, const AscendC::LocalTensor<T>& dst, const Operand<T>& source,
             const AscendC::LocalTensor<uint32_t>& offsets, uint32_t base) {
    if (lanes.empty()) {
        return;
    }
    const Operand<uint32_t> positions(offsets, 1, lanes.per_repeat * 4 / BLOCK_BYTES);
    check_overlap(api, lanes, Operand<T>(dst).walk, source.walk, Overlap::apart);
    Instruction instruction(api, Pipe::V);
    read_operand(instruction, lanes, source.walk);
    read_operand(instruction, lanes, positions.walk);
    instruction.counts_vector(lanes.active(), sizeof(T), lanes.repeats);
    std::vector<bool> written(dst.GetSize(), false);
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const uint64_t offset = uint64_t{base} + *positions.at(positions.walk.offset(repeat, element));
                const uint64_t index = element_at<T>(api, offset);
                instruction.writes(dst.span(index, 1), sizeof(T));
                if (written[index]) {
                    fail(Kind::argument, "%s: byte offset %llu occurs twice, and which value stays is undefined", api,
                         static_cast<unsigned long long>(offset));
                }
                written[index] = true;
                *dst.raw(index) = *source.at(source.walk.offset(repeat, element));
            }
        }
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

template <typename T>
void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& srcOffset,
            const uint32_t srcBaseAddr, const uint32_t count) {
    static_assert(coopdraw::sim::gathered<T>, "Gather: T must be a 16- or 32-bit type of this SoC");
    coopdraw::sim::gather("Gather",
                          coopdraw::sim::lanes_of_count("Gather", count, coopdraw::sim::elements_per_repeat(sizeof(T))),
                          coopdraw::sim::Operand<T>(dst), src, srcOffset, srcBaseAddr);
    coopdraw::sim::reset_mask_registers();
}

template <typename T, coopdraw::sim::IsMask Mask>
void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& srcOffset,
            const uint32_t srcBaseAddr, const Mask& mask, int64_t repeatTime, Limited16 dstRepStride) {
    static_assert(coopdraw::sim::gathered<T>, "Gather: T must be a 16- or 32-bit type of this SoC");
    const auto lanes = coopdraw::sim::lanes_of_mask<true>("Gather", mask, repeatTime,
                                                          coopdraw::sim::elements_per_repeat(sizeof(T)));
    coopdraw::sim::gather("Gather", lanes, coopdraw::sim::Operand<T>(dst, 1, dstRepStride), src, srcOffset,
                          srcBaseAddr);
}

#if __NPU_ARCH__ == 2201
// Eight blocks a repeat, each from a byte offset.
template <typename T>
void Gatherb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset,
             int64_t repeatTime, const GatherRepeatParams& repeatParams) {
    namespace sim = coopdraw::sim;
    static_assert(sim::one_of<T, uint16_t, uint32_t>, "Gatherb: T must be one of uint16_t, uint32_t");
    sim::check_repeats("Gatherb", repeatTime);
    constexpr uint32_t per_block = sim::BLOCK_BYTES / sizeof(T);
    const uint64_t block_stride = std::max<uint64_t>(1, repeatParams.dstBlkStride);  // 0 is documented to mean 1
    sim::Instruction instruction("Gatherb", sim::Pipe::V);
    instruction.reads(offset.span(0, static_cast<uint64_t>(repeatTime) * 8));
    for (uint64_t i = 0; i < static_cast<uint64_t>(repeatTime) * 8; ++i) {
        const uint32_t from = *offset.raw(i);
        const uint64_t to = (i / 8 * repeatParams.dstRepStride + i % 8 * block_stride) * per_block;
        const uint64_t element = sim::element_at<T>("Gatherb", from);
        const sim::Span read = src.span(element, per_block);
        const sim::Span write = dst.span(to, per_block);
        sim::forbid_shared_memory("Gatherb", read, write);
        instruction.reads(read);
        instruction.writes(write);
        std::memcpy(dst.raw(to), src.raw(element), sim::BLOCK_BYTES);
    }
    instruction.counts_vector(static_cast<uint64_t>(repeatTime) * 8 * per_block, sizeof(T),
                              static_cast<uint64_t>(repeatTime));
}
#else
template <typename T>
void Scatter(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& dstOffset,
             const uint32_t dstBaseAddr, const uint32_t count) {
    static_assert(coopdraw::sim::one_of<T, uint16_t, half, uint32_t, float>,
                  "Scatter: T must be one of uint16_t, half, uint32_t, float");
    coopdraw::sim::scatter(
        "Scatter", coopdraw::sim::lanes_of_count("Scatter", count, coopdraw::sim::elements_per_repeat(sizeof(T))), dst,
        coopdraw::sim::Operand<T>(src), dstOffset, dstBaseAddr);
    coopdraw::sim::reset_mask_registers();
}

template <typename T, coopdraw::sim::IsMask Mask>
void Scatter(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& dstOffset,
             const uint32_t dstBaseAddr, const Mask& mask, int64_t repeatTime, Limited8 srcRepStride) {
    static_assert(coopdraw::sim::one_of<T, uint16_t, half, uint32_t, float>,
                  "Scatter: T must be one of uint16_t, half, uint32_t, float");
    const auto lanes = coopdraw::sim::lanes_of_mask<true>("Scatter", mask, repeatTime,
                                                          coopdraw::sim::elements_per_repeat(sizeof(T)));
    coopdraw::sim::scatter("Scatter", lanes, dst, coopdraw::sim::Operand<T>(src, 1, srcRepStride), dstOffset,
                           dstBaseAddr);
}
#endif

}  // namespace AscendC
