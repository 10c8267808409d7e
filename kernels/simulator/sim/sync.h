// Flags, barriers and synchronisation of cores, as kernels write them.
// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制
#pragma once

#include "cores.h"
#include "hazard.h"
#include "tensor.h"

namespace AscendC {

enum class HardEvent : uint8_t {
    MTE2_MTE1,
    MTE1_MTE2,
    MTE1_M,
    M_MTE1,
    MTE2_V,
    V_MTE2,
    MTE3_V,
    V_MTE3,
    M_V,
    V_M,
    V_V,
    MTE3_MTE1,
    MTE1_MTE3,
    MTE1_V,
    MTE2_M,
    M_MTE2,
    V_MTE1,
    M_FIX,
    FIX_M,
    MTE3_MTE2,
    MTE2_MTE3,
    S_V,
    V_S,
    S_MTE2,
    MTE2_S,
    S_MTE3,
    MTE3_S,
    MTE2_FIX,
    FIX_MTE2,
    FIX_S,
    M_S,
    FIX_MTE3,
    MTE1_FIX,
    FIX_MTE1,
    FIX_FIX,
    MAX,
};

}  // namespace AscendC

namespace coopdraw::sim {

// The pipes of an event: what is set by `from` is waited for by `to`.
struct Event {
    Pipe from, to;
    bool operator==(const Event&) const = default;
};

constexpr Event event_of(AscendC::HardEvent event) {
    using enum Pipe;
    constexpr Event events[] = {{MTE2, MTE1}, {MTE1, MTE2}, {MTE1, M},    {M, MTE1},    {MTE2, V},    {V, MTE2},
                                {MTE3, V},    {V, MTE3},    {M, V},       {V, M},       {V, V},       {MTE3, MTE1},
                                {MTE1, MTE3}, {MTE1, V},    {MTE2, M},    {M, MTE2},    {V, MTE1},    {M, FIX},
                                {FIX, M},     {MTE3, MTE2}, {MTE2, MTE3}, {S, V},       {V, S},       {S, MTE2},
                                {MTE2, S},    {S, MTE3},    {MTE3, S},    {MTE2, FIX},  {FIX, MTE2},  {FIX, S},
                                {M, S},       {FIX, MTE3},  {MTE1, FIX},  {FIX, MTE1},  {FIX, FIX}};
    return events[static_cast<int>(event)];
}

constexpr Pipe pipe_of(pipe_t pipe) {
    return pipe == PIPE_FIX ? Pipe::FIX : static_cast<Pipe>(pipe);
}

// A set of an event between two pipes; within one pipe it is a barrier, as the device has it.
inline void set_event(Event event, int id) {
    if (event.from == event.to) {
        barrier(event.from);
    } else {
        set_flag(event.from, event.to, id);
    }
}

inline void wait_event(Event event, int id) {
    if (event.from != event.to) {
        wait_flag(event.from, event.to, id);
    }
}

}  // namespace coopdraw::sim

namespace AscendC {

template <HardEvent event>
void SetFlag(int32_t eventID) {
    static_assert(event != HardEvent::MAX, "SetFlag needs an event");
    coopdraw::sim::set_event(coopdraw::sim::event_of(event), eventID);
}

template <HardEvent event>
void WaitFlag(int32_t eventID) {
    static_assert(event != HardEvent::MAX, "WaitFlag needs an event");
    coopdraw::sim::wait_event(coopdraw::sim::event_of(event), eventID);
}

template <pipe_t pipe>
void PipeBarrier() {
    static_assert(pipe != PIPE_S, "PipeBarrier does not take PIPE_S: the scalar unit orders itself");
    if constexpr (pipe == PIPE_ALL) {
        coopdraw::sim::barrier_all();
    } else {
        coopdraw::sim::barrier(coopdraw::sim::pipe_of(pipe));
    }
}

// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核内同步/TQueSync模板参数.md
template <pipe_t src, pipe_t dst>
class TQueSync {
public:
    void SetFlag(TEventID id) {
        coopdraw::sim::set_event({coopdraw::sim::pipe_of(src), coopdraw::sim::pipe_of(dst)}, id);
    }
    void WaitFlag(TEventID id) {
        coopdraw::sim::wait_event({coopdraw::sim::pipe_of(src), coopdraw::sim::pipe_of(dst)}, id);
    }
};

enum class MemDsbT : uint8_t { ALL = 0, DDR, UB, SEQ };

// Waits for the scalar accesses to memory before it, which the simulator does at once.
template <MemDsbT kind>
void DataSyncBarrier() {}

enum class CacheLine : uint64_t { SINGLE_CACHE_LINE = 0, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL = 0, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };

// Writes the scalar unit's cache back. The simulator's scalar unit has no cache, which makes a forgotten call invisible.
template <typename T, CacheLine entire, DcciDst destination = DcciDst::CACHELINE_ALL>
void DataCacheCleanAndInvalid(const GlobalTensor<T>&) {}
template <typename T, CacheLine entire, DcciDst destination = DcciDst::CACHELINE_ALL>
void DataCacheCleanAndInvalid(const LocalTensor<T>&) {}

// The hardware's synchronisation: all AIV cores, or with isAIVOnly = false all AIC and AIV cores.
// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核间同步/SyncAll.md
template <bool isAIVOnly = true>
void SyncAll() {
    using namespace coopdraw::sim;
    if (self().kind == CoreKind::COUPLED) {
        fail(Kind::argument, "SyncAll() without workspace does not exist on this SoC; use the form with workspaces");
    }
    if (declares_vector_only()) {
        fail(Kind::argument, "SyncAll() needs a kernel type with a scheduler (KERNEL_TYPE_MIX_AIV_1_0), not "
             "KERNEL_TYPE_AIV_ONLY; declare that type or use the form with workspaces");
    }
    if (isAIVOnly && self().kind == CoreKind::AIC) {
        fail(Kind::argument, "SyncAll<true>() is for AIV cores, but a cube core calls it; use SyncAll<false>()");
    }
    synchronise_all("SyncAll", !isAIVOnly, 0);
}

// The synchronisation over a workspace in global memory that starts as zeros, 32 bytes a core.
template <bool isAIVOnly = true>
void SyncAll(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace,
             const int32_t usedCores = 0) {
    using namespace coopdraw::sim;
    if (self().kind == CoreKind::AIC) {
        return;
    }
    const int cores = usedCores != 0 ? usedCores : block_count() * (isAIVOnly ? 1 : vectors_per_cube());
    const uint64_t words = static_cast<uint64_t>(cores) * DEFAULT_BLK_NUM;
    barrier_all();
    Instruction("SyncAll", Pipe::MTE2).scratches(ubWorkspace.span(0, words));
    const Span flags = gmWorkspace.span(0, words);
    if (flags.bank == nullptr || flags.bank->first_uninitialised(flags.offset, flags.bytes) !=
                                     flags.offset + flags.bytes) {
        fail(Kind::uninitialised, "SyncAll has a workspace of which not all of the %llu bytes are zeros; have the host "
             "or the kernel fill it", static_cast<unsigned long long>(flags.bytes));
    }
    synchronise_all("SyncAll", false, usedCores);
}

template <uint8_t modeId, pipe_t pipe>
void CrossCoreSetFlag(uint16_t flagId) {
    using namespace coopdraw::sim;
    static_assert(modeId <= 2, "the SoCs of the simulator have modes 0, 1 and 2");
    static_assert(pipe != PIPE_ALL && pipe != PIPE_S, "CrossCoreSetFlag takes neither PIPE_ALL nor PIPE_S");
    if (declares_vector_only()) {
        fail(Kind::argument, "CrossCoreSetFlag needs a kernel type with a scheduler (KERNEL_TYPE_MIX_...); declare it");
    }
    cross_core_set(modeId, pipe_of(pipe), flagId & 0xf);
}

template <uint8_t modeId = 0, pipe_t pipe = PIPE_S>
void CrossCoreWaitFlag(uint16_t flagId) {
    coopdraw::sim::cross_core_wait(flagId & 0xf);
}

// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核间同步/IBSet.md
template <bool isAIVOnly = true>
void IBSet(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace, int32_t blockIdx,
           int32_t eventID) {
    coopdraw::sim::Instruction("IBSet", coopdraw::sim::Pipe::MTE2).scratches(ubWorkspace.span(0, DEFAULT_BLK_NUM));
    coopdraw::sim::block_set(gmWorkspace.raw(), blockIdx, eventID);
}

template <bool isAIVOnly = true>
void IBWait(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace, int32_t blockIdx,
            int32_t eventID) {
    coopdraw::sim::Instruction("IBWait", coopdraw::sim::Pipe::MTE2).scratches(ubWorkspace.span(0, DEFAULT_BLK_NUM));
    coopdraw::sim::block_wait(gmWorkspace.raw(), blockIdx, eventID);
}

inline int64_t GetBlockIdx() { return coopdraw::sim::self().block; }
inline int64_t GetBlockNum() { return coopdraw::sim::block_count(); }
inline int64_t GetSubBlockIdx() { return coopdraw::sim::self().sub_block; }
inline int64_t GetSubBlockNum() {
    return coopdraw::sim::self().kind == coopdraw::sim::CoreKind::AIV ? coopdraw::sim::vectors_per_cube() : 1;
}
inline int64_t GetTaskRation() { return GetSubBlockNum(); }
inline int64_t GetTaskRatio() { return GetSubBlockNum(); }

}  // namespace AscendC
