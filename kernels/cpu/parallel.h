// Threads that all kernels share.
#pragma once

#include <stdint.h>

#include "cpu/simd.h"

namespace coopdraw {

// Runs task(context, 0) ... task(context, count - 1), each once, on up to `thread_count` threads, and returns when all
// are done. A call made while another is under way runs on its own thread alone.
void run_tasks(int64_t count, void (*task)(const void* context, int64_t index), const void* context);

// COOPDRAW_THREADS if it is a positive number, but no more than the processors this process may use.
int thread_count();

namespace COOPDRAW_LEVEL {

// Work is counted in steps of about 0.2 ns. Waking a thread costs some microseconds: less work than this, about 25 us,
// stays on the caller's thread.
constexpr int64_t kLeastParallelWork = 1 << 17;

template <class Body>
void parallel_for(int64_t count, int64_t work, const Body& body) {
  if (count <= 1 || work < kLeastParallelWork) {
    for (int64_t index = 0; index < count; ++index) body(index);
    return;
  }
  const auto task = [](const void* context, int64_t index) { (*static_cast<const Body*>(context))(index); };
  run_tasks(count, task, &body);
}

}  // namespace COOPDRAW_LEVEL
}  // namespace coopdraw
