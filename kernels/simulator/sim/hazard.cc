#include "hazard.h"

#include <cstdio>
#include <string>

namespace coopdraw::sim {

Synchronisation synchronisation = Synchronisation::strict;
int cores_in_run = 0;
Core* running = nullptr;

namespace {

constexpr int PIPE_SHIFT = 32, CORE_SHIFT = 36, ATOMIC_SHIFT = 48;

int number(Pipe pipe) { return static_cast<int>(pipe); }

// "SetFlag/WaitFlag<HardEvent::MTE2_V>" or what else makes `later` wait for `earlier`.
std::string remedy(Pipe earlier, Pipe later) {
    if (earlier == later) {
        return std::string("PipeBarrier<PIPE_") + name_of(later) + ">()";
    }
    return std::string("SetFlag/WaitFlag<HardEvent::") + name_of(earlier) + "_" + name_of(later) +
           "> or a queue's EnQue/DeQue";
}

}  // namespace

Bank& Core::bank(Memory memory) {
    const auto& found = banks[static_cast<int>(memory)];
    if (!found) {
        fail(Kind::argument, "a tensor is placed in %s, but a %s core has none; run this part on the other kind of core",
             name_of(memory), kind == CoreKind::AIC ? "cube" : "vector");
    }
    return *found;
}

const char* Core::api_of(uint32_t sequence_number) const {
    const bool kept = sequence - sequence_number < API_HISTORY;
    const char* api = kept ? apis[sequence_number % API_HISTORY] : nullptr;
    return api == nullptr ? "an earlier instruction" : api;
}

void Access::wait_by_compiler(int earlier, uint32_t earlier_sequence) const {
    if (earlier_sequence == sequence || earlier_sequence <= core.seen[number(pipe)].at(core.index, earlier)) {
        return;
    }
    Clock clock = core.seen[earlier];
    clock.at(core.index, earlier) = earlier_sequence;
    order_after(clock, pipe);
}

Stamp stamp_of(const Access& access) {
    return static_cast<Stamp>(access.sequence) | static_cast<Stamp>(number(access.pipe)) << PIPE_SHIFT |
           static_cast<Stamp>(access.core.index) << CORE_SHIFT | static_cast<Stamp>(access.atomic) << ATOMIC_SHIFT;
}

bool is_atomic(Stamp stamp) { return (stamp >> ATOMIC_SHIFT & 1) != 0; }

bool is_ordered(const Access& access, Stamp earlier, bool earlier_is_write) {
    const auto sequence = static_cast<uint32_t>(earlier);
    if (sequence == 0) {
        return true;
    }
    const int pipe = earlier >> PIPE_SHIFT & 0xf, core = earlier >> CORE_SHIFT & 0xfff;
    if (core == access.core.index) {
        if (access.by_compiler[pipe]) {
            access.wait_by_compiler(pipe, sequence);
            return true;
        }
        return sequence == access.sequence ||
               sequence <= (earlier_is_write ? access.after_writes : access.after_reads)[pipe];
    }
    return sequence <= access.core.seen[number(access.pipe)].at(core, pipe);
}

void fail_hazard(const Access& access, const Bank& bank, uint64_t offset, Pipe earlier, uint32_t sequence,
                 bool earlier_is_read) {
    fail(Kind::hazard,
         "%s on pipe %s touches %s at byte %llu, which %s %s on pipe %s, with no order between the two; put %s between "
         "them",
         access.api, name_of(access.pipe), bank.name, static_cast<unsigned long long>(offset),
         access.core.api_of(sequence), earlier_is_read ? "may still be reading" : "may still be writing",
         name_of(earlier), remedy(earlier, access.pipe).c_str());
}

void fail_order(const Access& access, const Bank& bank, uint64_t offset, Stamp earlier, bool earlier_is_read) {
    const auto pipe = static_cast<Pipe>(earlier >> PIPE_SHIFT & 0xf);
    const int core = earlier >> CORE_SHIFT & 0xfff;
    if (core == access.core.index) {
        fail_hazard(access, bank, offset, pipe, static_cast<uint32_t>(earlier), earlier_is_read);
    }
    fail(Kind::race,
         "%s on pipe %s touches %s at byte %llu, which core %d %s on pipe %s, with no order between the two cores; "
         "put SyncAll between them or give the cores ranges that don't overlap",
         access.api, name_of(access.pipe), bank.name, static_cast<unsigned long long>(offset), core,
         earlier_is_read ? "may still be reading" : "may still be writing", name_of(pipe));
}

}  // namespace coopdraw::sim
