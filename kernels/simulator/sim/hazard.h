// The order of instructions: the Instruction that checks and marks its operands, flags and barriers.
#pragma once

#include "core.h"
#include "memory.h"
#include "report.h"

namespace coopdraw::sim {

// How strictly dependencies on one core are checked.
// strict: all order has to be written into the kernel.
// automatic: as the device compiler does with --cce-auto-sync=on, vector instructions are ordered among each other and
// scalar accesses are ordered with V, MTE2 and MTE3.
// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核内同步/关键特性说明.md, table 3
enum class Synchronisation : uint8_t { strict, automatic };
extern Synchronisation synchronisation;

// An operand access as the shadow memory sees it.
struct Access {
    Core& core;
    const char* api;
    Pipe pipe;
    uint32_t sequence;
    bool atomic;
    std::array<uint32_t, PIPES> after_writes;  // per pipe of this core, the newest write that is known to be complete
    std::array<uint32_t, PIPES> after_reads;
    std::array<bool, PIPES> by_compiler;  // per pipe, whether the device compiler orders what depends on it

    // The compiler lets this instruction wait for number `sequence` of `earlier`.
    void wait_by_compiler(int earlier, uint32_t sequence) const;
};

// The packed form of an access in global memory, and whether `access` comes after it.
Stamp stamp_of(const Access& access);
bool is_atomic(Stamp stamp);
bool is_ordered(const Access& access, Stamp earlier, bool earlier_is_write);

[[noreturn]] void fail_hazard(const Access& access, const Bank& bank, uint64_t offset, Pipe earlier, uint32_t sequence,
                              bool earlier_is_read);
[[noreturn]] void fail_order(const Access& access, const Bank& bank, uint64_t offset, Stamp earlier,
                             bool earlier_is_read);

// One instruction on one pipe of the running core. Construct it, name all operands, then compute on raw pointers:
// reads before writes. Every call fails on the spot when the operand is out of bounds, misaligned, uninitialised or
// not ordered after the instructions it depends on.
class Instruction {
public:
    Instruction(const char* api, Pipe pipe);

    // `alignment` in bytes of the start address; 0 is the rule of the memory: 32 in local memory, 1 in global memory
    // and for the scalar pipe. An empty span is ignored.
    void reads(const Span& span, uint32_t alignment = 0);
    void writes(const Span& span, uint32_t alignment = 0);
    // Bytes that are read but may be uninitialised because they don't reach the result (masked lanes of a block).
    void reads_padding(const Span& span, uint32_t alignment = 0);
    // A buffer that the instruction uses as it likes: ordered like a write, and its bytes are undefined afterwards.
    void scratches(const Span& span, uint32_t alignment = 0);
    // A write to global memory whose bytes are known: two cores that write the same values don't race.
    void stores(const Span& span, const void* values);
    // Reads and writes the same range in global memory in one step; two of these never race (SetAtomicAdd...).
    void accumulates(const Span& span);

    void counts_vector(uint64_t elements, uint32_t element_bytes, uint64_t repeats);
    void counts_cube(uint64_t multiply_adds, uint32_t element_bytes);

    const char* api() const { return access_.api; }
    Pipe pipe() const { return access_.pipe; }

private:
    void check_place(const Span& span, uint32_t alignment, bool is_write) const;
    void check_initialised(const Span& span) const;
    void count(const Span& span, bool is_write);

    Core& core_;
    Access access_;
};

// What an API that is made of several instructions needs between them; the public functions call these.
void barrier(Pipe pipe);                    // PipeBarrier<pipe>
void barrier_all();                         // PipeBarrier<PIPE_ALL>
void set_flag(Pipe from, Pipe to, int id);  // SetFlag<from_to>(id)
void wait_flag(Pipe from, Pipe to, int id);
// What `pipe` issues from now on comes after all that `clock` holds. The scalar unit issues the instructions of every
// pipe, so that what it waits for comes before all of them.
void order_after(const Clock& clock, Pipe pipe);
void check_flags_at_end(const Core& core);  // fails for a flag that nobody waited for

}  // namespace coopdraw::sim
