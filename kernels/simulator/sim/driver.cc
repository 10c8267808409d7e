// The program that runs kernels: `simulator JOB`. The job is a text file, one word and its values a line.

#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cores.h"
#include "global_memory.h"
#include "hazard.h"
#include "tiling.h"

namespace {

using namespace coopdraw::sim;

struct Output {
    const Bank* bank;
    std::string path;
    bool may_be_partial;
};

struct Job {
    Launch launch;
    std::vector<uint8_t*> arguments;
    std::vector<Output> outputs;
};

Bank* workspace = nullptr;
Bank* tiling = nullptr;

Entry load_entry(const std::string& path) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* entry = library == nullptr ? nullptr : dlsym(library, "coopdraw_kernel");
    if (entry == nullptr) {
        fail(Kind::memory, "the kernel cannot be loaded (%s); build it again", dlerror());
    }
    return reinterpret_cast<Entry>(entry);
}

// "input BYTES FILE", "output BYTES FILE partial|whole", "in_place BYTES FILE FILE", "null"
void read_argument(Job& job, std::istringstream& line) {
    std::string kind, path, extra;
    uint64_t bytes = 0;
    line >> kind >> bytes >> path >> extra;
    if (kind == "null") {
        job.arguments.push_back(nullptr);
        return;
    }
    const std::string name = "argument " + std::to_string(job.arguments.size());
    Bank& bank = add_argument(name, bytes, kind != "output");
    if (kind != "output") {
        fill_from_file(bank, path.c_str());
    }
    if (kind == "in_place") {
        job.outputs.push_back({&bank, extra, false});
    } else if (kind == "output") {
        job.outputs.push_back({&bank, path, extra == "partial"});
    }
    job.arguments.push_back(bank.data);
}

void read_line(Job& job, const std::string& text) {
    std::istringstream line(text);
    std::string word, value;
    line >> word;
    if (word == "argument") {
        return read_argument(job, line);
    }
    if (word == "capacity") {
        Capacities& sizes = job.launch.capacities;
        line >> sizes.ub >> sizes.l1 >> sizes.l0a >> sizes.l0b >> sizes.l0c >> sizes.bias >> sizes.fixbuf;
        return;
    }
    line >> value;
    if (word == "vector_entry") {
        job.launch.vector_entry = load_entry(value);
    } else if (word == "cube_entry") {
        job.launch.cube_entry = load_entry(value);
    } else if (word == "blocks") {
        job.launch.blocks = std::stoi(value);
    } else if (word == "coupled") {
        job.launch.coupled = value == "1";
    } else if (word == "synchronisation") {
        synchronisation = value == "strict" ? Synchronisation::strict : Synchronisation::automatic;
    } else if (word == "tiling_key") {
        job.launch.tiling_key = std::stoull(value);
    } else if (word == "workspace") {
        std::string zeroed;
        line >> zeroed;
        workspace = &add_argument("the workspace", std::stoull(value), zeroed == "zeroed");
    } else if (word == "tiling") {
        uint64_t bytes = 0;
        line >> bytes;
        tiling = &add_argument("the tiling data", bytes, true);
        fill_from_file(*tiling, value.c_str());
    } else {
        fail(Kind::memory, "the job has the unknown word %s", word.c_str());
    }
}

void check_written(const Output& output) {
    const uint64_t at = output.bank->first_uninitialised(0, output.bank->bytes);
    if (!output.may_be_partial && at != output.bank->bytes) {
        fail(Kind::uninitialised, "the kernel ended without writing byte %llu of the %llu of %s; cover all of the output",
             static_cast<unsigned long long>(at), static_cast<unsigned long long>(output.bank->bytes),
             output.bank->name);
    }
}

void on_signal(int signal) {
    write_fault(Kind::memory, signal == SIGFPE
                                  ? "the kernel divides an integer by zero; check its tiling"
                                  : "the kernel uses a pointer outside its arguments; check offsets and tiling");
    _exit(1);
}

void catch_signals() {
    static uint8_t stack[1 << 16];
    stack_t alternative{};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof(stack);
    sigaltstack(&alternative, nullptr);
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) {
        sigaction(signal, &action, nullptr);
    }
}

}  // namespace

namespace coopdraw::sim {

const uint8_t* tiling_bytes(const void* address, uint64_t bytes) {
    const Bank* bank = bank_at(address);
    const auto* from = static_cast<const uint8_t*>(address);
    if (bank == nullptr || from < bank->data || from + bytes > bank->data + bank->bytes) {
        fail(Kind::bounds, "the kernel reads %llu bytes of tiling data, but it was given %llu; give it the bytes of its "
             "tiling struct", static_cast<unsigned long long>(bytes),
             static_cast<unsigned long long>(tiling == nullptr ? 0 : tiling->bytes));
    }
    return from;
}

}  // namespace coopdraw::sim

GM_ADDR AscendC::GetSysWorkSpacePtr() { return workspace == nullptr ? nullptr : workspace->data; }

int main(int count, char** words) {
    if (count != 3) {
        std::fputs("usage: simulator JOB REPORT\n", stderr);
        return 2;
    }
    set_report_path(words[2]);
    catch_signals();
    Job job;
    std::ifstream file(words[1]);
    for (std::string line; std::getline(file, line);) {
        read_line(job, line);
    }
    job.arguments.push_back(workspace == nullptr ? nullptr : workspace->data);
    job.arguments.push_back(tiling == nullptr ? nullptr : tiling->data);
    job.launch.arguments = job.arguments.data();
    run(job.launch);
    for (const Output& output : job.outputs) {
        check_written(output);
        save_to_file(*output.bank, output.path.c_str());
    }
    finish();
    std::fflush(stdout);
    _exit(0);
}
