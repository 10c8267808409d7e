// The Matmul high-level API, under the name that kernels include.
#pragma once

#include "kernel_operator.h"

#include "../../sim/matmul.h"

using AscendC::GetSysWorkSpacePtr;  // kernels pass it to REGIST_MATMUL_OBJ without naming the namespace
