// The macros that define tiling data in headers of the host part.
#pragma once

#include "../../sim/tiling.h"
