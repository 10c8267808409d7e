// Local memory as queues hand it out: buffers, the flags between their users, and what TQueBind does without types.
// asc-devkit:impl/basic_api/kernel_tquebind_impl.h, kernel_tpipe_impl.h
#pragma once

#include <bit>
#include <deque>
#include <vector>

#include "positions.h"

namespace AscendC {
enum class TBufState : uint8_t { FREE = 0, OCCUPIED, ENQUE, DEQUE };
}

namespace coopdraw::sim {

class Queue;

// A piece of local memory that a queue hands out, and where it stands.
struct QueueBuffer {
    Bank* bank = nullptr;
    uint32_t address = 0;
    uint32_t bytes = 0;
    const Queue* owner = nullptr;
    AscendC::TBufState state = AscendC::TBufState::FREE;
    Event enqueued{}, freed{};     // the events of the flags below
    int enqueue_flag = -1;         // -1: none is under way
    int free_flag = -1;
};

// Event numbers 0 to 7 per pair of pipes.
class EventNumbers {
public:
    int allocate(Event event);
    void release(Event event, int id);
    int first_free(Event event) const;  // without taking it

private:
    std::array<std::array<uint8_t, PIPES>, PIPES> taken_{};
};

// Local memory that is given out from its start on: a TPipe's, or a pool's part of it.
struct Region {
    Bank* bank = nullptr;
    uint64_t begin = 0, next = 0, end = 0;
    uint32_t take(const char* api, uint64_t bytes);  // address of the next `bytes`, rounded up to 32
};

QueueBuffer make_buffer(const char* api, Region& region, uint64_t bytes);

// What TQueBind does without knowing element types.
class Queue {
public:
    Queue(const char* position, Event enqueued, Event freed, int depth)
        : position_(position), enqueued_(enqueued), freed_(freed), depth_(depth) {}

    void initialise(QueueBuffer* first, int count);
    QueueBuffer* allocate();
    void enqueue(QueueBuffer* buffer, Event event);
    QueueBuffer* dequeue(Event event);
    void free(QueueBuffer* buffer);
    // The same for queues of depth 0, whose buffers stay with their tensors.
    void wait_free(QueueBuffer* buffer);
    void set_enqueued(QueueBuffer* buffer);
    void wait_enqueued(QueueBuffer* buffer);
    void set_free(QueueBuffer* buffer);
    void forget_events();

    int waiting() const { return static_cast<int>(queued_.size()); }
    int depth() const { return depth_; }
    bool has_idle() const;

private:
    void check_own(const char* api, const QueueBuffer* buffer) const;

    const char* position_;
    Event enqueued_, freed_;
    int depth_;
    QueueBuffer* first_ = nullptr;
    int count_ = 0, cursor_ = 0;
    std::deque<QueueBuffer*> queued_;
};

// The buffers and the memory that TPipe and TBufPool give to queues.
class BufferOwner {
public:
    template <typename Queue>
    void give(const char* api, Region& region, Queue& queue, int count, uint32_t bytes) {
        const size_t first = buffers_.size();
        if (first + count > 64) {
            fail(Kind::capacity, "%s makes buffer %zu, but a TPipe has 64; use fewer or larger ones", api,
                 first + count);
        }
        for (int i = 0; i < count; ++i) {
            buffers_.push_back(make_buffer(api, region, bytes));
        }
        queue.queue().initialise(&buffers_[first], count);
    }
    void finish();  // waits for the free flags; fails for tensors that were not freed
    void clear() { buffers_.clear(); }
    BufferOwner() { buffers_.reserve(64); }  // queues point into it

private:
    std::vector<QueueBuffer> buffers_;
};

}  // namespace coopdraw::sim
