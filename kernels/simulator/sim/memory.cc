#include "memory.h"

#include <algorithm>
#include <bit>

#include "hazard.h"

namespace coopdraw::sim {

namespace {

constexpr uint64_t round_up(uint64_t bytes) { return (bytes + GRANULE - 1) / GRANULE; }

// Bits first..last-1 of a granule.
constexpr uint32_t byte_bits(uint64_t first, uint64_t last) {
    return static_cast<uint32_t>(((uint64_t{1} << last) - 1) & ~((uint64_t{1} << first) - 1));
}

// The newest mark of a range, leaving out those of the instruction itself.
uint32_t newest(const uint32_t* marks, uint64_t count, uint32_t own) {
    uint32_t result = 0;
    for (uint64_t i = 0; i < count; ++i) {
        result = std::max(result, marks[i] == own ? 0 : marks[i]);
    }
    return result;
}

// Calls each(granule, first byte, last byte) for the granules of a range.
template <typename Each>
void for_granules(uint64_t offset, uint64_t length, Each&& each) {
    for (uint64_t at = offset; at < offset + length;) {
        const uint64_t granule = at / GRANULE;
        const uint64_t end = std::min(offset + length, (granule + 1) * GRANULE);
        each(granule, at - granule * GRANULE, end - granule * GRANULE);
        at = end;
    }
}

}  // namespace

const char* name_of(Pipe pipe) {
    static const char* const names[PIPES] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
    return names[static_cast<int>(pipe)];
}

const char* name_of(Memory memory) {
    static const char* const names[MEMORIES] = {"GM", "UB", "L1", "L0A", "L0B", "L0C", "BIAS", "FIXBUF"};
    return names[static_cast<int>(memory)];
}

Bank::Bank(Memory memory_, const char* name_, uint8_t* data_, uint64_t bytes_, bool initialised)
    : memory(memory_), name(name_), data(data_), bytes(bytes_), initialised_(initialised ? 0 : round_up(bytes_)) {}

void Bank::set_initialised(uint64_t offset, uint64_t length, bool value) {
    if (initialised_.empty()) {
        return;
    }
    for_granules(offset, length, [&](uint64_t granule, uint64_t first, uint64_t last) {
        const uint32_t bits = byte_bits(first, last);
        initialised_[granule] = value ? initialised_[granule] | bits : initialised_[granule] & ~bits;
    });
}

uint64_t Bank::first_uninitialised(uint64_t offset, uint64_t length) const {
    const uint64_t end = offset + length;
    if (initialised_.empty()) {
        return end;
    }
    for (uint64_t granule = offset / GRANULE; granule < round_up(end); ++granule) {
        const uint64_t base = granule * GRANULE;
        const uint64_t first = std::max(offset, base) - base;
        const uint32_t missing = ~initialised_[granule] & byte_bits(first, std::min(end - base, GRANULE));
        if (missing != 0) {
            return base + std::countr_zero(missing);
        }
    }
    return end;
}

LocalBank::LocalBank(Memory memory_, const char* name_, uint8_t* data_, uint64_t bytes_)
    : Bank(memory_, name_, data_, bytes_, false), is_fine_(round_up(bytes_) / 64 + 1) {}

void LocalBank::read(const Access& access, uint64_t offset, uint64_t length) {
    check(access, offset, length, false);
    mark(access, offset, length, false);
}

void LocalBank::write(const Access& access, uint64_t offset, uint64_t length, const uint8_t*) {
    check(access, offset, length, false);
    check(access, offset, length, true);
    mark(access, offset, length, true);
}

void LocalBank::check(const Access& access, uint64_t offset, uint64_t length, bool against_reads) {
    const Marks& marks = against_reads ? read_ : written_;
    const auto& limits = against_reads ? access.after_reads : access.after_writes;
    const uint64_t first = offset / GRANULE;
    const uint64_t count = round_up(offset + length) - first;
    for (int pipe = 0; pipe < PIPES; ++pipe) {
        if (marks[pipe].empty() || limits[pipe] == UINT32_MAX) {
            continue;
        }
        const uint32_t latest = newest(&marks[pipe][first], count, access.sequence);
        if (latest <= limits[pipe]) {
            continue;
        }
        if (access.by_compiler[pipe]) {
            access.wait_by_compiler(pipe, latest);
            continue;
        }
        for (uint64_t granule = first; granule < first + count; ++granule) {
            const uint32_t mark = marks[pipe][granule];
            if (mark > limits[pipe] && mark != access.sequence) {
                check_granule(access, granule, offset, length, pipe, against_reads);
            }
        }
    }
}

void LocalBank::check_granule(const Access& access, uint64_t granule, uint64_t offset, uint64_t length, int pipe,
                              bool against_reads) {
    const uint64_t base = granule * GRANULE;
    uint64_t conflict = std::max(base, offset);
    uint32_t mark = (against_reads ? read_ : written_)[pipe][granule];
    const auto fine = fine_.find(granule);
    if (fine != fine_.end()) {
        const auto& bytes_of_granule = (against_reads ? fine->second.read : fine->second.written)[pipe];
        const uint32_t limit = (against_reads ? access.after_reads : access.after_writes)[pipe];
        const uint64_t last = std::min(offset + length - base, GRANULE);
        uint64_t at = conflict - base;
        while (at < last && (bytes_of_granule[at] <= limit || bytes_of_granule[at] == access.sequence)) {
            ++at;
        }
        if (at == last) {
            return;
        }
        conflict = base + at;
        mark = bytes_of_granule[at];
    }
    fail_hazard(access, *this, conflict, static_cast<Pipe>(pipe), mark, against_reads);
}

void LocalBank::mark(const Access& access, uint64_t offset, uint64_t length, bool is_write) {
    auto& marks = (is_write ? written_ : read_)[static_cast<int>(access.pipe)];
    if (marks.empty()) {
        marks.resize(round_up(bytes));
    }
    const uint64_t whole_from = round_up(offset), whole_to = (offset + length) / GRANULE;
    if (whole_from < whole_to) {
        mark_whole(access, whole_from, whole_to, is_write);
    }
    const uint64_t first = offset / GRANULE;
    if (offset % GRANULE != 0 || whole_from >= whole_to) {
        mark_part(access, first, offset % GRANULE, std::min(offset + length - first * GRANULE, GRANULE), is_write);
    }
    if (whole_to > first && (offset + length) % GRANULE != 0) {
        mark_part(access, whole_to, 0, (offset + length) % GRANULE, is_write);
    }
}

void LocalBank::mark_part(const Access& access, uint64_t granule, uint64_t first, uint64_t last, bool is_write) {
    if (first >= last) {
        return;
    }
    Fine& fine = split(granule);
    const int pipe = static_cast<int>(access.pipe);
    auto& bytes_of_granule = (is_write ? fine.written : fine.read)[pipe];
    std::fill(bytes_of_granule.begin() + first, bytes_of_granule.begin() + last, access.sequence);
    (is_write ? written_ : read_)[pipe][granule] = access.sequence;
}

void LocalBank::mark_whole(const Access& access, uint64_t first, uint64_t last, bool is_write) {
    const int pipe = static_cast<int>(access.pipe);
    auto& marks = (is_write ? written_ : read_)[pipe];
    std::fill(marks.begin() + first, marks.begin() + last, access.sequence);
    if (fine_.empty()) {
        return;
    }
    for (uint64_t granule = first; granule < last; ++granule) {
        if ((is_fine_[granule / 64] >> (granule % 64) & 1) != 0) {
            Fine& fine = fine_.at(granule);
            (is_write ? fine.written : fine.read)[pipe].fill(access.sequence);
        }
    }
}

LocalBank::Fine& LocalBank::split(uint64_t granule) {
    const auto [entry, added] = fine_.try_emplace(granule);
    if (added) {
        is_fine_[granule / 64] |= uint64_t{1} << (granule % 64);
        for (int pipe = 0; pipe < PIPES; ++pipe) {
            entry->second.written[pipe].fill(written_[pipe].empty() ? 0 : written_[pipe][granule]);
            entry->second.read[pipe].fill(read_[pipe].empty() ? 0 : read_[pipe][granule]);
        }
    }
    return entry->second;
}

GlobalBank::GlobalBank(const char* name_, uint8_t* data_, uint64_t bytes_, bool initialised)
    : Bank(Memory::GM, name_, data_, bytes_, initialised), history_(round_up(bytes_)), is_fine_(round_up(bytes_)) {}

// Calls each(history, first byte, bytes) for the pieces of a range; a write of a whole granule makes one piece of it.
template <typename Visit>
void GlobalBank::visit(uint64_t offset, uint64_t length, bool merge, Visit&& each) {
    for_granules(offset, length, [&](uint64_t granule, uint64_t first, uint64_t last) {
        const uint64_t base = granule * GRANULE;
        const uint64_t end = std::min(GRANULE, bytes - base);
        const bool whole = first == 0 && last == end;
        if (whole && !is_fine_[granule]) {
            each(history_[granule], base, end);
            return;
        }
        auto [entry, added] = fine_.try_emplace(granule);
        if (added) {
            entry->second.fill(history_[granule]);
            is_fine_[granule] = true;
        }
        for (uint64_t at = first; at < last; ++at) {
            each(entry->second[at], base + at, 1);
        }
        if (whole && merge) {
            history_[granule] = entry->second[0];
            fine_.erase(entry);
            is_fine_[granule] = false;
        }
    });
}

void GlobalBank::read(const Access& access, uint64_t offset, uint64_t length) {
    const Stamp own = stamp_of(access);
    visit(offset, length, false, [&](History& history, uint64_t at, uint64_t) {
        for (const Stamp writer : history.writers) {
            if (!is_ordered(access, writer, true)) {
                fail_order(access, *this, at, writer, false);
            }
        }
        // A reader that this one comes after needs no memory of its own.
        const int slot = history.readers[0] == 0 || is_ordered(access, history.readers[0], false) ? 0 : 1;
        history.readers[slot] = own;
    });
}

void GlobalBank::write(const Access& access, uint64_t offset, uint64_t length, const uint8_t* values) {
    const Stamp own = stamp_of(access);
    visit(offset, length, true, [&](History& history, uint64_t at, uint64_t count) {
        Stamp kept = 0;
        for (const Stamp writer : history.writers) {
            if (is_ordered(access, writer, true)) {
                continue;
            }
            const bool same = values != nullptr && std::equal(values + (at - offset), values + (at - offset) + count,
                                                              data + at);
            if (!same && !(access.atomic && is_atomic(writer))) {
                fail_order(access, *this, at, writer, false);
            }
            kept = writer;
        }
        for (const Stamp reader : history.readers) {
            if (!is_ordered(access, reader, false)) {
                fail_order(access, *this, at, reader, true);
            }
        }
        history = {{own, kept}, {0, 0}};
    });
}

}  // namespace coopdraw::sim
