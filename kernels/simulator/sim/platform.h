// The keywords of the device compiler and the macros that say which device a kernel is built for.
#pragma once

#include <cstddef>
#include <cstdint>

// The build defines __NPU_ARCH__ (2201 or 2002) and __CCE_AICORE__ (220 or 200) for the SoC.
#if !defined(__NPU_ARCH__) || !defined(__CCE_AICORE__)
#error "build this kernel with coopdraw.kernels.simulator.build, which defines __NPU_ARCH__ and __CCE_AICORE__"
#endif

#define __aicore__
#define __global__
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__
#define __inout_pipe__(pipe)
#define __sync_alias__
#define __sync_noalias__
#define __sync_in__
#define __sync_out__
#define __force_inline__ inline __attribute__((always_inline))
#ifndef __inline__
#define __inline__ inline
#endif

#define GM_ADDR __gm__ uint8_t*
#define UB_ADDR __ubuf__ uint8_t*

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#endif
#ifndef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
