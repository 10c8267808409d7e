// DataCopy and DataCopyPad between global and local memory and inside local memory, and atomic copies.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Memory矢量计算/数据搬运, 原子操作
#pragma once

#include "hazard.h"
#include "tensor.h"

namespace AscendC {

struct DataCopyParams {
    DataCopyParams() {}
    DataCopyParams(const uint16_t count, const uint16_t len, const uint16_t srcStrideIn, const uint16_t dstStrideIn)
        : blockCount(count), blockLen(len), srcStride(srcStrideIn), dstStride(dstStrideIn) {}

    uint16_t blockCount = 1;
    uint16_t blockLen = 0;
    union {
        uint16_t srcGap = 0;
        uint16_t srcStride;
    };
    union {
        uint16_t dstGap = 0;
        uint16_t dstStride;
    };
};

struct DataCopyExtParams {
    DataCopyExtParams() {}
    DataCopyExtParams(const uint16_t count, const uint32_t len, const uint32_t srcStrideIn, const uint32_t dstStrideIn,
                      const uint32_t rsvIn)
        : blockCount(count), blockLen(len), srcStride(srcStrideIn), dstStride(dstStrideIn), rsv(rsvIn) {}

    uint16_t blockCount = 1;
    uint32_t blockLen = 0;
    uint32_t srcStride = 0;
    uint32_t dstStride = 0;
    uint32_t rsv = 0;
};

struct DataCopyPadParams {
    DataCopyPadParams() {}
    DataCopyPadParams(const bool isPadValue, const uint8_t leftPadValue, const uint8_t rightPadValue,
                      const uint64_t padValue)
        : isPad(isPadValue), leftPadding(leftPadValue), rightPadding(rightPadValue), paddingValue(padValue) {}

    bool isPad = false;
    uint8_t leftPadding = 0;
    uint8_t rightPadding = 0;
    uint64_t paddingValue = 0;
};

template <typename T>
struct DataCopyPadExtParams {
    DataCopyPadExtParams() {}
    DataCopyPadExtParams(const bool isPadValue, const uint8_t leftPadValue, const uint8_t rightPadValue, T padValue)
        : isPad(isPadValue), leftPadding(leftPadValue), rightPadding(rightPadValue), paddingValue(padValue) {}

    bool isPad = false;
    uint8_t leftPadding = 0;
    uint8_t rightPadding = 0;
    T paddingValue = T(0);
};

struct Nd2NzParams {
    Nd2NzParams() {}
    Nd2NzParams(const uint16_t ndNumIn, const uint16_t nValueIn, const uint16_t dValueIn,
                const uint16_t srcNdMatrixStrideIn, const uint16_t srcDValueIn, const uint16_t dstNzC0StrideIn,
                const uint16_t dstNzNStrideIn, const uint16_t dstNzMatrixStrideIn)
        : ndNum(ndNumIn), nValue(nValueIn), dValue(dValueIn), srcNdMatrixStride(srcNdMatrixStrideIn),
          srcDValue(srcDValueIn), dstNzC0Stride(dstNzC0StrideIn), dstNzNStride(dstNzNStrideIn),
          dstNzMatrixStride(dstNzMatrixStrideIn) {}

    uint16_t ndNum = 0;
    uint16_t nValue = 0;
    uint16_t dValue = 0;
    uint16_t srcNdMatrixStride = 0;
    uint16_t srcDValue = 0;
    uint16_t dstNzC0Stride = 0;
    uint16_t dstNzNStride = 0;
    uint16_t dstNzMatrixStride = 0;
};

}  // namespace AscendC

namespace coopdraw::sim {

// How copies to global memory combine with what is there.
enum class Combine : uint8_t { replace, add, maximum, minimum };
enum class Element : uint8_t { none, float16, float32, bfloat16, int8, int16, int32 };

template <typename T>
constexpr Element element_of() {
    return std::is_same_v<T, half>         ? Element::float16
           : std::is_same_v<T, float>      ? Element::float32
           : std::is_same_v<T, bfloat16_t> ? Element::bfloat16
           : std::is_same_v<T, int8_t>     ? Element::int8
           : std::is_same_v<T, int16_t>    ? Element::int16
           : std::is_same_v<T, int32_t>    ? Element::int32
                                           : Element::none;
}

struct Atomic {
    Combine combine = Combine::replace;
    Element element = Element::none;
};
Atomic& atomic();  // of the running core

// `count` blocks of `bytes`; a block starts `source_step` and `target_step` bytes after the one before.
struct Blocks {
    uint64_t count, bytes, source_step, target_step;
};

// Copies blocks. Spans give the places and their ends; their lengths are not used.
void copy_blocks(const char* api, const Span& target, const Span& source, const Blocks& blocks, uint32_t element_bytes);

// Copies blocks from global memory to UB and fills each up to a multiple of 32 bytes.
struct Padding {
    bool given;                // the kernel chose the value
    uint64_t left, right;      // bytes
    const uint8_t* value;      // one element
};
void copy_padded(const char* api, const Span& target, const Span& source, const Blocks& blocks, const Padding& padding,
                 uint32_t element_bytes);

void copy_nd_to_nz(const Span& target, const Span& source, const AscendC::Nd2NzParams& params, uint32_t element_bytes);

// Fills a range of global memory, as InitOutput does.
void fill_global(const char* api, const Span& target, const uint8_t* value, uint32_t element_bytes);

// L1 to the bias table, whose elements have four bytes; lengths count 64 bytes of it.
void copy_to_bias_table(const Span& target, const Span& source, const AscendC::DataCopyParams& params,
                        uint32_t source_element);

Pipe copy_pipe(const char* api, Memory from, Memory to);
void check_copy_lengths(const char* api, uint64_t count, uint64_t length, uint64_t most_count, uint64_t most_length);
uint64_t counted_bytes(const char* api, uint64_t bytes);  // of a copy by element count: a multiple of 32

}  // namespace coopdraw::sim

namespace AscendC {

namespace detail {

inline coopdraw::sim::Blocks blocks_of(const DataCopyParams& params) {
    coopdraw::sim::check_copy_lengths("DataCopy", params.blockCount, params.blockLen, 4095, 65535);
    const uint64_t length = static_cast<uint64_t>(params.blockLen) * ONE_BLK_SIZE;
    return {params.blockCount, length, length + static_cast<uint64_t>(params.srcStride) * ONE_BLK_SIZE,
            length + static_cast<uint64_t>(params.dstStride) * ONE_BLK_SIZE};
}

template <typename Target, typename Source>
void copy(const Target& dst, const Source& src, const coopdraw::sim::Blocks& blocks) {
    coopdraw::sim::copy_blocks("DataCopy", dst.span(0, 0), src.span(0, 0), blocks, sizeof(typename Target::PrimType));
}

template <typename Target, typename Source>
void copy(const Target& dst, const Source& src, uint32_t count) {
    using T = typename Target::PrimType;
    const uint64_t bytes = coopdraw::sim::counted_bytes("DataCopy", coopdraw::sim::bytes_of<T>(count));
    copy(dst, src, coopdraw::sim::Blocks{1, bytes, bytes, bytes});
}

constexpr uint64_t block_bytes(uint64_t bytes) { return (bytes + ONE_BLK_SIZE - 1) / ONE_BLK_SIZE * ONE_BLK_SIZE; }

}  // namespace detail

template <typename T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyParams& params) {
    detail::copy(dst, src, detail::blocks_of(params));
}
template <typename T>
void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params) {
    detail::copy(dst, src, detail::blocks_of(params));
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params) {
    if (__NPU_ARCH__ == 2201 && dst.position() == TPosition::C2) {
        coopdraw::sim::copy_to_bias_table(dst.span(0, 0), src.span(0, 0), params, sizeof(T));
    } else {
        detail::copy(dst, src, detail::blocks_of(params));
    }
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const uint32_t count) {
    detail::copy(dst, src, count);
}
template <typename T>
void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count) {
    detail::copy(dst, src, count);
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count) {
    detail::copy(dst, src, count);
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const Nd2NzParams& params) {
    coopdraw::sim::copy_nd_to_nz(dst.span(0, 0), src.span(0, 0), params, sizeof(T));
}

template <typename T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyExtParams& params,
                 const DataCopyPadExtParams<T>& padding) {
    coopdraw::sim::check_copy_lengths("DataCopyPad", params.blockCount, params.blockLen, 4095, 2097151);
    const uint64_t left = padding.leftPadding * sizeof(T), right = padding.rightPadding * sizeof(T);
    const uint64_t step = detail::block_bytes(left + params.blockLen + right);
    coopdraw::sim::copy_padded(
        "DataCopyPad", dst.span(0, 0), src.span(0, 0),
        {params.blockCount, params.blockLen, static_cast<uint64_t>(params.blockLen) + params.srcStride,
         step + static_cast<uint64_t>(params.dstStride) * ONE_BLK_SIZE},
        {padding.isPad, left, right, reinterpret_cast<const uint8_t*>(&padding.paddingValue)}, sizeof(T));
}

template <typename T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyParams& params,
                 const DataCopyPadParams& padding) {
    T value;
    std::memcpy(static_cast<void*>(&value), &padding.paddingValue, sizeof(T));
    DataCopyPad(dst, src, DataCopyExtParams(params.blockCount, params.blockLen, params.srcStride, params.dstStride, 0),
                DataCopyPadExtParams<T>(padding.isPad, padding.leftPadding, padding.rightPadding, value));
}

template <typename T>
void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyExtParams& params) {
    coopdraw::sim::check_copy_lengths("DataCopyPad", params.blockCount, params.blockLen, 4095, 2097151);
    coopdraw::sim::copy_blocks(
        "DataCopyPad", dst.span(0, 0), src.span(0, 0),
        {params.blockCount, params.blockLen,
         detail::block_bytes(params.blockLen) + static_cast<uint64_t>(params.srcStride) * ONE_BLK_SIZE,
         static_cast<uint64_t>(params.blockLen) + params.dstStride},
        sizeof(T));
}

template <typename T>
void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params) {
    DataCopyPad(dst, src, DataCopyExtParams(params.blockCount, params.blockLen, params.srcStride, params.dstStride, 0));
}

template <typename T>
void SetAtomicAdd() {
    constexpr auto element = coopdraw::sim::element_of<T>();
    static_assert(element != coopdraw::sim::Element::none, "SetAtomicAdd takes float, half, bfloat16 and signed integers");
    coopdraw::sim::atomic() = {coopdraw::sim::Combine::add, element};
}
template <typename T>
void SetAtomicMax() {
    constexpr auto element = coopdraw::sim::element_of<T>();
    static_assert(element != coopdraw::sim::Element::none, "SetAtomicMax takes float, half, bfloat16 and signed integers");
    coopdraw::sim::atomic() = {coopdraw::sim::Combine::maximum, element};
}
template <typename T>
void SetAtomicMin() {
    constexpr auto element = coopdraw::sim::element_of<T>();
    static_assert(element != coopdraw::sim::Element::none, "SetAtomicMin takes float, half, bfloat16 and signed integers");
    coopdraw::sim::atomic() = {coopdraw::sim::Combine::minimum, element};
}
inline void SetAtomicNone() { coopdraw::sim::atomic() = {}; }
inline void DisableDmaAtomic() { coopdraw::sim::atomic() = {}; }

// asc-devkit:include/basic_api/kernel_operator_common_intf.h
template <typename T>
void InitOutput(GlobalTensor<T> gmWorkspaceAddr, uint32_t size, T value = T(0)) {
    coopdraw::sim::fill_global("InitOutput", gmWorkspaceAddr.span(0, size), reinterpret_cast<const uint8_t*>(&value),
                               sizeof(T));
}
template <typename T>
void Fill(GlobalTensor<T>& gmWorkspaceAddr, uint64_t size, T value) {
    coopdraw::sim::fill_global("Fill", gmWorkspaceAddr.span(0, size), reinterpret_cast<const uint8_t*>(&value),
                               sizeof(T));
}

}  // namespace AscendC
