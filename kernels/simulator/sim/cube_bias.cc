// L1 to the bias table.
#include <cstring>

#include "cube_gemm.h"
#include "cube_load.h"

namespace coopdraw::sim {
namespace {

constexpr uint64_t UNIT = 64;    // bytes of the bias table that lengths and gaps count
constexpr uint32_t ELEMENT = 4;  // bytes of an element there

Span part(const Span& whole, uint64_t offset, uint64_t bytes) {
    return {whole.bank, whole.offset + offset, bytes, whole.limit};
}

}  // namespace

// What nobody wrote stays undefined on its way: lengths are whole units, the values behind the last bias don't count.
void copy_to_bias_table(const Span& target, const Span& source, const AscendC::DataCopyParams& params,
                        uint32_t source_element) {
    check_copy_lengths("DataCopy", params.blockCount, params.blockLen, 4095, 65535);
    const uint64_t elements = params.blockLen * UNIT / ELEMENT;
    const uint64_t source_step = elements * source_element + params.srcGap * GRANULE;
    const uint64_t target_step = (uint64_t{params.blockLen} + params.dstGap) * UNIT;
    Instruction instruction("DataCopy", copy_pipe("DataCopy", source.bank->memory, target.bank->memory));
    for (uint64_t block = 0; block < params.blockCount; ++block) {
        const Span from = part(source, block * source_step, elements * source_element);
        const Span to = part(target, block * target_step, elements * ELEMENT);
        instruction.reads_padding(from);
        instruction.writes(to, UNIT);
        for (uint64_t i = 0; i < elements; ++i) {
            const uint8_t* value = from.bank->data + from.offset + i * source_element;
            uint8_t* place = to.bank->data + to.offset + i * ELEMENT;
            if (source_element == ELEMENT) {
                std::memcpy(place, value, ELEMENT);
            } else {
                float wide = 0;
                halves_to_floats(reinterpret_cast<const uint16_t*>(value), &wide, 1);
                std::memcpy(place, &wide, ELEMENT);
            }
        }
        carry_undefined(from, source_element, to, ELEMENT);
    }
}

}  // namespace coopdraw::sim
