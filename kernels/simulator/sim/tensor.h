// LocalTensor and GlobalTensor. asc-devkit:docs LocalTensor, GlobalTensor; include/basic_api/kernel_tensor.h
#pragma once

#include <cstring>

#include "core.h"
#include "hazard.h"
#include "types.h"

namespace coopdraw::sim {

struct QueueBuffer;  // a buffer that a queue hands out (queue.h)

// The bank of global memory that a pointer belongs to: the argument that contains it, or the one that it lies behind
// by less than the guard distance; null for a pointer outside all of them.
Bank* bank_at(const void* pointer);

template <typename T>
T load(const uint8_t* address) {
    T value;
    std::memcpy(&value, address, sizeof(T));
    return value;
}

// What `tensor(index)` gives: reads and writes of it are scalar accesses as GetValue and SetValue are.
template <typename Tensor>
class ScalarReference {
public:
    using T = typename Tensor::PrimType;
    ScalarReference(const Tensor& tensor, uint64_t index) : tensor_(tensor), index_(index) {}
    operator T() const { return tensor_.GetValue(index_); }
    T operator=(T value) {
        tensor_.SetValue(index_, value);
        return value;
    }
    T operator=(const ScalarReference& other) { return *this = static_cast<T>(other); }

private:
    Tensor tensor_;
    uint64_t index_;
};

}  // namespace coopdraw::sim

namespace AscendC {

enum class DataFormat : uint8_t { ND = 0, NZ, NCHW, NC1HWC0, NHWC, NCDHW, NDC1HWC0, FRACTAL_Z_3D };
constexpr int K_MAX_SHAPE_DIM = 8;

struct ShapeInfo {
    ShapeInfo() = default;
    ShapeInfo(uint8_t dims, const uint32_t sizes[], uint8_t original_dims, const uint32_t original_sizes[],
              DataFormat format)
        : shapeDim(dims), originalShapeDim(original_dims), dataFormat(format) {
        std::memcpy(shape, sizes, dims * sizeof(uint32_t));
        std::memcpy(originalShape, original_sizes, original_dims * sizeof(uint32_t));
    }
    ShapeInfo(uint8_t dims, const uint32_t sizes[], DataFormat format = DataFormat::ND)
        : ShapeInfo(dims, sizes, dims, sizes, format) {}

    uint8_t shapeDim = 0;
    uint8_t originalShapeDim = 0;
    uint32_t shape[K_MAX_SHAPE_DIM] = {};
    uint32_t originalShape[K_MAX_SHAPE_DIM] = {};
    DataFormat dataFormat = DataFormat::ND;
};

template <typename T>
class LocalTensor {
public:
    using PrimType = T;

    LocalTensor() = default;
    // A tensor at a fixed address of the position's memory, without a queue.
    LocalTensor(TPosition position, uint32_t address, uint32_t elements)
        : LocalTensor(&coopdraw::sim::self().bank(coopdraw::sim::memory_of(position)), address,
                      coopdraw::sim::bytes_of<T>(elements), position, nullptr) {}
    LocalTensor(coopdraw::sim::Bank* bank, uint32_t offset, uint32_t bytes, TPosition position,
                coopdraw::sim::QueueBuffer* buffer)
        : bank_(bank), offset_(offset), bytes_(bytes), position_(position), buffer_(buffer) {}

    LocalTensor operator[](uint32_t first) const {
        const uint64_t skipped = coopdraw::sim::bytes_of<T>(first);
        LocalTensor rest = *this;
        rest.offset_ += skipped;
        rest.bytes_ = skipped < bytes_ ? bytes_ - skipped : 0;
        return rest;
    }
    template <typename U>
    LocalTensor<U> ReinterpretCast() const {
        return LocalTensor<U>(bank_, offset_, bytes_, position_, buffer_);
    }
    T GetValue(uint32_t index) const {
        coopdraw::sim::Instruction("LocalTensor::GetValue", coopdraw::sim::Pipe::S).reads(span(index, 1));
        return *raw(index);
    }
    template <typename U>
    void SetValue(uint32_t index, U value) const {
        coopdraw::sim::Instruction("LocalTensor::SetValue", coopdraw::sim::Pipe::S).writes(span(index, 1));
        *raw(index) = static_cast<T>(value);
    }
    coopdraw::sim::ScalarReference<LocalTensor> operator()(uint32_t index) const { return {*this, index}; }

    uint64_t GetPhyAddr(uint32_t index = 0) const { return offset_ + coopdraw::sim::bytes_of<T>(index); }
    int32_t GetPosition() const { return static_cast<int32_t>(position_); }
    uint32_t GetSize() const {
        return std::is_same_v<T, int4b_t> ? bytes_ * 2 : bytes_ / static_cast<uint32_t>(sizeof(T));
    }
    uint32_t GetLength() const { return bytes_; }
    void SetSize(uint32_t elements) { bytes_ = coopdraw::sim::bytes_of<T>(elements); }
    void SetBufferLen(uint32_t bytes) { bytes_ = bytes; }
    void SetUserTag(TTagType tag) { tag_ = tag; }
    TTagType GetUserTag() const { return tag_; }
    void SetShapeInfo(const ShapeInfo& shape) { shape_ = shape; }
    ShapeInfo GetShapeInfo() const { return shape_; }

    // For the machinery: `count` elements from element `first` on, to be checked by an Instruction, and its bytes.
    coopdraw::sim::Span span(uint64_t first, uint64_t count) const {
        return {bank_, offset_ + coopdraw::sim::bytes_of<T>(first), coopdraw::sim::bytes_of<T>(count),
                static_cast<uint64_t>(offset_) + bytes_};
    }
    T* raw(uint64_t index = 0) const {
        return reinterpret_cast<T*>(bank_->data + offset_ + coopdraw::sim::bytes_of<T>(index));
    }
    coopdraw::sim::Bank* bank() const { return bank_; }
    coopdraw::sim::QueueBuffer* buffer() const { return buffer_; }
    TPosition position() const { return position_; }

private:
    coopdraw::sim::Bank* bank_ = nullptr;
    uint32_t offset_ = 0;
    uint32_t bytes_ = 0;
    TPosition position_ = TPosition::MAX;
    coopdraw::sim::QueueBuffer* buffer_ = nullptr;
    TTagType tag_ = -1;
    ShapeInfo shape_;
};

enum class CacheMode { CACHE_MODE_DISABLE = 0, CACHE_MODE_NORMAL = 1, CACHE_MODE_LAST = 2, CACHE_MODE_PERSISTENT = 4 };
enum class CacheRwMode { READ = 1, WRITE = 2, RW = 3 };

template <typename T>
class GlobalTensor {
public:
    using PrimType = T;

    GlobalTensor() = default;
    void SetGlobalBuffer(__gm__ T* buffer, uint64_t elements) {
        address_ = buffer;
        bank_ = coopdraw::sim::bank_at(buffer);
        elements_ = elements;
    }
    void SetGlobalBuffer(__gm__ T* buffer) { SetGlobalBuffer(buffer, 0); }

    GlobalTensor operator[](uint64_t first) const {
        GlobalTensor rest = *this;
        rest.address_ = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(address_) + coopdraw::sim::bytes_of<T>(first));
        return rest;
    }
    T GetValue(uint64_t index) const {
        coopdraw::sim::Instruction("GlobalTensor::GetValue", coopdraw::sim::Pipe::S).reads(span(index, 1));
        return coopdraw::sim::load<T>(reinterpret_cast<const uint8_t*>(raw(index)));
    }
    void SetValue(uint64_t index, T value) const {
        coopdraw::sim::Instruction("GlobalTensor::SetValue", coopdraw::sim::Pipe::S).writes(span(index, 1));
        std::memcpy(static_cast<void*>(raw(index)), &value, sizeof(T));
    }
    coopdraw::sim::ScalarReference<GlobalTensor> operator()(uint64_t index) const { return {*this, index}; }

    const __gm__ T* GetPhyAddr() const { return address_; }
    __gm__ T* GetPhyAddr(uint64_t index) const { return raw(index); }
    uint64_t GetSize() const { return elements_; }
    void SetShapeInfo(const ShapeInfo& shape) { shape_ = shape; }
    ShapeInfo GetShapeInfo() const { return shape_; }
    template <CacheRwMode mode = CacheRwMode::RW>
    void SetL2CacheHint(CacheMode) {}  // a hint for speed: it changes no value

    // For the machinery, as LocalTensor's.
    coopdraw::sim::Span span(uint64_t first, uint64_t count) const {
        const uint64_t offset = bank_ == nullptr ? 0 : reinterpret_cast<uint8_t*>(raw(first)) - bank_->data;
        return {bank_, offset, coopdraw::sim::bytes_of<T>(count), bank_ == nullptr ? 0 : bank_->bytes};
    }
    T* raw(uint64_t index = 0) const {
        return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(address_) + coopdraw::sim::bytes_of<T>(index));
    }
    coopdraw::sim::Bank* bank() const { return bank_; }

private:
    T* address_ = nullptr;
    coopdraw::sim::Bank* bank_ = nullptr;
    uint64_t elements_ = 0;
    ShapeInfo shape_;
};

}  // namespace AscendC
