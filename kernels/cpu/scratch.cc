#include "cpu/scratch.h"

#include <cstdlib>

namespace coopdraw {
namespace {

constexpr size_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeep = false;  // so that a step beyond the end is found
#else
constexpr bool kKeep = true;
#endif

struct Scratch {
  void* memory = nullptr;
  size_t bytes = 0;

  ~Scratch() { std::free(memory); }
};

}  // namespace

void* thread_scratch(size_t bytes) {
  static thread_local Scratch scratch;
  if (bytes > scratch.bytes || !scratch.memory || !kKeep) {
    std::free(scratch.memory);
    scratch.bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    scratch.memory = std::aligned_alloc(kAlignment, scratch.bytes);
    if (!scratch.memory) scratch.bytes = 0;
  }
  return scratch.memory;
}

}  // namespace coopdraw
