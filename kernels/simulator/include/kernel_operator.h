// What kernels include for the basic API. asc-devkit:include/kernel_operator.h
#pragma once

#include "../sim/scalar.h"
#include "../sim/tiling.h"

#include "../sim/data_copy.h"
#include "../sim/pipe.h"
#include "../sim/sync.h"
#include "../sim/tensor.h"
#if __has_include("../sim/vector.h")
#include "../sim/vector.h"
#endif
#if __has_include("../sim/cube.h")
#include "../sim/cube.h"
#endif
