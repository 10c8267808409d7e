#include "cube_mmad.h"

#include "core.h"
#include "matmul_order.h"

namespace coopdraw::sim {
void unit_flag_waits(uint8_t unit_flag, Pipe pipe) {
    if (unit_flag == 0) {
        return;
    }
    if (unit_flag != 2 && unit_flag != 3) {
        fail(Kind::argument, "unitFlag is %d, but has to be 0, 2 or 3", unit_flag);
    }
    const auto& flags = core_state<UnitFlags>();
    self().seen[static_cast<int>(pipe)].merge(pipe == Pipe::M ? flags.empty : flags.full);
    if (pipe == Pipe::M) {
        barrier(Pipe::M);
    }
}

void unit_flag_sets(uint8_t unit_flag, Pipe pipe) {
    if (unit_flag == 3) {
        auto& flags = core_state<UnitFlags>();
        (pipe == Pipe::M ? flags.full : flags.empty) = order_of(pipe);
    }
}

}  // namespace coopdraw::sim
