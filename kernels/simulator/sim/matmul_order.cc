#include "matmul_order.h"

#include <algorithm>

#include "cores.h"

namespace coopdraw::sim {
namespace {

constexpr int MAX_OBJECTS = 4;

struct WorkspaceOrder {
    Clock last_pass;
};

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

// asc-devkit:impl/adv_api/tiling/matmul/matmul_tiling_algorithm.cpp GetTransLength, matmul_tiling.cpp (twice of it)
void use_workspace(const AscendC::LocalTensor<uint8_t>& buffer, const TCubeTiling& tiling, const MatmulTraits& traits) {
    const auto bytes = [](int32_t rows, int32_t columns, uint32_t element) {
        return uint64_t(rows) * columns * element;
    };
    const uint64_t needed = std::max({bytes(tiling.baseM, tiling.baseK, traits.left_bytes),
                                      bytes(tiling.baseN, tiling.baseK, traits.right_bytes),
                                      bytes(tiling.baseM, tiling.baseN, traits.result_bytes)});
    if (tiling.transLength < 0 || static_cast<uint64_t>(tiling.transLength) < needed) {
        fail(Kind::argument, "TCubeTiling.transLength is %d, but the largest base block takes %llu bytes of UB",
             tiling.transLength, static_cast<unsigned long long>(needed));
    }
    if (buffer.bank() == nullptr) {
        fail(Kind::argument, "Matmul has no room in UB; call SetLocalWorkspace with 2 * transLength bytes before");
    }
    if (buffer.GetLength() < 2 * static_cast<uint64_t>(tiling.transLength)) {
        fail(Kind::capacity, "Matmul's room in UB has %u bytes, but needs 2 * transLength = %lld", buffer.GetLength(),
             2LL * tiling.transLength);
    }
    // One product's pass comes after that of the product before; other users of the room see to their own order.
    Clock& last_pass = core_state<WorkspaceOrder>().last_pass;
    order_after(last_pass, Pipe::V);
    Instruction passing("Matmul", Pipe::V);
    passing.scratches(buffer.span(0, buffer.GetLength()));
    last_pass = order_of(Pipe::V);
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
