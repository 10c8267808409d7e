// Named arrays in `.npz` files as numpy.savez writes them: a zip archive of `.npy` members, not compressed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor.h"

namespace coopdraw {

struct Array {
  TensorType type;
  Bytes data;  // dense, row by row
};

using Arrays = std::vector<std::pair<std::string, Array>>;

// Throws Error with COOPDRAW_BAD_INPUT for what is no such file: damaged, compressed, with Python objects or with
// elements that no bundle takes. Arrays in Fortran order become dense row by row.
Arrays read_npz(const std::string& path);

// The same arrays give the same bytes.
Bytes npz_bytes(const Arrays& arrays);

}  // namespace coopdraw
