// Faults of one simulated kernel, and the JSON report that every run ends in.
#pragma once

#include <cstdint>
#include <string>

namespace coopdraw::sim {

// The kind of a fault, as the report names it.
enum class Kind : uint8_t {
    bounds,         // outside a tensor or an argument
    alignment,      // an address or length that the hardware does not take
    capacity,       // a memory bank that is too small
    uninitialised,  // bytes that nobody wrote
    hazard,         // two instructions of one core without the order they need
    race,           // two cores without the order they need
    queue,          // AllocTensor, EnQue, DeQue, FreeTensor in the wrong order
    event,          // a flag that is set twice, or left set
    deadlock,       // a wait that nothing ends
    argument,       // a parameter outside what the API documents
    assertion,      // an assertion of the kernel's own
    memory,         // the program itself went wrong (a pointer outside everything)
};
const char* name_of(Kind kind);

// Ends the kernel with one sentence: what, where, likely fix. The core is added by the report.
[[noreturn]] void fail(Kind kind, const char* format, ...) __attribute__((format(printf, 2, 3)));

void set_report_path(const char* path);
void add_output(const std::string& text);  // what the kernel prints
void finish();                             // writes the report of a run without fault
void write_fault(Kind kind, const char* message);  // writes the report of a fault; safe in a signal handler's last act

}  // namespace coopdraw::sim
