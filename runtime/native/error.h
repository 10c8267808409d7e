// The one exception of this library: a status for the caller and a sentence with the cause and the fix.
#pragma once

#include <stdexcept>
#include <string>

#include "coopdraw.h"

namespace coopdraw {

class Error : public std::runtime_error {
 public:
  Error(coopdraw_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  coopdraw_status status() const { return status_; }

 private:
  coopdraw_status status_;
};

[[noreturn]] inline void bad_input(const std::string& message) { throw Error(COOPDRAW_BAD_INPUT, message); }
[[noreturn]] inline void bad_bundle(const std::string& message) { throw Error(COOPDRAW_BAD_BUNDLE, message); }

}  // namespace coopdraw
