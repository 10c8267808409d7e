// Types of tensors, by the names that manifests and plans use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "coopdraw.h"
#include "json.h"

namespace coopdraw {

struct TensorType {
  coopdraw_dtype dtype = COOPDRAW_FLOAT32;
  std::vector<int64_t> shape;

  size_t elements() const;
  size_t bytes() const;
  std::string text() const;  // such as float32 (1, 4, 16, 16)
};

inline bool operator==(const TensorType& a, const TensorType& b) { return a.dtype == b.dtype && a.shape == b.shape; }
inline bool operator!=(const TensorType& a, const TensorType& b) { return !(a == b); }

using Bytes = std::vector<char>;

// An element type and shape as JSON; throws Error if they can't be, or are larger than any graph needs.
TensorType read_type(const Json& dtype, const Json& shape);

size_t element_bytes(coopdraw_dtype dtype);
const char* dtype_name(coopdraw_dtype dtype);

// Whether floating-point elements have no NaN and no infinity, and bools are 0 or 1.
bool has_plain_values(coopdraw_dtype dtype, const void* data, size_t elements);

}  // namespace coopdraw
