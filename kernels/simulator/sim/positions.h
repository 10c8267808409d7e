// Which memories and events the positions of a queue stand for.
// asc-devkit:impl/basic_api/kernel_event.h GetBufferLogicPos, GetBufferPos, GetQueEvt
#pragma once

#include "sync.h"

namespace coopdraw::sim {

const char* name_of(AscendC::TPosition position);

// Who fills a buffer at this position, and below, who takes it.
constexpr AscendC::TPosition producer_of(AscendC::TPosition position) {
    using enum AscendC::TPosition;
    switch (position) {
        case A1:
        case B1:
        case C1:
        case VECIN: return GM;
        case A2: return A1;
        case B2: return B1;
        case C2: return C1;
        case C2PIPE2GM: return B1;
        case SPM: return VECOUT;
        default: return position;
    }
}

constexpr AscendC::TPosition consumer_of(AscendC::TPosition position) {
    using enum AscendC::TPosition;
    switch (position) {
        case CO1: return CO2;
        case CO2:
        case VECOUT:
        case SPM: return GM;
        default: return position;
    }
}

// Where the buffers of a queue lie.
constexpr AscendC::TPosition place_of(AscendC::TPosition from, AscendC::TPosition to) {
    using enum AscendC::TPosition;
#if __NPU_ARCH__ == 2201
    return to == GM || to == CO2 ? from : to;
#else
    return to == GM || (to == CO2 && from == CO1) ? from : to;
#endif
}

// The event that hands a buffer from its producer to its consumer.
constexpr AscendC::HardEvent forward_event(AscendC::Hardware from, AscendC::Hardware to, [[maybe_unused]] bool nd2nz) {
    using enum AscendC::Hardware;
    using AscendC::HardEvent;
    if (from == GM) {
        if (to == UB) {
            return HardEvent::MTE2_V;
        }
#if __NPU_ARCH__ != 2201
        if (to == L1 && nd2nz) {
            return HardEvent::MTE3_MTE1;
        }
#endif
        return to == L1 ? HardEvent::MTE2_MTE1 : to == L0A || to == L0B ? HardEvent::MTE2_M : HardEvent::MAX;
    }
    if (from == UB) {
        return to == GM   ? HardEvent::V_MTE3
               : to == L1 ? HardEvent::MTE3_MTE1
               : to == UB ? HardEvent::MTE2_MTE3
               : to == L0C ? HardEvent::V_V
                           : HardEvent::MAX;
    }
    if (from == L1) {
        return to == UB                                ? HardEvent::MTE1_V
               : to == L0A || to == L0B || to == BIAS ? HardEvent::MTE1_M
               : to == FIXBUF                          ? HardEvent::MTE1_FIX
                                                       : HardEvent::MAX;
    }
#if __NPU_ARCH__ == 2201
    return from == L0C && to == GM ? HardEvent::M_FIX : HardEvent::MAX;
#else
    return from == L0C || from == L0A || from == L0B ? HardEvent::M_V : HardEvent::MAX;
#endif
}

}  // namespace coopdraw::sim
