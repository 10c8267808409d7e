// The cube: data movement, multiplication and results of the basic API.
#pragma once

#include "cube_fixpipe.h"
#include "cube_load.h"
#include "cube_mmad.h"
#include "cube_params.h"
