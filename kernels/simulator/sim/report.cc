#include "report.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "cores.h"

namespace coopdraw::sim {

namespace {

const char* report_path = nullptr;
std::string output;

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
            result += escaped;
        } else {
            result += c;
        }
    }
    return result + '"';
}

void field(std::string& json, const char* name, uint64_t value) {
    json += quoted(name) + ": " + std::to_string(value) + ", ";
}

std::string pipe_json(const Counters& counters) {
    std::string json = "{";
    field(json, "bytes_read", counters.bytes_read);
    field(json, "bytes_written", counters.bytes_written);
    field(json, "global_bytes_read", counters.global_bytes_read);
    field(json, "global_bytes_written", counters.global_bytes_written);
    field(json, "elements", counters.elements);
    field(json, "element_bytes", counters.element_bytes);
    field(json, "repeats", counters.repeats);
    field(json, "multiply_adds", counters.multiply_adds);
    field(json, "multiply_add_bytes", counters.multiply_add_bytes);
    return json + "\"instructions\": " + std::to_string(counters.instructions) + "}";
}

std::string core_json(const Core& core) {
    static const char* const kinds[] = {"vector", "cube", "coupled"};
    std::string json = "{\"kind\": " + quoted(kinds[static_cast<int>(core.kind)]) + ", ";
    field(json, "block", core.block);
    field(json, "sub_block", core.sub_block);
    field(json, "scalar_global_accesses", core.scalar_global_accesses);
    json += "\"pipes\": {";
    const char* separator = "";
    for (int pipe = 0; pipe < PIPES; ++pipe) {
        if (core.counters[pipe].instructions != 0) {
            json += separator + quoted(name_of(static_cast<Pipe>(pipe))) + ": " + pipe_json(core.counters[pipe]);
            separator = ", ";
        }
    }
    return json + "}}";
}

void write_report(const std::string& fault) {
    std::string json = "{\"fault\": " + fault + ", \"output\": " + quoted(output) + ", \"cores\": [";
    const char* separator = "";
    for (const auto& core : all_cores()) {
        json += separator + core_json(*core);
        separator = ",\n";
    }
    json += "]}\n";
    std::FILE* file = report_path == nullptr ? stdout : std::fopen(report_path, "w");
    if (file == nullptr || std::fputs(json.c_str(), file) < 0 || std::fclose(file) != 0) {
        std::fprintf(stderr, "the report cannot be written to %s\n", report_path);
        _exit(3);
    }
}

}  // namespace

const char* name_of(Kind kind) {
    static const char* const names[] = {"bounds", "alignment", "capacity", "uninitialised", "hazard",    "race",
                                        "queue",  "event",     "deadlock", "argument",      "assertion", "memory"};
    return names[static_cast<int>(kind)];
}

void set_report_path(const char* path) { report_path = path; }
void add_output(const std::string& text) { output += text; }
void finish() { write_report("null"); }

void write_fault(Kind kind, const char* message) {
    std::string fault = "{\"kind\": " + quoted(name_of(kind)) + ", \"message\": " + quoted(message);
    fault += ", \"core\": " + (running == nullptr ? "null" : std::to_string(running->index)) + "}";
    write_report(fault);
}

void fail(Kind kind, const char* format, ...) {
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    write_fault(kind, message);
    _exit(1);
}

}  // namespace coopdraw::sim
