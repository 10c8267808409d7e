// The vector API. docs/simulator-vector.md lists what each function does here and what it checks.
#pragma once

#include "vector_activation.h"
#include "vector_binary.h"
#include "vector_cast.h"
#include "vector_compare.h"
#include "vector_copy.h"
#include "vector_fill.h"
#include "vector_fused.h"
#include "vector_gather.h"
#include "vector_gather_mask.h"
#include "vector_reduce_all.h"
#include "vector_reduce_repeat.h"
#include "vector_rows.h"
#include "vector_scalar.h"
#include "vector_select.h"
#include "vector_transpose.h"
#include "vector_unary.h"
