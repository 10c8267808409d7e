#include "scalar.h"

#include <cstdarg>
#include <cstdio>

namespace coopdraw::sim {

void print(const char* format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    add_output(text);
}

void fail_assertion(const char* expression, const char* file, int line) {
    const std::string path = file;
    const auto name = path.substr(path.find_last_of('/') + 1);
    fail(Kind::assertion, "the kernel's assertion %s in line %d of %s does not hold; check its tiling", expression, line,
         name.c_str());
}

}  // namespace coopdraw::sim
