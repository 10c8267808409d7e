#include "matmul_order.h"

#include "cores.h"

namespace coopdraw::sim {
namespace {

constexpr int MAX_OBJECTS = 4;

struct CubeHolder {
    const void* object = nullptr;
    int registered = 0;
};

Counters& counters_of(Pipe pipe) { return self().counters[static_cast<int>(pipe)]; }

}  // namespace

Clock order_of(Pipe pipe) {
    const Core& core = self();
    Clock clock = core.seen[static_cast<int>(pipe)];
    clock.at(core.index, static_cast<int>(pipe)) = core.newest[static_cast<int>(pipe)];
    return clock;
}

Core& cube_core() {
    if (self().kind != CoreKind::AIV) {
        return self();
    }
    for (const auto& core : all_cores()) {
        if (core->kind == CoreKind::AIC && core->group == self().group) {
            return *core;
        }
    }
    fail(Kind::argument, "Matmul runs on a vector core that has no cube core; declare "
         "KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2) at the start of the kernel");
}

bool serves_vector_cores(const void* workspace, int objects) {
    if (self().kind == CoreKind::AIC && vectors_per_cube() > 0) {
        return true;
    }
    cube_core();
    if (self().kind == CoreKind::AIV && workspace == nullptr) {
        fail(Kind::argument, "REGIST_MATMUL_OBJ has no system workspace; pass GetSysWorkSpacePtr() and give the kernel "
             "a workspace");
    }
    int& registered = core_state<CubeHolder>().registered;
    registered += objects;
    if (registered > MAX_OBJECTS) {
        fail(Kind::argument, "the kernel has %d Matmul objects, but %d are the most", registered, MAX_OBJECTS);
    }
    return false;
}

MatmulOrder::MatmulOrder()
    : cube_(&cube_core()), is_remote_(cube_ != running), out_(__NPU_ARCH__ == 2201 ? Pipe::FIX : Pipe::MTE3) {
    if (is_remote_) {
        message_ = order_of(Pipe::S);
        message_.merge(self().seen[static_cast<int>(Pipe::MTE2)]);
        if (synchronisation == Synchronisation::automatic) {
            message_.merge(order_of(Pipe::MTE3));
        }
    }
}

void MatmulOrder::begin_reads() const {
    if (is_remote_) {
        order_after(message_, Pipe::MTE2);
    }
}

void MatmulOrder::begin_multiply() const { order_after(order_of(Pipe::MTE2), Pipe::M); }

void MatmulOrder::begin_writes() const {
    order_after(order_of(Pipe::M), out_);
    barrier(out_);
}

Clock MatmulOrder::finish() const { return order_of(out_); }

void wait_for_product(const Clock& done) {
    if (self().kind == CoreKind::AIV) {
        order_after(done, Pipe::S);
    }
}

void hold_cube(const void* object) {
    const void*& holder = core_state<CubeHolder>().object;
    if (holder != nullptr && holder != object) {
        fail(Kind::argument, "a Matmul object computes while another one still holds the cube; call End() of the other "
             "one first");
    }
    holder = object;
}

void release_cube(const void* object) {
    const void*& holder = core_state<CubeHolder>().object;
    holder = holder == object ? nullptr : holder;
}

void count_traffic(const MatmulTraffic& traffic, uint64_t left_once, uint64_t right_once) {
    const uint64_t moved = traffic.left_from_global + traffic.right_from_global;
    const uint64_t once = left_once + right_once;
    if (moved > once) {
        counters_of(Pipe::MTE2).bytes_read += moved - once;
        counters_of(Pipe::MTE2).global_bytes_read += moved - once;
    }
    counters_of(Pipe::MTE2).bytes_written += moved;
    counters_of(Pipe::MTE1).bytes_read += traffic.to_l0;
    counters_of(Pipe::MTE1).bytes_written += traffic.to_l0;
}

}  // namespace coopdraw::sim
