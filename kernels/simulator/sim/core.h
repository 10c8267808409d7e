// One core of the simulated device, and what a core keeps of its own.
#pragma once

#include <array>
#include <memory>

#include "clock.h"
#include "memory.h"

namespace AscendC {
class TPipe;
}

namespace coopdraw::sim {

enum class CoreKind : uint8_t { AIV, AIC, COUPLED };  // COUPLED: one core with cube and vector units (310P)
constexpr int EVENT_IDS = 8;
constexpr uint32_t API_HISTORY = 1U << 16;

// What one pipe of one core did: the numbers that estimates are made of.
struct Counters {
    uint64_t instructions = 0;
    uint64_t bytes_read = 0;
    uint64_t bytes_written = 0;
    uint64_t global_bytes_read = 0;
    uint64_t global_bytes_written = 0;
    uint64_t elements = 0;        // vector element operations
    uint64_t element_bytes = 0;   // the same in bytes
    uint64_t repeats = 0;         // vector issues of up to 256 bytes
    uint64_t multiply_adds = 0;
    uint64_t multiply_add_bytes = 0;  // multiply-adds times the bytes of an operand's element
};

struct Core {
    int index = 0;  // over all cores of the run
    CoreKind kind = CoreKind::AIV;
    int block = 0;      // GetBlockIdx
    int sub_block = 0;  // GetSubBlockIdx
    int group = 0;      // the AI core: one AIC with its AIVs
    AscendC::TPipe* pipe = nullptr;
    std::array<std::unique_ptr<Bank>, MEMORIES> banks;  // by Memory; [GM] is null

    uint32_t sequence = 0;                // instructions issued
    std::array<uint32_t, PIPES> newest{};  // per pipe, the newest instruction
    std::array<Clock, PIPES> seen;         // per pipe, what is complete before its next instruction
    std::array<std::array<std::array<std::unique_ptr<Clock>, EVENT_IDS>, PIPES>, PIPES> flags;  // [from][to][id]
    std::array<std::array<std::array<bool, EVENT_IDS>, PIPES>, PIPES> is_set{};
    std::array<const char*, API_HISTORY> apis{};  // of the newest instructions, by sequence number
    std::array<Counters, PIPES> counters{};
    uint64_t scalar_global_accesses = 0;

    Bank& bank(Memory memory);  // fails when this kind of core has none
    const char* api_of(uint32_t sequence_number) const;
};

extern Core* running;  // the core whose code runs now
inline Core& self() { return *running; }

// The T of the running core: state that every core has for itself, default-constructed when a core first asks.
template <typename T>
T& core_state() {
    static std::array<std::unique_ptr<T>, MAX_CORES> states;
    auto& state = states[running->index];
    if (!state) {
        state = std::make_unique<T>();
    }
    return *state;
}

}  // namespace coopdraw::sim
