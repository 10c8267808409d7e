#include "vector_lanes.h"

#include <bit>

namespace coopdraw::sim {

namespace {

// The first set bit at or behind `from` in the 128 bits, or 128.
uint32_t next_bit(uint64_t low, uint64_t high, uint32_t from) {
    if (from < 64 && (low >> from) != 0) {
        return from + static_cast<uint32_t>(std::countr_zero(low >> from));
    }
    const uint32_t skipped = from < 64 ? 0 : from - 64;
    if (skipped < 64 && (high >> skipped) != 0) {
        return 64 + skipped + static_cast<uint32_t>(std::countr_zero(high >> skipped));
    }
    return 128;
}

// Calls f(offset, bytes) for the contiguous ranges of one operand, merged where they touch each other.
template <typename F>
void for_each_span(const Lanes& lanes, const Walk& walk, F&& f) {
    uint64_t start = 0;
    uint64_t end = 0;
    // A stride of 0 reads the same blocks in every repeat; the last repeat's elements are a part of the first's.
    const uint32_t repeats = walk.repeat_stride == 0 ? 1 : lanes.repeats;
    const uint32_t block = walk.block_stride == 1 ? lanes.per_repeat : walk.elements_per_block();
    for (uint32_t repeat = 0; repeat < repeats; ++repeat) {
        for (auto [begin, stop] = lanes.run(repeat, 0); begin < stop; std::tie(begin, stop) = lanes.run(repeat, stop)) {
            for (uint32_t element = begin; element < stop;) {
                const uint32_t next = std::min(stop, (element / block + 1) * block);
                const uint64_t from = walk.offset(repeat, element);
                const uint64_t to = from + (uint64_t{next - element} * walk.bits + 7) / 8;
                if (from == end && end != 0) {
                    end = to;
                } else {
                    if (end != start) {
                        f(start, end - start);
                    }
                    start = from;
                    end = to;
                }
                element = next;
            }
        }
    }
    if (end != start) {
        f(start, end - start);
    }
}

template <typename Touch>
void touch(const Lanes& lanes, const Walk& walk, Touch&& touch_span) {
    const Span& tensor = walk.tensor;
    if (walk.contiguous(lanes)) {
        touch_span(Span{tensor.bank, tensor.offset, (lanes.active() * walk.bits + 7) / 8, tensor.limit});
        return;
    }
    for_each_span(lanes, walk, [&](uint64_t offset, uint64_t bytes) {
        touch_span(Span{tensor.bank, tensor.offset + offset, bytes, tensor.limit});
    });
}

// A range that a mask lets start inside a block has no alignment of its own: the operand's start has.
uint32_t alignment_of(const Span& range, const Walk& walk, uint32_t alignment) {
    return (range.offset - walk.tensor.offset) % BLOCK_BYTES == 0 ? alignment : 1;
}

}  // namespace

uint32_t Lanes::end(uint32_t repeat) const {
    if (prefix) {
        return repeat + 1 == repeats ? last : first;
    }
    return high != 0 ? 128 - static_cast<uint32_t>(std::countl_zero(high))
                     : 64 - static_cast<uint32_t>(std::countl_zero(low));
}

uint64_t Lanes::active() const {
    if (prefix) {
        return repeats == 0 ? 0 : uint64_t{repeats - 1} * first + last;
    }
    return uint64_t{repeats} * static_cast<uint64_t>(std::popcount(low) + std::popcount(high));
}

std::pair<uint32_t, uint32_t> Lanes::run(uint32_t repeat, uint32_t from) const {
    if (prefix) {
        const uint32_t stop = end(repeat);
        return {std::min(from, stop), stop};
    }
    const uint32_t begin = next_bit(low, high, from);
    return {begin, begin == 128 ? 128 : next_bit(~low, ~high, begin)};
}

Lanes lanes_of_count(const char* api, int64_t count, uint32_t per_repeat) {
    if (count < 0) {
        fail(Kind::argument, "%s: the element count is %lld; pass 0 or more", api, static_cast<long long>(count));
    }
    Lanes lanes;
    lanes.per_repeat = per_repeat;
    lanes.repeats = static_cast<uint32_t>((count + per_repeat - 1) / per_repeat);
    if (lanes.repeats > 0) {
        lanes.last = static_cast<uint32_t>(count - int64_t{lanes.repeats - 1} * per_repeat);
        lanes.first = lanes.repeats == 1 ? lanes.last : per_repeat;
    }
    return lanes;
}

void check_repeats(const char* api, int64_t repeats, int64_t most) {
    if (repeats < 0 || repeats > most) {
        fail(Kind::argument, "%s: repeatTime is %lld, but 0 to %lld are documented; split the call", api,
             static_cast<long long>(repeats), static_cast<long long>(most));
    }
}

Lanes lanes_of_repeats(const char* api, int64_t repeats, uint32_t per_repeat, int64_t most) {
    check_repeats(api, repeats, most);
    const MaskRegisters& mask = mask_registers();
    if (mask.counter) {
        return lanes_of_count(api, static_cast<int64_t>(mask.low & 0xffffffffU), per_repeat);
    }
    Lanes lanes;
    lanes.per_repeat = per_repeat;
    lanes.repeats = static_cast<uint32_t>(repeats);
    const MaskRegisters all = mask_of_first(per_repeat);
    lanes.low = mask.low & all.low;
    lanes.high = mask.high & all.high;
    const auto ones = static_cast<uint32_t>(std::popcount(lanes.low) + std::popcount(lanes.high));
    const MaskRegisters dense = mask_of_first(ones);
    lanes.prefix = dense.low == lanes.low && dense.high == lanes.high;
    lanes.first = lanes.last = ones;
    return lanes;
}

void set_mask_argument(const char* api, uint64_t mask, uint32_t per_repeat) {
    if (mask_registers().counter) {
        fail(Kind::argument,
             "%s: in counter mode the element count goes into a mask array {count, 0}; the single-number form sets "
             "a bit mask",
             api);
    }
    if (mask > per_repeat) {
        fail(Kind::argument, "%s: mask is %llu, but one repeat has %u elements of this type", api,
             static_cast<unsigned long long>(mask), per_repeat);
    }
    const MaskRegisters bits = mask_of_first(mask);
    set_mask_bits(bits.high, bits.low);
}

void set_mask_argument(const char* api, const uint64_t* mask, uint32_t per_repeat) {
    if (mask == nullptr) {
        fail(Kind::argument, "%s: the mask array is null", api);
    }
    // The second word exists for 16-bit elements only; an array of one word is enough for wider ones.
    set_mask_bits(per_repeat > 64 || mask_registers().counter ? mask[1] : 0, mask[0]);
}

bool Walk::contiguous(const Lanes& lanes) const {
    if (!lanes.prefix || (block_stride != 1 && lanes.first > elements_per_block())) {
        return false;
    }
    return lanes.repeats == 1 || (lanes.first == lanes.per_repeat &&
                                  uint64_t{repeat_stride} * BLOCK_BYTES * 8 == uint64_t{lanes.per_repeat} * bits);
}

void read_operand(Instruction& instruction, const Lanes& lanes, const Walk& walk, uint32_t alignment) {
    touch(lanes, walk, [&](const Span& span) { instruction.reads(span, alignment_of(span, walk, alignment)); });
}

bool all_written(const Span& span) {
    return span.bank->first_uninitialised(span.offset, span.bytes) == span.offset + span.bytes;
}

void touch_padding(Instruction& instruction, const Lanes& lanes, const Walk& source) {
    touch(lanes, source, [&](const Span& span) { instruction.reads_padding(span, alignment_of(span, source, 0)); });
}

void UndefinedResults::add(const Span& result) {
    if (!spans_.empty() && spans_.back().offset + spans_.back().bytes == result.offset) {
        spans_.back().bytes += result.bytes;
    } else {
        spans_.push_back(result);
    }
}

UndefinedResults::UndefinedResults(Instruction& instruction, const Lanes& lanes, const Walk& out,
                                   std::initializer_list<Walk> sources) {
    bool defined = true;
    for (const Walk& source : sources) {
        touch(lanes, source, [&](const Span& span) {
            instruction.reads_padding(span, alignment_of(span, source, 0));
            defined = defined && all_written(span);
        });
    }
    if (defined) {
        return;
    }
    const auto element_of = [](const Walk& walk, uint32_t repeat, uint32_t element) {
        const Span& tensor = walk.tensor;
        return Span{tensor.bank, tensor.offset + walk.offset(repeat, element), (walk.bits + 7U) / 8, tensor.limit};
    };
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const bool written = std::all_of(sources.begin(), sources.end(), [&](const Walk& source) {
                    return all_written(element_of(source, repeat, element));
                });
                if (!written) {
                    add(element_of(out, repeat, element));
                }
            }
        }
    }
}

void UndefinedResults::mark(Instruction& instruction) const {
    for (const Span& span : spans_) {
        instruction.scratches(span, 1);
    }
}

void write_operand(Instruction& instruction, const Lanes& lanes, const Walk& walk, uint32_t alignment) {
    if (walk.block_stride == 0 && lanes.end(0) > walk.elements_per_block()) {
        fail(Kind::argument,
             "%s: the destination's block stride is 0, which the device leaves undefined; use 1 or more",
             instruction.api());
    }
    touch(lanes, walk, [&](const Span& span) { instruction.writes(span, alignment_of(span, walk, alignment)); });
}

void order(Pipe from, Pipe to) {
    const auto& set = self().is_set[static_cast<size_t>(from)][static_cast<size_t>(to)];
    const auto free_flag = std::find(set.begin(), set.end(), false);
    const int id = static_cast<int>(free_flag - set.begin());
    set_flag(from, to, id);
    wait_flag(from, to, id);
}

}  // namespace coopdraw::sim
