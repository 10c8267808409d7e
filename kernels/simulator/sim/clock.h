// Vector clocks: which instructions of which core and pipe are known to be complete.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "memory.h"

namespace coopdraw::sim {

constexpr int MAX_CORES = 96;
constexpr int CLOCK_STRIDE = 8;  // pipes per core, rounded up
extern int cores_in_run;

struct Clock {
    std::array<uint32_t, static_cast<size_t>(MAX_CORES) * CLOCK_STRIDE> complete{};

    uint32_t& at(int core, int pipe) { return complete[core * CLOCK_STRIDE + pipe]; }
    uint32_t at(int core, int pipe) const { return complete[core * CLOCK_STRIDE + pipe]; }
    void merge(const Clock& other) {
        const int entries = cores_in_run * CLOCK_STRIDE;
        for (int i = 0; i < entries; ++i) {
            complete[i] = std::max(complete[i], other.complete[i]);
        }
    }
};

}  // namespace coopdraw::sim
