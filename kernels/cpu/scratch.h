// Memory that a kernel works in.
#pragma once

#include <stddef.h>

namespace coopdraw {

// At least `bytes` for the calling thread, aligned to 64; null if there are none. They hold anything, are the kernel's
// until the thread asks again, and stay with the thread: fresh pages would cost more than small operators do.
void* thread_scratch(size_t bytes);

}  // namespace coopdraw
