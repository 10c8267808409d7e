#include "hazard.h"

namespace coopdraw::sim {

namespace {

int number(Pipe pipe) { return static_cast<int>(pipe); }

}  // namespace

void barrier(Pipe pipe) {
    Core& core = self();
    core.seen[number(pipe)].at(core.index, number(pipe)) = core.newest[number(pipe)];
}

void barrier_all() {
    Core& core = self();
    Clock all;
    for (int pipe = 0; pipe < PIPES; ++pipe) {
        all.merge(core.seen[pipe]);
        all.at(core.index, pipe) = core.newest[pipe];
    }
    core.seen.fill(all);
}

void set_flag(Pipe from, Pipe to, int id) {
    Core& core = self();
    if (id < 0 || id >= EVENT_IDS) {
        fail(Kind::event, "SetFlag<%s_%s> has event %d, but there are events 0 to 7; use AllocEventID or FetchEventID",
             name_of(from), name_of(to), id);
    }
    bool& is_set = core.is_set[number(from)][number(to)][id];
    if (is_set) {
        fail(Kind::event, "SetFlag<%s_%s>(%d) sets a flag that is set already; wait for it first or use another event",
             name_of(from), name_of(to), id);
    }
    is_set = true;
    auto& flag = core.flags[number(from)][number(to)][id];
    if (!flag) {
        flag = std::make_unique<Clock>();
    }
    *flag = core.seen[number(from)];
    flag->at(core.index, number(from)) = core.newest[number(from)];
}

void wait_flag(Pipe from, Pipe to, int id) {
    Core& core = self();
    if (id < 0 || id >= EVENT_IDS) {
        fail(Kind::event, "WaitFlag<%s_%s> has event %d, but there are events 0 to 7; use the event of the SetFlag",
             name_of(from), name_of(to), id);
    }
    bool& is_set = core.is_set[number(from)][number(to)][id];
    if (!is_set) {
        fail(Kind::deadlock, "WaitFlag<%s_%s>(%d) waits for ever, because nothing set that flag; put SetFlag before it",
             name_of(from), name_of(to), id);
    }
    is_set = false;
    order_after(*core.flags[number(from)][number(to)][id], to);
}

void order_after(const Clock& clock, Pipe pipe) {
    Core& core = self();
    if (pipe != Pipe::S) {
        core.seen[number(pipe)].merge(clock);
        return;
    }
    for (Clock& seen : core.seen) {
        seen.merge(clock);
    }
}

void check_flags_at_end(const Core& core) {
    for (int from = 0; from < PIPES; ++from) {
        for (int to = 0; to < PIPES; ++to) {
            for (int id = 0; id < EVENT_IDS; ++id) {
                if (core.is_set[from][to][id]) {
                    fail(Kind::event,
                         "the kernel ends with flag %s_%s(%d) still set, which disturbs the next kernel; wait for it",
                         name_of(static_cast<Pipe>(from)), name_of(static_cast<Pipe>(to)), id);
                }
            }
        }
    }
}

}  // namespace coopdraw::sim
