// What the program coopdraw-run does with sessions.
#pragma once

#include <string>

#include "npz.h"
#include "quiet_log.h"
#include "session.h"

namespace coopdraw {

// Sets every input from `arrays`, runs, and returns the outputs by name. Arrays may be float64 for float32, which is
// what NumPy makes of Python's numbers. Throws Error for names and types that don't fit.
Arrays run_on(Session& session, const Arrays& arrays, const Progress& progress);

// Answers requests from standard input until it ends; see docs/embedding.md. `answers` is the descriptor to write to.
void serve(const std::string& bundle, const SessionOptions& options, int answers, const QuietLog& log);

}  // namespace coopdraw
