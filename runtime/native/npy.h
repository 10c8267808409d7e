// One array in NumPy's `.npy` format, versions 1 to 3.
#pragma once

#include <cstddef>
#include <string>

#include "npz.h"

namespace coopdraw {

// `place` is what messages name. Throws Error with COOPDRAW_BAD_INPUT.
Array read_npy(const char* data, size_t bytes, const std::string& place);

// The header of version 1, to be followed by the array's bytes.
std::string npy_header(const TensorType& type);

}  // namespace coopdraw
