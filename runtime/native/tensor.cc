#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

namespace coopdraw {
namespace {

constexpr struct {
  const char* name;
  size_t bytes;
} kTypes[] = {{"float16", 2}, {"float32", 4}, {"float64", 8}, {"int8", 1},
              {"uint8", 1},   {"int32", 4},   {"int64", 8},   {"bool", 1}};  // in the order of coopdraw_dtype

// A corrupt extent must not become an allocation.
constexpr int64_t kMostElements = int64_t{1} << 31;
constexpr size_t kMostDimensions = 8;

template <class Element, class Plain>
bool all_plain(const void* data, size_t elements, Plain plain) {
  for (size_t index = 0; index < elements; ++index) {
    Element element;  // callers' memory need not be aligned
    std::memcpy(&element, static_cast<const char*>(data) + index * sizeof(Element), sizeof(Element));
    if (!plain(element)) return false;
  }
  return true;
}

}  // namespace

size_t TensorType::elements() const {
  return static_cast<size_t>(std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>()));
}

size_t TensorType::bytes() const { return elements() * element_bytes(dtype); }

std::string TensorType::text() const {
  std::string extents;
  for (const int64_t extent : shape) extents += (extents.empty() ? "" : ", ") + std::to_string(extent);
  return std::string(dtype_name(dtype)) + " (" + extents + (shape.size() == 1 ? ",)" : ")");
}

TensorType read_type(const Json& dtype, const Json& shape) {
  TensorType type;
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&dtype](const auto& known) { return dtype.text() == known.name; });
  if (found == std::end(kTypes)) dtype.refuse("the name of an element type");
  type.dtype = static_cast<coopdraw_dtype>(found - kTypes);
  int64_t elements = 1;
  for (const Json& extent : shape.array()) {
    type.shape.push_back(extent.integer(1, kMostElements / elements));
    elements *= type.shape.back();
  }
  if (type.shape.size() > kMostDimensions) shape.refuse("a list of at most 8 extents");
  return type;
}

size_t element_bytes(coopdraw_dtype dtype) { return kTypes[dtype].bytes; }

const char* dtype_name(coopdraw_dtype dtype) { return kTypes[dtype].name; }

bool has_plain_values(coopdraw_dtype dtype, const void* data, size_t elements) {
  switch (dtype) {
    case COOPDRAW_FLOAT16:  // the exponent is all ones for NaN and infinity
      return all_plain<uint16_t>(data, elements, [](uint16_t half) { return (half & 0x7C00) != 0x7C00; });
    case COOPDRAW_FLOAT32:
      return all_plain<float>(data, elements, [](float value) { return std::isfinite(value); });
    case COOPDRAW_FLOAT64:
      return all_plain<double>(data, elements, [](double value) { return std::isfinite(value); });
    case COOPDRAW_BOOL:
      return all_plain<uint8_t>(data, elements, [](uint8_t value) { return value <= 1; });
    default:
      return true;
  }
}

}  // namespace coopdraw
