// Which bytes a vector instruction touches: repeats of up to eight 32-byte blocks, strides between them, and a mask.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/SIMD计算说明/高维切分.md
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <tuple>
#include <vector>

#include "tensor.h"
#include "vector_mask.h"

namespace coopdraw::sim {

constexpr uint32_t REPEAT_BYTES = 256;
constexpr uint32_t BLOCK_BYTES = 32;

// The elements of each repeat that take part.
struct Lanes {
    uint32_t per_repeat = 0;  // elements that one repeat covers
    uint32_t repeats = 0;
    bool prefix = true;  // the first `first` of every repeat (`last` of the last one), else the bits
    uint32_t first = 0;
    uint32_t last = 0;
    uint64_t low = 0;
    uint64_t high = 0;

    bool empty() const { return repeats == 0 || (prefix ? first == 0 : (low | high) == 0); }
    // The elements of repeat `repeat` that take part lie below this.
    uint32_t end(uint32_t repeat) const;
    uint64_t active() const;  // over all repeats
    // The next run of participating elements of `repeat` at or behind `from`; empty when there is none.
    std::pair<uint32_t, uint32_t> run(uint32_t repeat, uint32_t from) const;
};

// The first `count` elements, contiguous: the count forms and the counter mode.
Lanes lanes_of_count(const char* api, int64_t count, uint32_t per_repeat);
// `repeats` repeats with the mask registers as they are; in counter mode their count decides and `repeats` is ignored.
constexpr int64_t MAX_REPEATS = 255;
Lanes lanes_of_repeats(const char* api, int64_t repeats, uint32_t per_repeat, int64_t most = MAX_REPEATS);

void check_repeats(const char* api, int64_t repeats, int64_t most = MAX_REPEATS);

// Sets the mask registers from an argument of the call, as the forms with isSetMask do.
void set_mask_argument(const char* api, uint64_t mask, uint32_t per_repeat);
void set_mask_argument(const char* api, const uint64_t* mask, uint32_t per_repeat);

// The mask argument of a call: the bits as an array, or the number of leading elements of every repeat.
template <typename Mask>
concept IsMask = std::is_convertible_v<Mask, uint64_t> || std::is_convertible_v<Mask, const uint64_t*>;

// The mask argument of a call, then its lanes.
template <bool isSetMask, typename Mask>
Lanes lanes_of_mask(const char* api, const Mask& mask, int64_t repeats, uint32_t per_repeat) {
    if constexpr (isSetMask) {
        using Argument = std::conditional_t<std::is_convertible_v<Mask, uint64_t>, uint64_t, const uint64_t*>;
        set_mask_argument(api, static_cast<Argument>(mask), per_repeat);
    }
    return lanes_of_repeats(api, repeats, per_repeat);
}

// Where an operand's elements are: element i of repeat r is in block i / (256 / bits) of that repeat.
struct Walk {
    Span tensor;  // from the operand's first byte to the end of its tensor
    uint32_t bits;  // of an element
    uint32_t block_stride;   // in blocks, between the blocks of one repeat
    uint32_t repeat_stride;  // in blocks, between the same blocks of two repeats

    uint64_t offset(uint32_t repeat, uint32_t element) const {  // bytes from the operand's first byte
        const uint64_t bit = uint64_t{element} * bits;
        const uint64_t block = bit / (BLOCK_BYTES * 8);
        return (uint64_t{repeat} * repeat_stride + block * block_stride) * BLOCK_BYTES + bit % (BLOCK_BYTES * 8) / 8;
    }
    uint32_t elements_per_block() const { return BLOCK_BYTES * 8 / bits; }
    // All elements of these lanes follow each other without a gap.
    bool contiguous(const Lanes& lanes) const;
};

// The operands of one instruction, to be named in this order: sources, then the destination.
void read_operand(Instruction& instruction, const Lanes& lanes, const Walk& walk, uint32_t alignment = 0);
void write_operand(Instruction& instruction, const Lanes& lanes, const Walk& walk, uint32_t alignment = 0);

// Kernels compute on the padding of rows and blocks, which nobody wrote, and never use the results. So element-wise
// instructions take undefined elements, and their results are undefined: it is a fault when a scalar access, a
// reduction or a copy to global memory meets them.
bool all_written(const Span& span);
void touch_padding(Instruction& instruction, const Lanes& lanes, const Walk& source);

class UndefinedResults {
public:
    UndefinedResults() = default;
    // Names the sources to the instruction, and finds the results that don't depend on written bytes alone.
    UndefinedResults(Instruction& instruction, const Lanes& lanes, const Walk& out,
                     std::initializer_list<Walk> sources);
    void add(const Span& result);
    // After the destination was named.
    void mark(Instruction& instruction) const;

private:
    std::vector<Span> spans_;
};

enum class Overlap : uint8_t {
    same_or_apart,  // a source may be exactly the destination, or touch no byte of it
    accumulates,    // as before, and the destination may be the next repeat's second source when one stride is 0
    narrows,        // as before, and a wider source may start where the destination does (Cast in place)
    apart,          // no byte may be shared
};
// Fails when the destination overlaps a source in a way that the documentation rules out.
// asc-devkit:docs/zh/api/SIMD-API/通用说明和约束.md 通用地址重叠约束
void check_overlap(const char* api, const Lanes& lanes, const Walk& destination, const Walk& source, Overlap rule);

void forbid_shared_memory(const char* api, const Span& source, const Span& destination);

// Calls f(elements, offsets) for every run that is contiguous in all operands, in the device's order.
template <size_t N, typename F>
void for_each_run(const Lanes& lanes, const std::array<Walk, N>& walks, F&& f) {
    std::array<uint64_t, N> offsets{};
    if (std::all_of(walks.begin(), walks.end(), [&](const Walk& walk) { return walk.contiguous(lanes); })) {
        f(lanes.active(), offsets);
        return;
    }
    const bool whole = std::all_of(walks.begin(), walks.end(), [](const Walk& walk) { return walk.block_stride == 1; });
    uint32_t block = lanes.per_repeat;
    if (!whole) {
        for (const Walk& walk : walks) {
            block = std::min(block, walk.elements_per_block());
        }
    }
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end;) {
                const uint32_t stop = std::min(end, (element / block + 1) * block);
                for (size_t i = 0; i < N; ++i) {
                    offsets[i] = walks[i].offset(repeat, element);
                }
                f(uint64_t{stop - element}, offsets);
                element = stop;
            }
        }
    }
}

// An operand with the type of its elements.
template <typename T>
struct Operand {
    using Element = T;
    Walk walk;

    Operand(const AscendC::LocalTensor<T>& tensor, uint32_t block_stride = 1, uint32_t repeat_stride = 8)
        : walk{tensor.span(0, tensor.GetSize()), bits_of(), block_stride, repeat_stride} {}

    T* at(uint64_t offset) const { return reinterpret_cast<T*>(walk.tensor.bank->data + walk.tensor.offset + offset); }

private:
    static constexpr uint32_t bits_of() { return std::is_same_v<T, int4b_t> ? 4 : sizeof(T) * 8; }
};

// One pipe waits for another, as functions of several instructions make it with FetchEventID, SetFlag and WaitFlag.
void order(Pipe from, Pipe to);

// Elements that one repeat covers when the widest operand has `bytes` to an element.
constexpr uint32_t elements_per_repeat(size_t bytes) { return static_cast<uint32_t>(REPEAT_BYTES / bytes); }

}  // namespace coopdraw::sim
