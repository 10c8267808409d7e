#include "pipe.h"

namespace AscendC {

using coopdraw::sim::Core;
using coopdraw::sim::CoreKind;
using coopdraw::sim::Pipe;
using coopdraw::sim::self;

namespace {
constexpr int MATMUL_EVENTS = 3;  // M_MTE1 flags that a cube core's TPipe sets for Matmul
}

TPipe* GetTPipePtr() {
    if (self().pipe == nullptr) {
        coopdraw::sim::fail(coopdraw::sim::Kind::argument, "the kernel uses its TPipe before it made one; make it first");
    }
    return self().pipe;
}

void TPipe::Init() {
    Core& core = self();
    for (int i = 1; i < coopdraw::sim::MEMORIES; ++i) {
        auto* bank = core.banks[i].get();
        regions_[i] = {bank, 0, 0, bank == nullptr ? 0 : bank->bytes};
    }
    owner_.clear();
    events_ = {};
    core.pipe = this;
    destroyed_ = false;
    if (core.kind == CoreKind::AIC) {
        for (int i = 0; i < MATMUL_EVENTS; ++i) {
            coopdraw::sim::set_flag(Pipe::M, Pipe::MTE1, events_.allocate({Pipe::M, Pipe::MTE1}));
        }
    }
}

void TPipe::finish() {
    owner_.finish();
    if (self().kind == CoreKind::AIC) {
        for (int i = 0; i < MATMUL_EVENTS; ++i) {
            coopdraw::sim::wait_flag(Pipe::M, Pipe::MTE1, i);
        }
    }
}

void TPipe::Destroy() {
    if (destroyed_) {
        return;
    }
    destroyed_ = true;
    finish();
    coopdraw::sim::barrier_all();
}

void TPipe::Reset() {
    finish();
    Init();
}

coopdraw::sim::Region& TPipe::region(Hardware hardware) { return regions_[static_cast<int>(hardware)]; }

}  // namespace AscendC
