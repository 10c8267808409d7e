#include "cores.h"

#include <sys/mman.h>
#include <ucontext.h>

#include "hazard.h"

namespace coopdraw::sim {

namespace {

constexpr size_t STACK_BYTES = 8U << 20;  // reserved, used as touched

struct Fiber {
    ucontext_t context{};
    uint8_t* stack = nullptr;
    bool ended = false;
    std::function<bool()> ready;  // empty: may run
    std::string waits_for;
};

const Launch* launch = nullptr;
std::vector<std::unique_ptr<Core>> cores;
std::vector<Fiber> fibers;
ucontext_t scheduler;
KernelMetaType kernel_type = KERNEL_TYPE_MAX;  // MAX: not declared
KernelMetaType wanted_type = KERNEL_TYPE_MAX;  // a core asks for this set-up

uint8_t* reserve(size_t bytes) {
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fail(Kind::memory, "%zu bytes cannot be reserved for a core; use fewer cores", bytes);
    }
    return static_cast<uint8_t*>(memory);
}

void add_bank(Core& core, Memory memory, uint64_t bytes) {
    if (bytes != 0) {
        core.banks[static_cast<int>(memory)] =
            std::make_unique<LocalBank>(memory, name_of(memory), reserve(bytes), bytes);
    }
}

void release_memory(Core& core) {
    for (auto& bank : core.banks) {
        if (bank) {
            munmap(bank->data, bank->bytes);
            bank.reset();
        }
    }
}

void add_core(CoreKind kind, int group, int block, int sub_block) {
    auto core = std::make_unique<Core>();
    core->index = static_cast<int>(cores.size());
    core->kind = kind;
    core->group = group;
    core->block = block;
    core->sub_block = sub_block;
    const Capacities& sizes = launch->capacities;
    if (kind != CoreKind::AIC) {
        add_bank(*core, Memory::UB, sizes.ub);
    }
    if (kind != CoreKind::AIV) {
        add_bank(*core, Memory::L1, sizes.l1);
        add_bank(*core, Memory::L0A, sizes.l0a);
        add_bank(*core, Memory::L0B, sizes.l0b);
        add_bank(*core, Memory::L0C, sizes.l0c);
        add_bank(*core, Memory::BIAS, sizes.bias);
        add_bank(*core, Memory::FIXBUF, sizes.fixbuf);
    }
    cores.push_back(std::move(core));
}

int vectors_of(KernelMetaType type) {
    switch (type) {
        case KERNEL_TYPE_AIC_ONLY:
        case KERNEL_TYPE_MIX_AIC_1_0: return 0;
        case KERNEL_TYPE_MIX_AIC_1_2: return 2;
        default: return 1;
    }
}

bool has_cube(KernelMetaType type) {
    return type == KERNEL_TYPE_AIC_ONLY || type == KERNEL_TYPE_MIX_AIC_1_0 || type == KERNEL_TYPE_MIX_AIC_1_1 ||
           type == KERNEL_TYPE_MIX_AIC_1_2;
}

// With cube cores a block is one AIC and its AIVs, without them it is one AIV.
void make_cores() {
    cores.clear();
    for (int block = 0; block < launch->blocks; ++block) {
        if (launch->coupled) {
            add_core(CoreKind::COUPLED, block, block, 0);
            continue;
        }
        if (has_cube(kernel_type)) {
            add_core(CoreKind::AIC, block, block, 0);
        }
        const int vectors = vectors_of(kernel_type);
        for (int sub = 0; sub < vectors; ++sub) {
            add_core(CoreKind::AIV, block, block * vectors + sub, sub);
        }
    }
    if (cores.size() > MAX_CORES) {
        fail(Kind::argument, "%zu cores are more than the %d that the simulator has; use fewer", cores.size(),
             MAX_CORES);
    }
    cores_in_run = static_cast<int>(cores.size());
}

void run_fiber() {
    const int index = running->index;
    const Entry entry = running->kind == CoreKind::AIC ? launch->cube_entry : launch->vector_entry;
    if (entry == nullptr) {
        fail(Kind::argument, "the kernel is of a type with %s cores, but was not built for them; build it for both",
             running->kind == CoreKind::AIC ? "cube" : "vector");
    }
    entry(launch->arguments);
    check_flags_at_end(*running);
    fibers[index].ended = true;
    swapcontext(&fibers[index].context, &scheduler);
}

void start_fibers() {
    for (Fiber& fiber : fibers) {
        munmap(fiber.stack, STACK_BYTES);
    }
    fibers = std::vector<Fiber>(cores.size());
    for (Fiber& fiber : fibers) {
        fiber.stack = reserve(STACK_BYTES);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber, 0);
    }
}

[[noreturn]] void fail_deadlock() {
    std::string waiting, ended;
    for (size_t i = 0; i < fibers.size(); ++i) {
        std::string& list = fibers[i].ended ? ended : waiting;
        if (list.size() < 200) {
            list += (list.empty() ? "" : ", ") + std::to_string(i) +
                    (fibers[i].ended ? "" : " (" + fibers[i].waits_for + ")");
        }
    }
    running = nullptr;
    fail(Kind::deadlock, "all cores that are left wait for ever: cores %s; cores that ended: %s; let every core that "
         "takes part reach the same synchronisation", waiting.c_str(), ended.empty() ? "none" : ended.c_str());
}

// Runs one core until it blocks or ends; true when the cores have to be set up anew.
bool resume(Fiber& fiber, Core& core) {
    fiber.ready = nullptr;
    running = &core;
    swapcontext(&scheduler, &fiber.context);
    if (wanted_type != KERNEL_TYPE_MAX) {
        return true;
    }
    if (fiber.ended) {
        release_memory(core);
    }
    return false;
}

bool run_all() {
    for (size_t left = fibers.size(); left != 0;) {
        bool progress = false;
        left = 0;
        for (size_t i = 0; i < fibers.size(); ++i) {
            if (fibers[i].ended || (fibers[i].ready && !fibers[i].ready())) {
                left += fibers[i].ended ? 0 : 1;
                continue;
            }
            if (resume(fibers[i], *cores[i])) {
                return false;
            }
            progress = true;
            left += fibers[i].ended ? 0 : 1;
        }
        if (!progress && left != 0) {
            fail_deadlock();
        }
    }
    return true;
}

}  // namespace

void run(const Launch& of) {
    launch = &of;
    kernel_type = of.vector_entry == nullptr ? KERNEL_TYPE_AIC_ONLY : KERNEL_TYPE_MAX;
    for (bool done = false; !done;) {
        make_cores();
        start_fibers();
        done = run_all();
        if (!done) {
            kernel_type = wanted_type;
            wanted_type = KERNEL_TYPE_MAX;
        }
    }
    check_cross_core_flags();
    running = nullptr;
}

const std::vector<std::unique_ptr<Core>>& all_cores() { return cores; }
uint64_t tiling_key() { return launch->tiling_key; }
int block_count() { return launch->blocks; }
int vectors_per_cube() { return has_cube(kernel_type) ? vectors_of(kernel_type) : 1; }

void set_kernel_type(KernelMetaType type) {
    const bool of_coupled_cores = type >= KERNEL_TYPE_AICORE;
    if (type == kernel_type || launch->coupled || of_coupled_cores) {
        return;
    }
    const bool same = has_cube(type) == has_cube(kernel_type) && vectors_of(type) == vectors_of(kernel_type);
    if (same) {
        kernel_type = type;
        return;
    }
    for (const auto& core : cores) {
        if (core->sequence != 0) {
            fail(Kind::argument, "the kernel declares its type after it began to work; put KERNEL_TASK_TYPE first");
        }
    }
    wanted_type = type;
    swapcontext(&fibers[running->index].context, &scheduler);
}

bool declares_vector_only() { return kernel_type == KERNEL_TYPE_AIV_ONLY || kernel_type == KERNEL_TYPE_AIC_ONLY; }

void wait_until(const std::function<bool()>& ready, const std::string& what) {
    if (ready()) {
        return;
    }
    Fiber& fiber = fibers[running->index];
    fiber.ready = ready;
    fiber.waits_for = what;
    swapcontext(&fiber.context, &scheduler);
}

}  // namespace coopdraw::sim
