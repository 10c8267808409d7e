// Memory that a kernel works in.
#pragma once

#include "cpu/entry.h"
#include "cpu/parallel.h"

namespace coopdraw {

// At least `bytes` for the calling thread, aligned to 64; null if there are none. They hold anything, are the kernel's
// until the thread asks again, and stay with the thread: fresh pages would cost more than a small operator does.
void* thread_scratch(size_t bytes);

namespace COOPDRAW_LEVEL {

// Floats of a piece of scratch memory: the next piece starts aligned to 64 bytes, too.
COOPDRAW_INLINE int64_t padded(int64_t floats) { return divide_up(floats, 16) * 16; }

// parallel_for with `floats` of scratch memory for each task: body(index, memory).
template <class Body>
Status parallel_for_in_scratch(int64_t count, int64_t work, int64_t floats, const Body& body) {
  bool failed = false;
  parallel_for(count, work, [&](int64_t index) {
    float* memory = static_cast<float*>(thread_scratch(static_cast<size_t>(floats) * sizeof(float)));
    if (memory) {
      body(index, memory);
    } else {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    }
  });
  return failed ? kNoMemory : kOk;
}

}  // namespace COOPDRAW_LEVEL
}  // namespace coopdraw
