#include "buffers.h"

#include "pipe.h"

namespace coopdraw::sim {

using AscendC::TBufState;

namespace {

EventNumbers& events() { return AscendC::GetTPipePtr()->events(); }

const char* name_of(TBufState state) {
    static const char* const names[] = {"free", "allocated", "enqueued", "dequeued"};
    return names[static_cast<int>(state)];
}

}  // namespace

const char* name_of(AscendC::TPosition position) {
    static const char* const names[] = {"GM",  "A1",     "A2",      "B1",  "B2",   "C1",        "C2",          "CO1",
                                        "CO2", "VECIN",  "VECOUT",  "VECCALC", "SPM", "TSCM", "C2PIPE2GM",
                                        "C2PIPE2LOCAL", "MAX"};
    return names[static_cast<int>(position)];
}

int EventNumbers::first_free(Event event) const {
    const uint8_t taken = taken_[static_cast<int>(event.from)][static_cast<int>(event.to)];
    if (taken == 0xff) {
        fail(Kind::event, "all 8 events %s_%s are in use; release some, or use fewer buffers in the queues of this kind",
             name_of(event.from), name_of(event.to));
    }
    return std::countr_one(taken);
}

int EventNumbers::allocate(Event event) {
    const int id = first_free(event);
    taken_[static_cast<int>(event.from)][static_cast<int>(event.to)] |= static_cast<uint8_t>(1U << id);
    return id;
}

void EventNumbers::release(Event event, int id) {
    if (id < 0 || id >= EVENT_IDS) {
        fail(Kind::event, "ReleaseEventID of event %d, but there are events 0 to 7; pass what AllocEventID gave", id);
    }
    taken_[static_cast<int>(event.from)][static_cast<int>(event.to)] &= static_cast<uint8_t>(~(1U << id));
}

uint32_t Region::take(const char* api, uint64_t bytes) {
    if (bank == nullptr) {
        fail(Kind::argument, "%s takes memory that this core does not have, or from a pool that was not initialised",
             api);
    }
    const uint64_t rounded = (bytes + GRANULE - 1) / GRANULE * GRANULE;
    if (bytes == 0 || rounded > end - next) {
        fail(Kind::capacity, "%s wants %llu bytes of %s, but %llu of %llu are left; use smaller or fewer buffers", api,
             static_cast<unsigned long long>(bytes), bank->name, static_cast<unsigned long long>(end - next),
             static_cast<unsigned long long>(end - begin));
    }
    next += rounded;
    return static_cast<uint32_t>(next - rounded);
}

QueueBuffer make_buffer(const char* api, Region& region, uint64_t bytes) {
    QueueBuffer buffer;
    buffer.address = region.take(api, bytes);
    buffer.bank = region.bank;
    buffer.bytes = static_cast<uint32_t>(region.next - buffer.address);
    buffer.bank->set_initialised(buffer.address, buffer.bytes, false);
    return buffer;
}

void Queue::initialise(QueueBuffer* first, int count) {
    first_ = first;
    count_ = count;
    cursor_ = 0;
    queued_.clear();
    for (int i = 0; i < count; ++i) {
        first[i].owner = this;
        first[i].freed = freed_;
        if (depth_ == 0) {
            first[i].enqueue_flag = events().allocate(enqueued_);
            first[i].free_flag = events().allocate(freed_);
            set_event(freed_, first[i].free_flag);
        }
    }
}

QueueBuffer* Queue::allocate() {
    for (int tried = 0; tried < count_; ++tried) {
        QueueBuffer& buffer = first_[cursor_];
        cursor_ = (cursor_ + 1) % count_;
        if (buffer.state != TBufState::FREE) {
            continue;
        }
        buffer.state = TBufState::OCCUPIED;
        if (depth_ != 0 && buffer.free_flag >= 0) {
            wait_event(freed_, buffer.free_flag);
            events().release(freed_, buffer.free_flag);
            buffer.free_flag = -1;
        }
        // What the buffer held for its last user is nothing that the next one may read.
        buffer.bank->set_initialised(buffer.address, buffer.bytes, false);
        return &buffer;
    }
    fail(Kind::queue, "AllocTensor of a %s queue waits for ever: none of its %d buffers is free; call FreeTensor after "
         "the last use of each tensor, or InitBuffer with more", position_, count_);
}

void Queue::check_own(const char* api, const QueueBuffer* buffer) const {
    if (buffer == nullptr || buffer->owner != this) {
        fail(Kind::queue, "%s of a %s queue got a tensor that is not from this queue; pass the one that its AllocTensor "
             "or DeQue gave", api, position_);
    }
}

void Queue::enqueue(QueueBuffer* buffer, Event event) {
    check_own("EnQue", buffer);
    if (buffer->state != TBufState::OCCUPIED && buffer->state != TBufState::DEQUE) {
        fail(Kind::queue, "EnQue of a %s queue got a tensor that is %s; call AllocTensor or DeQue for it before",
             position_, name_of(buffer->state));
    }
    if (waiting() >= depth_) {
        fail(Kind::queue, "EnQue of a %s queue of depth %d that holds %d tensors already; DeQue one first or give the "
             "queue more depth", position_, depth_, waiting());
    }
    buffer->state = TBufState::ENQUE;
    buffer->enqueued = event;
    if (event.from == event.to) {
        barrier(event.from);
    } else {
        buffer->enqueue_flag = events().allocate(event);
        set_event(event, buffer->enqueue_flag);
    }
    queued_.push_back(buffer);
}

QueueBuffer* Queue::dequeue(Event event) {
    if (queued_.empty()) {
        fail(Kind::queue, "DeQue of a %s queue that is empty; EnQue a tensor before", position_);
    }
    QueueBuffer* buffer = queued_.front();
    queued_.pop_front();
    if (buffer->enqueued != event) {
        fail(Kind::queue, "DeQue of a %s queue for %s to %s, but the tensor was enqueued for %s to %s; name the same "
             "positions in both", position_, name_of(event.from), name_of(event.to), name_of(buffer->enqueued.from),
             name_of(buffer->enqueued.to));
    }
    buffer->state = TBufState::DEQUE;
    if (buffer->enqueue_flag >= 0) {
        wait_event(event, buffer->enqueue_flag);
        events().release(event, buffer->enqueue_flag);
        buffer->enqueue_flag = -1;
    }
    return buffer;
}

void Queue::free(QueueBuffer* buffer) {
    check_own("FreeTensor", buffer);
    if (buffer->state == TBufState::FREE) {
        fail(Kind::queue, "FreeTensor of a %s queue got a tensor that is free already; free each tensor once",
             position_);
    }
    if (buffer->state == TBufState::ENQUE) {
        fail(Kind::queue, "FreeTensor of a %s queue got a tensor that is still enqueued; DeQue it first", position_);
    }
    buffer->free_flag = events().allocate(freed_);
    set_event(freed_, buffer->free_flag);
    buffer->state = TBufState::FREE;
}

void Queue::wait_free(QueueBuffer* buffer) { wait_event(freed_, buffer->free_flag); }

void Queue::set_enqueued(QueueBuffer* buffer) {
    check_own("EnQue", buffer);
    buffer->state = TBufState::ENQUE;
    set_event(enqueued_, buffer->enqueue_flag);
}

void Queue::wait_enqueued(QueueBuffer* buffer) {
    check_own("DeQue", buffer);
    buffer->state = TBufState::DEQUE;
    wait_event(enqueued_, buffer->enqueue_flag);
}

void Queue::set_free(QueueBuffer* buffer) {
    check_own("FreeTensor", buffer);
    buffer->state = TBufState::FREE;
    set_event(freed_, buffer->free_flag);
}

void Queue::forget_events() {
    for (int i = 0; i < count_; ++i) {
        if (first_[i].free_flag >= 0) {
            wait_event(freed_, first_[i].free_flag);
            events().release(freed_, first_[i].free_flag);
            first_[i].free_flag = -1;
        }
    }
}

bool Queue::has_idle() const {
    for (int i = 0; i < count_; ++i) {
        if (first_[i].state == TBufState::FREE) {
            return true;
        }
    }
    return false;
}

void BufferOwner::finish() {
    for (QueueBuffer& buffer : buffers_) {
        if (buffer.state != TBufState::FREE) {
            fail(Kind::queue, "a tensor of %u bytes at byte %u of %s is still %s at the end; call FreeTensor for it",
                 buffer.bytes, buffer.address, buffer.bank->name, name_of(buffer.state));
        }
        if (buffer.free_flag >= 0) {
            wait_event(buffer.freed, buffer.free_flag);
            buffer.free_flag = -1;
        }
    }
}

}  // namespace coopdraw::sim
