#include "matmul_tiling.h"

#include <algorithm>

#include "report.h"

namespace coopdraw::sim {
namespace {

constexpr uint64_t BIAS_TABLE_BYTES = 1024;

uint64_t divide(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit; }
uint64_t round_up(uint64_t value, uint64_t unit) { return divide(value, unit) * unit; }

void require_positive(const char* name, int32_t value) {
    if (value <= 0) {
        fail(Kind::argument, "TCubeTiling.%s is %d, but has to be above 0; set it on the host", name, value);
    }
}

void require_choice(const char* name, int32_t value, int32_t first, int32_t second) {
    if (value != first && value != second) {
        fail(Kind::argument, "TCubeTiling.%s is %d, but has to be %d or %d", name, value, first, second);
    }
}

void require_multiple(const char* name, int32_t value, uint32_t unit) {
    if (value % static_cast<int32_t>(unit) != 0) {
        fail(Kind::argument, "TCubeTiling.%s is %d, but fractals need a multiple of %u", name, value, unit);
    }
}

void require_room(const char* what, uint64_t bytes, const char* memory, uint64_t capacity) {
    if (bytes > capacity) {
        fail(Kind::capacity, "the tiling needs %llu bytes of %s for %s, but it has %llu; take smaller base blocks or "
             "depths", static_cast<unsigned long long>(bytes), memory, what, static_cast<unsigned long long>(capacity));
    }
}

void require_depth(const char* depth_name, int32_t depth, const char* step_names, int64_t steps) {
    if (depth != steps && depth != 2 * steps) {
        fail(Kind::argument, "TCubeTiling.%s is %d, but %s is %lld, of which it has to be once or twice as much",
             depth_name, depth, step_names, static_cast<long long>(steps));
    }
}

void check_values(const TCubeTiling& t, const MatmulTraits& traits) {
    const std::pair<const char*, int32_t> positive[] = {
        {"M", t.M}, {"N", t.N}, {"Ka", t.Ka}, {"Kb", t.Kb}, {"singleCoreM", t.singleCoreM},
        {"singleCoreN", t.singleCoreN}, {"singleCoreK", t.singleCoreK}, {"baseM", t.baseM}, {"baseN", t.baseN},
        {"baseK", t.baseK}, {"depthA1", t.depthA1}, {"depthB1", t.depthB1}, {"stepM", t.stepM}, {"stepN", t.stepN},
        {"stepKa", t.stepKa}, {"stepKb", t.stepKb}};
    for (const auto& [name, value] : positive) {
        require_positive(name, value);
    }
    require_choice("isBias", t.isBias, 0, 1);
    require_choice("iterateOrder", t.iterateOrder, 0, 1);
    require_choice("dbL0A", t.dbL0A, 1, 2);
    require_choice("dbL0B", t.dbL0B, 1, 2);
    require_choice("dbL0C", t.dbL0C, 1, 2);
    require_multiple("baseM", t.baseM, 16);
    require_multiple("baseN", t.baseN, 16);
    const bool only_right_transposed = !traits.left_may_transpose && traits.right_may_transpose;
    require_multiple("baseK", t.baseK, only_right_transposed ? 32 / traits.left_bytes : 16);
    require_depth("depthA1", t.depthA1, "stepM * stepKa", int64_t{t.stepM} * t.stepKa);
    require_depth("depthB1", t.depthB1, "stepN * stepKb", int64_t{t.stepN} * t.stepKb);
}

void check_capacities(const TCubeTiling& t, const MatmulTraits& traits) {
    const uint64_t left = uint64_t(t.baseM) * t.baseK * traits.left_bytes;
    const uint64_t right = uint64_t(t.baseN) * t.baseK * traits.right_bytes;
    require_room("baseM * baseK", left * t.dbL0A, "L0A", AscendC::TOTAL_L0A_SIZE);
    require_room("baseN * baseK", right * t.dbL0B, "L0B", AscendC::TOTAL_L0B_SIZE);
    require_room("baseM * baseN", uint64_t(t.baseM) * t.baseN * 4 * t.dbL0C, "L0C", AscendC::TOTAL_L0C_SIZE);
    const uint64_t bias = t.isBias != 0 ? uint64_t(t.baseN) * traits.bias_bytes : 0;
    if (__NPU_ARCH__ == 2201) {
        require_room("baseN of the bias", bias, "the bias table", BIAS_TABLE_BYTES);
    }
    // In L1 the axis that is not the fractals' rows is rounded up to 32 bytes when the operand is transposed (A) or is
    // not (B).
    const uint64_t left_lanes = 32 / traits.left_bytes, right_lanes = 32 / traits.right_bytes;
    const uint64_t left_rows = traits.left_may_transpose ? round_up(t.baseM, left_lanes) : t.baseM;
    const uint64_t right_columns = traits.right_may_transpose ? t.baseN : round_up(t.baseN, right_lanes);
    const uint64_t in_l1 = left_rows * t.baseK * t.depthA1 * traits.left_bytes +
                           right_columns * t.baseK * t.depthB1 * traits.right_bytes + bias;
    require_room("depthA1 and depthB1 base blocks", in_l1, "L1", AscendC::TOTAL_L1_SIZE);
}

void check_multi_data_load(const TCubeTiling& t) {
    const uint64_t left_blocks = divide(t.singleCoreK, t.baseK), right_blocks = left_blocks;
    if (left_blocks > uint64_t(t.stepKa) && t.stepM != 1) {
        fail(Kind::argument, "TCubeTiling.stepM is %d, but has to be 1 when stepKa does not cover K (MDL)", t.stepM);
    }
    if (right_blocks > uint64_t(t.stepKb) && t.stepN != 1) {
        fail(Kind::argument, "TCubeTiling.stepN is %d, but has to be 1 when stepKb does not cover K (MDL)", t.stepN);
    }
    const uint64_t left_steps = divide(left_blocks, t.stepKa), right_steps = divide(right_blocks, t.stepKb);
    if (left_steps % right_steps != 0 && right_steps % left_steps != 0) {
        fail(Kind::argument, "the steps along K of A (%llu) and B (%llu) have to be multiples of each other (MDL)",
             static_cast<unsigned long long>(left_steps), static_cast<unsigned long long>(right_steps));
    }
}

}  // namespace

void check_tiling(const TCubeTiling& tiling, const MatmulTraits& traits) {
    check_values(tiling, traits);
    check_capacities(tiling, traits);
    if (traits.multi_data_load) {
        check_multi_data_load(tiling);
    }
}

MatmulTraffic traffic_of(const TCubeTiling& t, const MatmulTraits& traits, const MatmulShape& shape) {
    const uint64_t row_blocks = divide(shape.rows, t.baseM), column_blocks = divide(shape.columns, t.baseN);
    const uint64_t depth_blocks = divide(shape.depth, t.baseK);
    const uint64_t left = uint64_t{shape.rows} * shape.depth * traits.left_bytes;
    const uint64_t right = uint64_t{shape.depth} * shape.columns * traits.right_bytes;
    // The operand of the outer loop stays in L1 while its block is worked on, if its whole depth fits there; that of
    // the inner loop is read again for every outer block, unless all of it fits.
    const bool rows_inside = t.iterateOrder == 0;
    const bool left_stays = uint64_t(t.depthA1) >= (rows_inside ? row_blocks : 1) * depth_blocks;
    const bool right_stays = uint64_t(t.depthB1) >= (rows_inside ? 1 : column_blocks) * depth_blocks;
    MatmulTraffic traffic{};
    traffic.left_from_global = left * (left_stays ? 1 : column_blocks);
    traffic.right_from_global = right * (right_stays ? 1 : row_blocks);
    traffic.to_l0 = left * column_blocks + right * row_blocks;
    traffic.multiply_adds = round_up(shape.rows, 16) * round_up(shape.columns, 16) *
                            round_up(shape.depth, 32 / traits.left_bytes);
    return traffic;
}

}  // namespace coopdraw::sim
