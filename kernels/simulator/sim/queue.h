// TQueBind, TQue and TBuf. asc-devkit:include/basic_api/kernel_tpipe.h
#pragma once

#include "buffers.h"

namespace AscendC {

struct TQueConfig {
    bool nd2nz = false;
    bool nz2nd = false;
    bool scmBlockGroup = false;
    uint32_t bufferLen = 0;
    uint32_t bufferNumber = 0;
    uint32_t consumerSize = 0;
    TPosition consumer[8] = {};
    bool enableStaticEvtId = false;
    bool enableLoopQueue = false;
};

constexpr TQueConfig GetTQueConfig(int32_t mask) { return {(mask & 1) != 0, (mask & 2) != 0}; }
constexpr TQueConfig GetTQueConfig(const TQueConfig* config) { return *config; }

class TPipe;
TPipe* GetTPipePtr();

using TBufHandle = uint8_t*;  // a buffer, without saying of what

template <TPosition src, TPosition dst, int32_t depth, auto mask = 0>
class TQueBind {
public:
    static constexpr bool isTQue = true;
    static constexpr TPosition place = coopdraw::sim::place_of(src, dst);
    static constexpr Hardware hardware = GetPhyType(place);
    static constexpr int32_t queDepth = depth;

    template <typename T>
    LocalTensor<T> AllocTensor() {
        static_assert(depth != 0, "a queue of depth 0 takes AllocTensor(tensor)");
        return tensor<T>(queue_.allocate());
    }
    template <typename T>
    void AllocTensor(LocalTensor<T>& input) {
        static_assert(depth == 0, "only a queue of depth 0 takes AllocTensor(tensor)");
        auto* buffer = queue_.allocate();
        queue_.wait_free(buffer);
        input = tensor<T>(buffer);
    }
    template <typename T>
    bool EnQue(const LocalTensor<T>& input) {
        if constexpr (depth == 0) {
            queue_.set_enqueued(input.buffer());
        } else {
            queue_.enqueue(input.buffer(), forward);
        }
        return true;
    }
    template <TPosition from, TPosition to, typename T>
    bool EnQue(const LocalTensor<T>& input) {
        queue_.enqueue(input.buffer(), user_event<from, to>());
        return true;
    }
    template <typename T>
    LocalTensor<T> DeQue() {
        static_assert(depth != 0, "a queue of depth 0 takes DeQue(tensor)");
        return tensor<T>(queue_.dequeue(forward));
    }
    template <typename T>
    void DeQue(LocalTensor<T>& input) {
        static_assert(depth == 0, "only a queue of depth 0 takes DeQue(tensor)");
        queue_.wait_enqueued(input.buffer());
    }
    template <TPosition from, TPosition to, typename T>
    LocalTensor<T> DeQue() {
        return tensor<T>(queue_.dequeue(user_event<from, to>()));
    }
    bool EnQue(TBufHandle buffer) {
        queue_.enqueue(reinterpret_cast<coopdraw::sim::QueueBuffer*>(buffer), forward);
        return true;
    }
    TBufHandle DeQue() { return reinterpret_cast<TBufHandle>(queue_.dequeue(forward)); }
    void FreeBuffer(TBufHandle buffer) { queue_.free(reinterpret_cast<coopdraw::sim::QueueBuffer*>(buffer)); }
    template <typename T>
    void FreeTensor(LocalTensor<T>& input) {
        if constexpr (depth == 0) {
            queue_.set_free(input.buffer());
        } else {
            queue_.free(input.buffer());
        }
    }
    bool VacantInQue() { return queue_.waiting() < depth; }
    bool HasTensorInQue() { return queue_.waiting() != 0; }
    int32_t GetTensorCountInQue() { return queue_.waiting(); }
    bool HasIdleBuffer() { return queue_.has_idle(); }
    void FreeAllEvent() { queue_.forget_events(); }
    template <typename T>
    TBufState GetState(const LocalTensor<T>& input) const {
        return input.buffer() == nullptr ? TBufState::FREE : input.buffer()->state;
    }

    // For TPipe and TBufPool.
    coopdraw::sim::Queue& queue() { return queue_; }
    static constexpr coopdraw::sim::Event forward = coopdraw::sim::event_of(
        coopdraw::sim::forward_event(GetPhyType(src), GetPhyType(dst), GetTQueConfig(mask).nd2nz));

private:
    template <typename T>
    static LocalTensor<T> tensor(coopdraw::sim::QueueBuffer* buffer) {
        return LocalTensor<T>(buffer->bank, buffer->address, buffer->bytes, place, buffer);
    }
    template <TPosition from, TPosition to>
    static constexpr coopdraw::sim::Event user_event() {
        return coopdraw::sim::event_of(coopdraw::sim::forward_event(GetPhyType(from), GetPhyType(to), false));
    }

    coopdraw::sim::Queue queue_{coopdraw::sim::name_of(place), forward, coopdraw::sim::Event{forward.to, forward.from}, depth};
};

template <TPosition pos, int32_t depth, auto mask = 0>
class TQue : public TQueBind<coopdraw::sim::producer_of(pos), coopdraw::sim::consumer_of(pos), depth, mask> {};

template <TPosition pos, int32_t depth = 1, auto mask = 0>
using TSCM = TQueBind<pos, TPosition::TSCM, depth, mask>;

template <TPosition pos = TPosition::LCM>
class TBuf {
public:
    static constexpr bool isTQue = false;
    static constexpr Hardware hardware = GetPhyType(pos);

    template <typename T>
    LocalTensor<T> Get() {
        return GetWithOffset<T>(std::is_same_v<T, int4b_t> ? buffer_.bytes * 2 : buffer_.bytes / sizeof(T), 0);
    }
    template <typename T>
    LocalTensor<T> Get(uint32_t elements) {
        return GetWithOffset<T>(elements, 0);
    }
    // `elements` from byte `offset` on. The tensor ends with the buffer at the latest.
    template <typename T>
    LocalTensor<T> GetWithOffset(uint32_t elements, uint32_t offset) {
        const uint64_t bytes = coopdraw::sim::bytes_of<T>(elements);
        if (offset + bytes > buffer_.bytes) {
            coopdraw::sim::fail(coopdraw::sim::Kind::bounds,
                                "TBuf::Get of %llu bytes from byte %u on leaves the buffer of %u bytes; give InitBuffer "
                                "more or take less",
                                static_cast<unsigned long long>(bytes), offset, buffer_.bytes);
        }
        return LocalTensor<T>(buffer_.bank, buffer_.address + offset, static_cast<uint32_t>(bytes), pos, &buffer_);
    }
    template <typename T>
    LocalTensor<T> AllocTensor() {
        return Get<T>();
    }
    template <typename T>
    LocalTensor<T> DeQue() {
        return Get<T>();
    }
    template <typename T>
    void EnQue(const LocalTensor<T>&) {}
    template <typename T>
    void FreeTensor(LocalTensor<T>&) {}

    coopdraw::sim::QueueBuffer& buffer() { return buffer_; }  // for TPipe and TBufPool

private:
    coopdraw::sim::QueueBuffer buffer_;
};

}  // namespace AscendC
