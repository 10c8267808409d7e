// The cores of a run: one fiber each, of which one runs at a time until it blocks or ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core.h"

// asc-devkit:docs/zh/api/SIMD-API/基础API/Kernel-Tiling/设置Kernel类型.md
enum KernelMetaType : uint8_t {
    KERNEL_TYPE_AIV_ONLY,
    KERNEL_TYPE_AIC_ONLY,
    KERNEL_TYPE_MIX_AIV_1_0,
    KERNEL_TYPE_MIX_AIC_1_0,
    KERNEL_TYPE_MIX_AIC_1_1,
    KERNEL_TYPE_MIX_AIC_1_2,
    KERNEL_TYPE_AICORE,
    KERNEL_TYPE_VECTORCORE,
    KERNEL_TYPE_MIX_AICORE,
    KERNEL_TYPE_MIX_VECTOR_CORE,
    KERNEL_TYPE_MAX,
};

namespace coopdraw::sim {

struct Capacities {
    uint64_t ub, l1, l0a, l0b, l0c, bias, fixbuf;
};

using Entry = void (*)(uint8_t** arguments);

// What one run of a kernel is given.
struct Launch {
    Entry vector_entry = nullptr;  // the kernel as AIV (or coupled) cores run it
    Entry cube_entry = nullptr;    // the kernel as AIC cores run it
    uint8_t** arguments = nullptr;
    int blocks = 1;
    bool coupled = false;
    uint64_t tiling_key = 0;
    Capacities capacities{};
};

// Runs the kernel on all cores to its end. Fails when all cores that are left wait for each other.
void run(const Launch& launch);

const std::vector<std::unique_ptr<Core>>& all_cores();
uint64_t tiling_key();
int block_count();
int vectors_per_cube();  // of the kernel type: 1 or 2 AIV beside each AIC

// The kernel says its type when it starts; the cores are set up anew when the run was set up otherwise.
void set_kernel_type(KernelMetaType type);
bool declares_vector_only();  // KERNEL_TYPE_AIV_ONLY or _AIC_ONLY was declared: there is no scheduler for hard flags

// Lets other cores run until `ready` holds. `what` says what this core waits for.
void wait_until(const std::function<bool()>& ready, const std::string& what);

// All cores of the given kinds meet; what happened before it on one of them is complete for all after it.
void synchronise_all(const char* api, bool with_cubes, int used_cores);

void cross_core_set(int mode, Pipe pipe, int flag);
void cross_core_wait(int flag);
void check_cross_core_flags();  // at the end: fails for a flag that nobody waited for

// A flag in global memory, of IBSet and IBWait.
void block_set(const void* workspace, int block, int event);
void block_wait(const void* workspace, int block, int event);

}  // namespace coopdraw::sim
