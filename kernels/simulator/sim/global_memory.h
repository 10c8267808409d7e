// Global memory: one allocation per argument, far from the others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"

namespace coopdraw::sim {

// Adds an argument of `bytes` bytes, all of it initialised or none; zeroed in both cases.
Bank& add_argument(const std::string& name, uint64_t bytes, bool initialised);
void fill_from_file(Bank& bank, const char* path);
void save_to_file(const Bank& bank, const char* path);

}  // namespace coopdraw::sim
