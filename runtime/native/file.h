// Files: read whole or in pieces, hashed, replaced in one step.
#pragma once

#include <cstddef>
#include <string>

#include "error.h"
#include "tensor.h"

namespace coopdraw {

// What the system says about the last failed call.
std::string system_error();

// An open file that is closed in the end.
class File {
 public:
  // Throws Error of `status` if it can't be opened. `follow`: whether the path may be a symbolic link.
  File(const std::string& path, coopdraw_status status, bool follow = true);
  ~File();
  File(const File&) = delete;
  void operator=(const File&) = delete;

  size_t size() const { return size_; }
  // Reads exactly `bytes` bytes at `offset`; throws Error if the file ends before.
  void read(size_t offset, void* data, size_t bytes) const;
  Bytes read_all(size_t most) const;
  std::string sha256() const;

 private:
  [[noreturn]] void fail(const std::string& problem) const;

  std::string path_;
  coopdraw_status status_;
  int descriptor_;
  size_t size_ = 0;
};

// Writes what is there already, such as a pipe or a file that someone else made.
void overwrite_file(const std::string& path, const Bytes& data);
// Writes a file that appears whole or not at all.
void replace_file(const std::string& path, const Bytes& data);

}  // namespace coopdraw
