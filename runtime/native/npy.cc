#include "npy.h"

#include <algorithm>
#include <cstring>

#include "error.h"

namespace coopdraw {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMagicBytes = 6;
constexpr int64_t kMostElements = int64_t{1} << 31;

constexpr struct {
  const char* code;
  coopdraw_dtype dtype;
} kCodes[] = {{"<f2", COOPDRAW_FLOAT16}, {"<f4", COOPDRAW_FLOAT32}, {"<f8", COOPDRAW_FLOAT64}, {"|i1", COOPDRAW_INT8},
              {"|u1", COOPDRAW_UINT8},   {"<i4", COOPDRAW_INT32},   {"<i8", COOPDRAW_INT64},   {"|b1", COOPDRAW_BOOL}};

// The header is the literal of a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }
class HeaderReader {
 public:
  HeaderReader(const char* data, size_t bytes, const std::string& place) : text_(data, bytes), place_(place) {}

  void read() {
    expect('{');
    while (!accept('}')) {
      const std::string key = read_text();
      expect(':');
      if (key == "descr" && !has_type_) {
        read_dtype();
      } else if (key == "fortran_order" && !has_order_) {
        has_order_ = true;
        fortran = read_bool();
      } else if (key == "shape" && !has_shape_) {
        read_shape();
      } else {
        fail("has an unexpected header");
      }
      if (!accept(',') && next() != '}') fail("has a damaged header");
    }
    if (next() != '\0' || !has_type_ || !has_order_ || !has_shape_) fail("has a damaged header");
  }

  TensorType type;
  bool fortran = false;

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    bad_input(place_ + " " + problem + "; save it again with numpy.savez");
  }

  char next() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool accept(char c) {
    if (next() != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail("has a damaged header");
  }

  std::string read_text() {
    const char quote = next();
    if (quote != '\'' && quote != '"') fail("has a damaged header, or structured elements");
    const size_t end = text_.find(quote, ++position_);
    if (end == std::string::npos) fail("has a damaged header");
    const std::string result = text_.substr(position_, end - position_);
    position_ = end + 1;
    return result;
  }

  void read_dtype() {
    has_type_ = true;
    const std::string code = read_text();
    const auto* found =
        std::find_if(std::begin(kCodes), std::end(kCodes), [&code](const auto& known) { return code == known.code; });
    if (found == std::end(kCodes)) fail("has elements of type " + code + ", which no bundle takes");
    type.dtype = found->dtype;
  }

  bool read_bool() {
    next();
    for (const char* word : {"True", "False"}) {
      if (text_.compare(position_, std::strlen(word), word) == 0) {
        position_ += std::strlen(word);
        return word[0] == 'T';
      }
    }
    fail("has a damaged header");
  }

  void read_shape() {
    has_shape_ = true;
    expect('(');
    int64_t elements = 1;
    while (!accept(')')) {
      const int64_t extent = read_extent();
      if (type.shape.size() == 32 || (extent > 0 && elements > kMostElements / extent)) fail("is too large");
      elements *= extent;
      type.shape.push_back(extent);
      if (!accept(',') && next() != ')') fail("has a damaged header");
    }
  }

  int64_t read_extent() {
    int64_t value = 0;
    const char first = next();
    if (first < '0' || first > '9') fail("has a damaged header");
    for (; position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9'; ++position_) {
      value = value * 10 + (text_[position_] - '0');
      if (value > kMostElements) fail("is too large");
    }
    return value;
  }

  const std::string text_;
  const std::string& place_;
  size_t position_ = 0;
  bool has_type_ = false, has_order_ = false, has_shape_ = false;
};

// Copies elements whose first index runs fastest to where the last one does.
void copy_transposed(const char* from, Array& array) {
  const size_t width = element_bytes(array.type.dtype), rank = array.type.shape.size();
  std::vector<size_t> strides(rank, width);
  for (size_t axis = 1; axis < rank; ++axis) {
    strides[axis] = strides[axis - 1] * static_cast<size_t>(array.type.shape[axis - 1]);
  }
  std::vector<int64_t> index(rank, 0);
  const size_t elements = array.type.elements();
  for (size_t element = 0; element < elements; ++element) {
    size_t offset = 0;
    for (size_t axis = 0; axis < rank; ++axis) offset += static_cast<size_t>(index[axis]) * strides[axis];
    std::memcpy(array.data.data() + element * width, from + offset, width);
    for (size_t axis = rank; axis-- > 0;) {
      if (++index[axis] < array.type.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace

Array read_npy(const char* data, size_t bytes, const std::string& place) {
  const auto damaged = [&place]() { bad_input(place + " is not a .npy array; save it again with numpy.savez"); };
  if (bytes < kMagicBytes + 2 || std::memcmp(data, kMagic, kMagicBytes) != 0) damaged();
  const int version = data[kMagicBytes];
  if (version < 1 || version > 3) damaged();
  const size_t length_bytes = version == 1 ? 2 : 4, start = kMagicBytes + 2 + length_bytes;
  if (bytes < start) damaged();
  size_t length = 0;
  for (size_t index = length_bytes; index-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(data[kMagicBytes + 2 + index]);
  }
  if (length > bytes - start) damaged();
  HeaderReader header(data + start, length, place);
  header.read();
  Array array{header.type, {}};
  const size_t content = bytes - start - length;
  if (content != array.type.bytes()) {
    bad_input(place + " has " + std::to_string(content) + " bytes, but " + array.type.text() + " needs " +
              std::to_string(array.type.bytes()) + "; save it again with numpy.savez");
  }
  const char* elements = data + start + length;
  if (header.fortran && array.type.shape.size() > 1) {
    array.data.resize(content);
    copy_transposed(elements, array);
  } else {
    array.data.assign(elements, elements + content);
  }
  return array;
}

std::string npy_header(const TensorType& type) {
  const auto* code = std::find_if(std::begin(kCodes), std::end(kCodes),
                                  [&type](const auto& known) { return type.dtype == known.dtype; });
  std::string extents;
  for (const int64_t extent : type.shape) extents += (extents.empty() ? "" : ", ") + std::to_string(extent);
  if (type.shape.size() == 1) extents += ",";
  std::string text = "{'descr': '" + std::string(code->code) + "', 'fortran_order': False, 'shape': (" + extents +
                     "), }";
  const size_t start = kMagicBytes + 4;
  text.append(63 - (start + text.size()) % 64, ' ');  // the elements begin at a multiple of 64
  text += '\n';
  std::string header(kMagic, kMagicBytes);
  header += '\x01';
  header += '\0';
  header += static_cast<char>(text.size() & 255);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace coopdraw
