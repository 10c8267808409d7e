// Keeps what Lite writes to standard error; its first error is shown when something fails.
#pragma once

#include <string>

#include "error.h"

namespace coopdraw {

// One per process. With GLOG_v in the environment, everything is shown as it comes.
class QuietLog {
 public:
  QuietLog();
  QuietLog(const QuietLog&) = delete;
  void operator=(const QuietLog&) = delete;

  // Writes to what was standard error.
  void say(const std::string& text) const;
  bool is_terminal() const;

  // ` (Lite: ...)` for a failure of Lite, or nothing.
  std::string first_error(const Error& failure) const;
  void forget() const;

 private:
  int terminal_;
  int log_ = -1;
};

}  // namespace coopdraw
