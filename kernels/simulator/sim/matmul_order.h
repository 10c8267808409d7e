// Which core computes a Matmul, and what its reads and writes come after.
#pragma once

#include "core.h"
#include "hazard.h"
#include "matmul_tiling.h"
#include "tensor.h"

namespace coopdraw::sim {

// Everything that `pipe` of the running core has issued or comes after.
Clock order_of(Pipe pipe);

// The core whose cube unit works for the running core: its AIC, or itself on coupled and on cube cores.
Core& cube_core();

// Instructions of another core while this lives.
class CoreScope {
public:
    explicit CoreScope(Core& core) : caller_(running) { running = &core; }
    ~CoreScope() { running = caller_; }
    CoreScope(const CoreScope&) = delete;
    CoreScope& operator=(const CoreScope&) = delete;

private:
    Core* caller_;
};

// REGIST_MATMUL_OBJ: true on a cube core that serves vector cores, which does nothing else from here on.
bool serves_vector_cores(const void* workspace, int objects);

// The order of one product on the cube core. A vector core sends a message and goes on; the product starts after what
// the scalar pipe or MTE2 of the sender came after. Data that MTE3 wrote for the product therefore needs
// SetFlag/WaitFlag<HardEvent::MTE3_MTE2>, or MTE3_S, before the call, as production kernels have it
// (ops-transformer:attention/flash_attention_score/op_kernel/flash_attention_score_s1s2_bn2gs1.h). The message itself
// travels behind PipeBarrier<PIPE_MTE3> (asc-devkit:impl/basic_api/dav_c220/kfc/kfc_comm_client.h), which is no
// documented promise: only automatic synchronisation counts on it.
class MatmulOrder {
public:
    MatmulOrder();  // the message, if the cube is another core

    Core& cube() const { return *cube_; }
    Pipe out() const { return out_; }  // the pipe that takes results to global memory

    // On the cube core: order within the product.
    void begin_reads() const;
    void begin_multiply() const;
    void begin_writes() const;
    // All that the product did, for who waits for it.
    Clock finish() const;

private:
    Core* cube_;
    bool is_remote_;
    Pipe out_;
    Clock message_;
};

// The running core waits for a product of its cube core. Of its own cube unit it waits with flags.
void wait_for_product(const Clock& done);

// A Matmul object whose result is in L0C keeps the cube until End; `object` is any address that stands for it.
void hold_cube(const void* object);
void release_cube(const void* object);

// 310P: takes the room in UB that operands and results pass through, all as ND. Fails when it is too small.
void use_workspace(const AscendC::LocalTensor<uint8_t>& buffer, const TCubeTiling& tiling, const MatmulTraits& traits);

// Adds what the tiling moves beyond the operands' own bytes (read once by an Instruction) to the cube core's counters.
void count_traffic(const MatmulTraffic& traffic, uint64_t left_once, uint64_t right_once);

}  // namespace coopdraw::sim
