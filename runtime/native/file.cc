#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sha256.h"

namespace coopdraw {

std::string system_error() { return std::strerror(errno); }

File::File(const std::string& path, coopdraw_status status, bool follow) : path_(path), status_(status) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
  if (descriptor_ < 0) fail("cannot be opened (" + system_error() + ")");
  struct stat information;
  if (fstat(descriptor_, &information) != 0 || !S_ISREG(information.st_mode)) {
    close(descriptor_);
    fail("is not a plain file");
  }
  size_ = static_cast<size_t>(information.st_size);
}

File::~File() { close(descriptor_); }

void File::fail(const std::string& problem) const {
  throw Error(status_, path_ + " " + problem + "; copy it again or make it anew");
}

void File::read(size_t offset, void* data, size_t bytes) const {
  char* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = pread(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot be read (" + system_error() + ")");
    if (count == 0) fail("is too short");
    next += count, offset += static_cast<size_t>(count), bytes -= static_cast<size_t>(count);
  }
}

Bytes File::read_all(size_t most) const {
  if (size_ > most) fail("has " + std::to_string(size_) + " bytes, at most " + std::to_string(most) + " are expected");
  Bytes data(size_);
  read(0, data.data(), size_);
  return data;
}

std::string File::sha256() const {
  Sha256 hash;
  Bytes block(size_t{1} << 20);
  for (size_t offset = 0; offset < size_;) {
    const size_t bytes = std::min(block.size(), size_ - offset);
    read(offset, block.data(), bytes);
    hash.add(block.data(), bytes);
    offset += bytes;
  }
  return hash.hex_digest();
}

namespace {

void write_file(const std::string& path, const Bytes& data, int flags) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC | flags, 0666);
  if (descriptor < 0) bad_input(path + " cannot be written (" + system_error() + "); write elsewhere");
  size_t written = 0;
  while (written < data.size()) {
    const ssize_t count = write(descriptor, data.data() + written, data.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    written += static_cast<size_t>(count);
  }
  const std::string problem = written < data.size() ? system_error() : "";
  if (close(descriptor) != 0 || written < data.size()) {
    bad_input(path + " cannot be written (" + (problem.empty() ? system_error() : problem) + "); make room there");
  }
}

}  // namespace

void overwrite_file(const std::string& path, const Bytes& data) { write_file(path, data, 0); }

void replace_file(const std::string& path, const Bytes& data) {
  const std::string partial = path + ".partial." + std::to_string(getpid());
  try {
    write_file(partial, data, O_CREAT | O_EXCL);
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
      bad_input(path + " cannot be replaced (" + system_error() + "); write elsewhere");
    }
  } catch (const Error&) {
    unlink(partial.c_str());
    throw;
  }
}

}  // namespace coopdraw
