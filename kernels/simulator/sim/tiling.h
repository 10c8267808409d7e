// Tiling data, tiling key, kernel type and workspace, as kernels and the headers of their host part name them.
// asc-devkit:docs/zh/api/SIMD-API/基础API/Kernel-Tiling
#pragma once

#include <cstring>

#include "cores.h"
#include "tensor.h"

namespace coopdraw::sim {

// The bytes that tiling data is read from; fails when `bytes` are not there.
const uint8_t* tiling_bytes(const void* tiling, uint64_t bytes);

template <typename Struct>
Struct load_tiling(const void* tiling) {
    Struct data;
    std::memcpy(static_cast<void*>(&data), tiling_bytes(tiling, sizeof(Struct)), sizeof(Struct));
    return data;
}

}  // namespace coopdraw::sim

// What the host writes field by field is a plain struct for the kernel: fields at their natural alignment, the whole a
// multiple of 8 bytes.
#define BEGIN_TILING_DATA_DEF(name) struct alignas(8) name {
#define TILING_DATA_FIELD_DEF(type, name) type name;
#define TILING_DATA_FIELD_DEF_ARR(type, size, name) type name[size];
#define TILING_DATA_FIELD_DEF_STRUCT(type, name) type name;
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(operation, name)

// CoopdrawTiling is the struct of the kernel: given with the build, or by REGISTER_TILING_DEFAULT in the kernel.
#define REGISTER_TILING_DEFAULT(type) using CoopdrawTiling [[maybe_unused]] = type
#define REGISTER_TILING_FOR_TILINGKEY(expression, type) static_assert(sizeof(type) != 0)
#define REGISTER_NONE_TILING static_assert(true)
#define GET_TILING_DATA(name, tiling) \
    [[maybe_unused]] const auto name##_read = coopdraw::sim::load_tiling<CoopdrawTiling>(tiling); \
    [[maybe_unused]] auto name = name##_read
#define GET_TILING_DATA_WITH_STRUCT(type, name, tiling) [[maybe_unused]] auto name = coopdraw::sim::load_tiling<type>(tiling)
#define GET_TILING_DATA_MEMBER(type, member, name, tiling) \
    [[maybe_unused]] auto name = coopdraw::sim::load_tiling<type>(tiling).member
#define GET_TILING_DATA_PTR_WITH_STRUCT(type, name, tiling) \
    [[maybe_unused]] const auto* name = reinterpret_cast<const type*>(coopdraw::sim::tiling_bytes(tiling, sizeof(type)))
#define COPY_TILING_WITH_STRUCT(type, source, target) \
    std::memcpy(static_cast<void*>(target), static_cast<const void*>(source), sizeof(type))
#define COPY_TILING_WITH_ARRAY(type, length, source, target) \
    std::memcpy(static_cast<void*>(target), static_cast<const void*>(source), sizeof(type) * (length))

#ifndef TILING_KEY_VAR
#define TILING_KEY_VAR (coopdraw::sim::tiling_key())
#endif
#define TILING_KEY_IS(key) (TILING_KEY_VAR == static_cast<uint64_t>(key))

#define KERNEL_TASK_TYPE_DEFAULT(type) coopdraw::sim::set_kernel_type(type)
#define KERNEL_TASK_TYPE(key, type)                            \
    do {                                                       \
        if (TILING_KEY_IS(key)) coopdraw::sim::set_kernel_type(type); \
    } while (false)

namespace AscendC {

// Bytes at the start of the workspace that belong to the runtime; the host adds them to what it asks for.
// asc-devkit:impl/basic_api/utils/kernel_utils_constants.h RESERVED_WORKSPACE
#if __NPU_ARCH__ == 2201
constexpr size_t RESERVED_WORKSPACE = 16 * 1024 * 1024;
#else
constexpr size_t RESERVED_WORKSPACE = 2 * 1024 * 1024;
#endif

inline GM_ADDR GetUserWorkspace(GM_ADDR workspace) {
    return workspace == nullptr ? nullptr : workspace + RESERVED_WORKSPACE;
}
GM_ADDR GetSysWorkSpacePtr();

}  // namespace AscendC

inline void SetSysWorkspace(GM_ADDR) {}  // the simulator knows its workspace
