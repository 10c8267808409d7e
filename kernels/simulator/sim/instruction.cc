#include <algorithm>

#include "hazard.h"

namespace coopdraw::sim {

namespace {

int number(Pipe pipe) { return static_cast<int>(pipe); }

// Whether the device compiler orders an instruction on `to` after one on `from` by itself.
bool compiler_orders(const Core& core, Pipe from, Pipe to) {
    if (synchronisation == Synchronisation::strict || core.kind == CoreKind::AIC) {
        return false;
    }
    const auto with_scalar = [](Pipe pipe) { return pipe == Pipe::V || pipe == Pipe::MTE2 || pipe == Pipe::MTE3; };
    return (from == Pipe::V && to == Pipe::V) || (from == Pipe::S && with_scalar(to)) ||
           (to == Pipe::S && with_scalar(from));
}

// The order that an instruction of `pipe` may rely on. The scalar unit orders its own accesses. Within a pipe
// instructions start in order, so that a write never overtakes an earlier read.
// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核内同步/核内同步能力概述.md
std::array<uint32_t, PIPES> limits(const Core& core, Pipe pipe, bool after_reads) {
    std::array<uint32_t, PIPES> result{};
    for (int other = 0; other < PIPES; ++other) {
        const bool itself = other == number(pipe) && (after_reads || pipe == Pipe::S);
        result[other] = itself ? UINT32_MAX : core.seen[number(pipe)].at(core.index, other);
    }
    return result;
}

// asc-devkit:docs/zh/api/SIMD-API/基础API/数据搬运导览/概览/总体约束说明.md, table 1
uint32_t alignment_of(Memory memory) {
    static const uint32_t bytes[MEMORIES] = {1, 32, 32, 512, 512, 64, 64, 128};
    return bytes[static_cast<int>(memory)];
}

Access make_access(Core& core, const char* api, Pipe pipe) {
    if (++core.sequence == UINT32_MAX) {
        fail(Kind::memory, "a core issued more instructions than the simulator can number; give it a smaller problem");
    }
    core.newest[number(pipe)] = core.sequence;
    core.apis[core.sequence % API_HISTORY] = api;
    ++core.counters[number(pipe)].instructions;
    Access access{core, api, pipe, core.sequence, false, limits(core, pipe, false), limits(core, pipe, true), {}};
    for (int earlier = 0; earlier < PIPES; ++earlier) {
        access.by_compiler[earlier] = compiler_orders(core, static_cast<Pipe>(earlier), pipe);
    }
    return access;
}

}  // namespace

Instruction::Instruction(const char* api, Pipe pipe) : core_(self()), access_(make_access(core_, api, pipe)) {}

void Instruction::reads(const Span& span, uint32_t alignment) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, alignment, false);
    check_initialised(span);
    span.bank->read(access_, span.offset, span.bytes);
    count(span, false);
}

void Instruction::reads_padding(const Span& span, uint32_t alignment) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, alignment, false);
    span.bank->read(access_, span.offset, span.bytes);
    count(span, false);
}

void Instruction::writes(const Span& span, uint32_t alignment) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, alignment, true);
    span.bank->write(access_, span.offset, span.bytes, nullptr);
    span.bank->set_initialised(span.offset, span.bytes, true);
    count(span, true);
}

void Instruction::scratches(const Span& span, uint32_t alignment) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, alignment, true);
    span.bank->write(access_, span.offset, span.bytes, nullptr);
    span.bank->set_initialised(span.offset, span.bytes, false);
}

void Instruction::stores(const Span& span, const void* values) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, 1, true);
    span.bank->write(access_, span.offset, span.bytes, static_cast<const uint8_t*>(values));
    span.bank->set_initialised(span.offset, span.bytes, true);
    count(span, true);
}

void Instruction::accumulates(const Span& span) {
    if (span.bytes == 0) {
        return;
    }
    check_place(span, 1, true);
    check_initialised(span);
    access_.atomic = true;
    span.bank->write(access_, span.offset, span.bytes, nullptr);
    access_.atomic = false;
    count(span, true);
}

void Instruction::counts_vector(uint64_t elements, uint32_t element_bytes, uint64_t repeats) {
    Counters& counters = core_.counters[number(access_.pipe)];
    counters.elements += elements;
    counters.element_bytes += elements * element_bytes;
    counters.repeats += repeats;
}

void Instruction::counts_cube(uint64_t multiply_adds, uint32_t element_bytes) {
    Counters& counters = core_.counters[number(access_.pipe)];
    counters.multiply_adds += multiply_adds;
    counters.multiply_add_bytes += multiply_adds * element_bytes;
}

void Instruction::check_place(const Span& span, uint32_t alignment, bool is_write) const {
    const char* verb = is_write ? "writes" : "reads";
    if (span.bank == nullptr) {
        fail(Kind::bounds,
             "%s %s a tensor that has no memory; give it a buffer (SetGlobalBuffer of an argument that was passed, or "
             "InitBuffer)",
             access_.api, verb);
    }
    const Bank& bank = *span.bank;
    // On coupled cores the vector pipe also copies between L0C and UB.
    const bool is_result = bank.memory == Memory::L0C && core_.kind == CoreKind::COUPLED;
    if (access_.pipe == Pipe::V && bank.memory != Memory::UB && !is_result) {
        fail(Kind::argument, "%s %s %s, but vector instructions only take UB; copy the data to UB first", access_.api,
             verb, bank.name);
    }
    if (span.bytes > bank.bytes || span.offset > bank.bytes - span.bytes || span.offset + span.bytes > span.limit) {
        fail(Kind::bounds, "%s %s bytes %lld to %lld of %s, but the tensor ends at byte %llu; correct offset or length",
             access_.api, verb, static_cast<long long>(span.offset), static_cast<long long>(span.offset + span.bytes),
             bank.name, static_cast<unsigned long long>(std::min(span.limit, bank.bytes)));
    }
    if (alignment == 0) {
        alignment = access_.pipe == Pipe::S ? 1 : alignment_of(bank.memory);
    }
    if (span.offset % alignment != 0) {
        fail(Kind::alignment, "%s %s %s from byte %llu on, but addresses there are multiples of %u bytes", access_.api,
             verb, bank.name, static_cast<unsigned long long>(span.offset), alignment);
    }
}

void Instruction::check_initialised(const Span& span) const {
    const uint64_t at = span.bank->first_uninitialised(span.offset, span.bytes);
    if (at != span.offset + span.bytes) {
        fail(Kind::uninitialised,
             "%s reads bytes %llu to %llu of %s, but nothing wrote byte %llu; fill it first or read less", access_.api,
             static_cast<unsigned long long>(span.offset), static_cast<unsigned long long>(span.offset + span.bytes),
             span.bank->name, static_cast<unsigned long long>(at));
    }
}

void Instruction::count(const Span& span, bool is_write) {
    Counters& counters = core_.counters[number(access_.pipe)];
    const bool is_global = span.bank->memory == Memory::GM;
    if (is_global && access_.pipe == Pipe::S) {
        ++core_.scalar_global_accesses;
    }
    (is_write ? counters.bytes_written : counters.bytes_read) += span.bytes;
    if (is_global) {
        (is_write ? counters.global_bytes_written : counters.global_bytes_read) += span.bytes;
    }
}

}  // namespace coopdraw::sim
