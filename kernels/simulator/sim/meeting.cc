// Synchronisation between cores.
#include <deque>
#include <map>
#include <tuple>

#include "cores.h"
#include "hazard.h"

namespace coopdraw::sim {

namespace {

// Cores that meet: how many arrived in this round, and what all of them had done.
struct Meeting {
    int arrived = 0;
    uint64_t round = 0;
    Clock before, after;
};

std::map<std::pair<bool, int>, Meeting> meetings;
std::map<std::tuple<int, int, int, int>, std::deque<Clock>> pending;  // mode, group, flag, core
std::map<std::pair<int, int>, std::deque<Clock>> delivered;           // core, flag
std::map<std::tuple<const void*, int, int>, Clock> block_flags;

bool takes_part(const Core& core, bool with_cubes) { return with_cubes || core.kind != CoreKind::AIC; }

// The cores that a set flag waits for, and those that it is delivered to.
// asc-devkit:docs/zh/api/SIMD-API/基础API/同步控制/核间同步/CrossCoreSetFlag(ISASI).md
struct Parties {
    std::vector<int> from, to;
};

Parties parties_of(int mode, const Core& setter) {
    Parties parties;
    for (const auto& core : all_cores()) {
        const bool same_kind = core->kind == setter.kind, same_group = core->group == setter.group;
        const bool from = same_kind && (mode == 0 || same_group);
        const bool to = mode == 2 ? !same_kind && same_group : from;
        if (from) {
            parties.from.push_back(core->index);
        }
        if (to) {
            parties.to.push_back(core->index);
        }
    }
    return parties;
}

}  // namespace

void check_cross_core_flags() {
    for (const auto& [key, clocks] : delivered) {
        if (!clocks.empty()) {
            running = all_cores()[key.first].get();
            fail(Kind::event, "the kernel ends with cross-core flag %d set on core %d, which disturbs the next kernel; "
                 "wait for it", key.second, key.first);
        }
    }
}

void synchronise_all(const char* api, bool with_cubes, int used_cores) {
    barrier_all();
    int participants = 0;
    for (const auto& core : all_cores()) {
        participants += takes_part(*core, with_cubes) ? 1 : 0;
    }
    if (used_cores > participants) {
        fail(Kind::argument, "%s waits for %d cores, but the kernel runs on %d; give at most these", api, used_cores,
             participants);
    }
    participants = used_cores == 0 ? participants : used_cores;
    Meeting& meeting = meetings[{with_cubes, used_cores}];
    meeting.before.merge(self().seen[0]);
    const uint64_t round = meeting.round;
    if (++meeting.arrived == participants) {
        meeting.after = meeting.before;
        meeting.arrived = 0;
        ++meeting.round;
    }
    wait_until([&meeting, round] { return meeting.round != round; },
               std::string(api) + " of " + std::to_string(participants) + " cores");
    order_after(meeting.after, Pipe::S);
}

void cross_core_set(int mode, Pipe pipe, int flag) {
    Core& core = self();
    Clock clock = core.seen[static_cast<int>(pipe)];
    clock.at(core.index, static_cast<int>(pipe)) = core.newest[static_cast<int>(pipe)];
    const Parties parties = parties_of(mode, core);
    const int group = mode == 0 ? 0 : core.group;
    pending[{mode, group, flag, core.index}].push_back(clock);
    for (const int from : parties.from) {
        if (pending[{mode, group, flag, from}].empty()) {
            return;
        }
    }
    Clock together;
    for (const int from : parties.from) {
        auto& clocks = pending[{mode, group, flag, from}];
        together.merge(clocks.front());
        clocks.pop_front();
    }
    for (const int to : parties.to) {
        delivered[{to, flag}].push_back(together);
    }
}

void cross_core_wait(int flag) {
    auto& clocks = delivered[{self().index, flag}];
    wait_until([&clocks] { return !clocks.empty(); }, "CrossCoreWaitFlag(" + std::to_string(flag) + ")");
    order_after(clocks.front(), Pipe::S);
    clocks.pop_front();
}

void block_set(const void* workspace, int block, int event) {
    barrier_all();
    const auto key = std::make_tuple(workspace, block, event);
    wait_until([key] { return !block_flags.contains(key); }, "IBSet of a flag that is still set");
    block_flags[key] = self().seen[0];
}

void block_wait(const void* workspace, int block, int event) {
    barrier_all();
    const auto key = std::make_tuple(workspace, block, event);
    wait_until([key] { return block_flags.contains(key); }, "IBWait for core " + std::to_string(block));
    order_after(block_flags[key], Pipe::S);
    block_flags.erase(key);
}

}  // namespace coopdraw::sim
