// TPipe and TBufPool, which give memory and events to queues. asc-devkit:include/basic_api/kernel_tpipe.h
#pragma once

#include "queue.h"

namespace AscendC {

template <TPosition pos, uint32_t bufIDSize = 4>
class TBufPool {
public:
    static constexpr TPosition poolPos = pos;
    static constexpr bool isTbufPool = true;

    TBufPool() = default;
    ~TBufPool() { owner_.finish(); }
    TBufPool(const TBufPool&) = delete;
    TBufPool& operator=(const TBufPool&) = delete;

    template <typename Q>
    bool InitBuffer(Q& que, uint8_t num, uint32_t len) {
        static_assert(Q::hardware == GetPhyType(pos), "the buffers of a pool lie where the pool does");
        owner_.give("TBufPool::InitBuffer", region_, que, num, len);
        return true;
    }
    template <TPosition position>
    bool InitBuffer(TBuf<position>& buf, uint32_t len) {
        buf.buffer() = coopdraw::sim::make_buffer("TBufPool::InitBuffer", region_, len);
        return true;
    }
    template <typename Pool>
    bool InitBufPool(Pool& pool, uint32_t len) {
        const uint32_t address = region_.take("TBufPool::InitBufPool", len);
        pool.place({region_.bank, address, address, region_.next});
        return true;
    }
    template <typename Pool, typename Shared>
    bool InitBufPool(Pool& pool, uint32_t, Shared& shared) {
        pool.place({shared.region().bank, shared.region().begin, shared.region().begin, shared.region().end});
        return true;
    }
    void Reset() {
        owner_.finish();
        owner_.clear();
        region_.next = region_.begin;
    }

    void place(coopdraw::sim::Region region) { region_ = region; }  // for TPipe
    const coopdraw::sim::Region& region() const { return region_; }

private:
    coopdraw::sim::BufferOwner owner_;
    coopdraw::sim::Region region_;
};

class TPipe {
public:
    TPipe() { Init(); }
    ~TPipe() { Destroy(); }
    TPipe(const TPipe&) = delete;
    TPipe& operator=(const TPipe&) = delete;

    void Init();
    void Destroy();
    void Reset();
    template <typename Q>
    bool InitBuffer(Q& que, uint8_t num, uint32_t len) {
        static_assert(Q::isTQue, "a TBuf takes InitBuffer(buffer, length)");
        owner_.give("InitBuffer", region(Q::hardware), que, num, len);
        return true;
    }
    template <TPosition pos>
    bool InitBuffer(TBuf<pos>& buf, uint32_t len) {
        buf.buffer() = coopdraw::sim::make_buffer("InitBuffer", region(GetPhyType(pos)), len);
        return true;
    }
    template <typename Pool>
    bool InitBufPool(Pool& pool, uint32_t len) {
        auto& from = region(GetPhyType(Pool::poolPos));
        const uint32_t address = from.take("InitBufPool", len);
        pool.place({from.bank, address, address, from.next});
        return true;
    }
    template <typename Pool, typename Shared>
    bool InitBufPool(Pool& pool, uint32_t, Shared& shared) {
        pool.place({shared.region().bank, shared.region().begin, shared.region().begin, shared.region().end});
        return true;
    }
    template <HardEvent event>
    TEventID AllocEventID() {
        return static_cast<TEventID>(events_.allocate(coopdraw::sim::event_of(event)));
    }
    template <HardEvent event>
    void ReleaseEventID(TEventID id) {
        events_.release(coopdraw::sim::event_of(event), id);
    }
    template <HardEvent event>
    TEventID FetchEventID() {
        return FetchEventID(event);
    }
    TEventID FetchEventID(HardEvent event) {
        return static_cast<TEventID>(events_.first_free(coopdraw::sim::event_of(event)));
    }
    template <TPosition pos>
    uint64_t GetQueueEndAddress() {
        return region(GetPhyType(pos)).next;
    }

    coopdraw::sim::EventNumbers& events() { return events_; }  // for queues
    coopdraw::sim::Region& region(Hardware hardware);

private:
    void finish();

    coopdraw::sim::BufferOwner owner_;
    coopdraw::sim::EventNumbers events_;
    std::array<coopdraw::sim::Region, coopdraw::sim::MEMORIES> regions_;
    bool destroyed_ = false;
};

}  // namespace AscendC
