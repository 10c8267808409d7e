// Source and destination that share memory.
#include "vector_lanes.h"

namespace coopdraw::sim {

namespace {

// The end of the last byte that any repeat can touch, from the operand's first byte.
uint64_t extent(const Lanes& lanes, const Walk& walk) {
    uint32_t end = 0;
    for (uint32_t repeat = 0; repeat < std::min(lanes.repeats, 2U); ++repeat) {
        end = std::max(end, lanes.end(repeat));
    }
    return walk.offset(lanes.repeats - 1, end - 1) + (walk.bits + 7) / 8;
}

// How the elements of one repeat lie to each other in two operands.
enum class Relation { apart, same, below, mixed };  // below: element by element not behind the source

Relation relation(const Lanes& lanes, const Walk& destination, const Walk& source, uint32_t repeat) {
    const uint64_t write_bytes = (destination.bits + 7) / 8;
    const uint64_t read_bytes = (source.bits + 7) / 8;
    uint64_t write_low = ~uint64_t{0}, write_high = 0;
    bool same = true, below = true;
    std::vector<uint64_t> writes;
    for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
        for (uint32_t element = begin; element < end; ++element) {
            const uint64_t write = destination.tensor.offset + destination.offset(repeat, element);
            const uint64_t read = source.tensor.offset + source.offset(repeat, element);
            same = same && write == read && write_bytes == read_bytes;
            below = below && write <= read;
            writes.push_back(write);
            write_low = std::min(write_low, write);
            write_high = std::max(write_high, write + write_bytes);
        }
    }
    if (same) {
        return Relation::same;
    }
    std::sort(writes.begin(), writes.end());
    for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
        for (uint32_t element = begin; element < end; ++element) {
            const uint64_t read = source.tensor.offset + source.offset(repeat, element);
            if (read + read_bytes <= write_low || read >= write_high) {
                continue;
            }
            const auto after = std::lower_bound(writes.begin(), writes.end(), read + read_bytes);
            if (after != writes.begin() && *std::prev(after) + write_bytes > read) {
                return below ? Relation::below : Relation::mixed;
            }
        }
    }
    return Relation::apart;
}

[[noreturn]] void fail_partial(const char* api) {
    fail(
        Kind::hazard,
        "%s: destination and source overlap in part within one repeat; use the same tensor for both or keep them apart",
        api);
}

[[noreturn]] void fail_chained(const char* api, uint32_t reader, uint32_t writer) {
    fail(Kind::hazard,
         "%s: repeat %u reads what repeat %u of the same call writes, which the device does not order; split the call "
         "and put PipeBarrier<PIPE_V> between",
         api, reader, writer);
}

void check_repeat_by_repeat(const char* api, const Lanes& lanes, const Walk& destination, const Walk& source,
                            Overlap rule) {
    std::vector<uint16_t> writer(extent(lanes, destination), 0);  // 1 + the repeat that wrote the byte
    const uint64_t base = destination.tensor.offset;
    for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
        const Relation now = relation(lanes, destination, source, repeat);
        const bool narrowed = rule == Overlap::narrows && now == Relation::below && destination.bits < source.bits;
        if (now != Relation::apart && !narrowed && (now != Relation::same || rule == Overlap::apart)) {
            fail_partial(api);
        }
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const uint64_t read = source.tensor.offset + source.offset(repeat, element);
                if (read >= base && read - base < writer.size() && writer[read - base] != 0) {
                    fail_chained(api, repeat, writer[read - base] - 1U);
                }
            }
        }
        for (auto [begin, end] = lanes.run(repeat, 0); begin < end; std::tie(begin, end) = lanes.run(repeat, end)) {
            for (uint32_t element = begin; element < end; ++element) {
                const uint64_t write = destination.offset(repeat, element);
                std::fill_n(writer.begin() + static_cast<int64_t>(write), (destination.bits + 7) / 8,
                            static_cast<uint16_t>(repeat + 1));
            }
        }
    }
}

}  // namespace

void forbid_shared_memory(const char* api, const Span& source, const Span& destination) {
    if (source.bank == destination.bank && source.offset < destination.offset + destination.bytes &&
        destination.offset < source.offset + source.bytes) {
        fail(Kind::hazard, "%s: source and destination share memory; use two tensors", api);
    }
}

void check_overlap(const char* api, const Lanes& lanes, const Walk& destination, const Walk& source, Overlap rule) {
    const uint64_t write = destination.tensor.offset;
    const uint64_t read = source.tensor.offset;
    if (destination.tensor.bank != source.tensor.bank || write + extent(lanes, destination) <= read ||
        read + extent(lanes, source) <= write) {
        return;
    }
    if (rule == Overlap::accumulates && write == read &&
        (destination.repeat_stride == 0 || source.repeat_stride == 0)) {
        return;
    }
    if (destination.contiguous(lanes) && source.contiguous(lanes)) {
        if (rule == Overlap::narrows && destination.bits < source.bits && write <= read) {
            return;
        }
        if (rule != Overlap::apart && destination.bits == source.bits) {
            const uint64_t repeat_bytes = uint64_t{lanes.first} * source.bits / 8;
            if (write == read || (write < read && read - write >= repeat_bytes)) {
                return;
            }
        }
    }
    check_repeat_by_repeat(api, lanes, destination, source, rule);
}

}  // namespace coopdraw::sim
