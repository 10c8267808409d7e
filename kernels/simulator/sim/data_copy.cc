#include "data_copy.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace coopdraw::sim {

namespace {

Span part(const Span& of, uint64_t first, uint64_t bytes) { return {of.bank, of.offset + first, bytes, of.limit}; }

uint8_t* data_of(const Span& span) { return span.bank->data + span.offset; }

template <typename T>
T combined(Combine combine, T old, T value) {
    if constexpr (std::is_same_v<T, bfloat16_t>) {
        return bfloat16_t(combined(combine, static_cast<float>(old), static_cast<float>(value)));
    } else {
        switch (combine) {
            case Combine::add: return static_cast<T>(old + value);
            case Combine::maximum: return std::max(old, value);
            case Combine::minimum: return std::min(old, value);
            default: return value;
        }
    }
}

template <typename T>
void combine_all(Combine combine, uint8_t* target, const uint8_t* source, uint64_t bytes) {
    for (uint64_t at = 0; at + sizeof(T) <= bytes; at += sizeof(T)) {
        const T value = combined(combine, load<T>(target + at), load<T>(source + at));
        std::memcpy(target + at, &value, sizeof(T));
    }
}

void combine_bytes(const Atomic& how, uint8_t* target, const uint8_t* source, uint64_t bytes) {
    switch (how.element) {
        case Element::float16: return combine_all<half>(how.combine, target, source, bytes);
        case Element::float32: return combine_all<float>(how.combine, target, source, bytes);
        case Element::bfloat16: return combine_all<bfloat16_t>(how.combine, target, source, bytes);
        case Element::int8: return combine_all<int8_t>(how.combine, target, source, bytes);
        case Element::int16: return combine_all<int16_t>(how.combine, target, source, bytes);
        case Element::int32: return combine_all<int32_t>(how.combine, target, source, bytes);
        case Element::none: return;
    }
}

void put(Instruction& instruction, const Span& target, const uint8_t* source) {
    if (target.bank == nullptr || target.bank->memory != Memory::GM) {
        instruction.writes(target);
        std::memmove(data_of(target), source, target.bytes);
    } else if (atomic().combine == Combine::replace) {
        instruction.stores(target, source);
        std::memcpy(data_of(target), source, target.bytes);
    } else {
        instruction.accumulates(target);
        combine_bytes(atomic(), data_of(target), source, target.bytes);
    }
}

Memory memory_of(const Span& span) { return span.bank == nullptr ? Memory::GM : span.bank->memory; }

bool is_local(const Span& span) { return memory_of(span) != Memory::GM; }

// Local addresses and steps are multiples of a block; a block that ends inside one is copied without its rest.
void check_local_step(const char* api, const Span& span, const Blocks& blocks, uint64_t step) {
    if (is_local(span) && blocks.count > 1 && step % GRANULE != 0) {
        fail(Kind::alignment, "%s puts blocks %llu bytes apart in %s, but they start at multiples of 32 bytes", api,
             static_cast<unsigned long long>(step), span.bank->name);
    }
}

}  // namespace

Atomic& atomic() { return core_state<Atomic>(); }

// asc-devkit:docs/zh/api/SIMD-API/基础API/数据搬运导览/概览/数据通路.md
Pipe copy_pipe(const char* api, Memory from, Memory to) {
    if (from == Memory::GM && (to == Memory::UB || to == Memory::L1)) {
        return Pipe::MTE2;
    }
    if ((from == Memory::UB || from == Memory::L1) && to == Memory::GM) {
        return Pipe::MTE3;
    }
    if (from == Memory::UB) {
        if (to == Memory::UB) {
            return Pipe::V;
        }
        if (to == Memory::L1) {
            return Pipe::MTE3;
        }
    }
    if (from == Memory::L1) {
        if (to == Memory::UB || to == Memory::BIAS) {
            return Pipe::MTE1;
        }
        if (to == Memory::FIXBUF) {
            return Pipe::FIX;
        }
    }
    fail(Kind::argument, "%s from %s to %s does not exist on this SoC; go through a memory between them", api,
         name_of(from), name_of(to));
}

void check_copy_lengths(const char* api, uint64_t count, uint64_t length, uint64_t most_count, uint64_t most_length) {
    if (count > most_count || length > most_length) {
        fail(Kind::argument, "%s copies %llu blocks of length %llu, but at most %llu of %llu fit; split the copy", api,
             static_cast<unsigned long long>(count), static_cast<unsigned long long>(length),
             static_cast<unsigned long long>(most_count), static_cast<unsigned long long>(most_length));
    }
}

// The device rounds down without a word, which no kernel wants.
uint64_t counted_bytes(const char* api, uint64_t bytes) {
    if (bytes % GRANULE != 0) {
        fail(Kind::alignment, "%s copies %llu bytes, but it moves multiples of 32; round the count up or use DataCopyPad",
             api, static_cast<unsigned long long>(bytes));
    }
    return bytes;
}

void copy_blocks(const char* api, const Span& target, const Span& source, const Blocks& blocks,
                 uint32_t element_bytes) {
    if (blocks.count == 0 || blocks.bytes == 0) {
        return;
    }
    Instruction instruction(api, copy_pipe(api, memory_of(source), memory_of(target)));
    if (blocks.bytes % element_bytes != 0) {
        fail(Kind::alignment, "%s copies blocks of %llu bytes, which is not a multiple of the element's %u; correct "
             "blockLen", api, static_cast<unsigned long long>(blocks.bytes), element_bytes);
    }
    check_local_step(api, source, blocks, blocks.source_step);
    check_local_step(api, target, blocks, blocks.target_step);
    const bool is_dense = blocks.source_step == blocks.bytes && blocks.target_step == blocks.bytes;
    const uint64_t count = is_dense ? 1 : blocks.count;
    const uint64_t bytes = is_dense ? blocks.bytes * blocks.count : blocks.bytes;
    for (uint64_t i = 0; i < count; ++i) {
        const Span from = part(source, i * blocks.source_step, bytes);
        instruction.reads(from);
        put(instruction, part(target, i * blocks.target_step, bytes), data_of(from));
    }
}

void copy_padded(const char* api, const Span& target, const Span& source, const Blocks& blocks, const Padding& padding,
                 uint32_t element_bytes) {
    if (blocks.count == 0 || blocks.bytes == 0) {
        return;
    }
    if (self().kind == CoreKind::COUPLED) {
        fail(Kind::argument, "%s does not exist on this SoC; copy a multiple of 32 bytes with DataCopy", api);
    }
    Instruction instruction(api, copy_pipe(api, memory_of(source), memory_of(target)));
    if (padding.left > GRANULE || padding.right > GRANULE) {
        fail(Kind::argument, "%s pads %llu and %llu bytes, but at most 32 fit on each side; pad less", api,
             static_cast<unsigned long long>(padding.left), static_cast<unsigned long long>(padding.right));
    }
    if (blocks.bytes % element_bytes != 0) {
        fail(Kind::alignment, "%s copies blocks of %llu bytes, which is not a multiple of the element's %u; correct "
             "blockLen", api, static_cast<unsigned long long>(blocks.bytes), element_bytes);
    }
    const uint64_t padded = (padding.left + blocks.bytes + padding.right + GRANULE - 1) / GRANULE * GRANULE;
    // Without padding the rest of a block repeats its first element; with padding but no value it is undefined.
    const bool is_random = !padding.given && (padding.left != 0 || padding.right != 0);
    for (uint64_t i = 0; i < blocks.count; ++i) {
        const Span from = part(source, i * blocks.source_step, blocks.bytes);
        const Span to = part(target, i * blocks.target_step, padded);
        instruction.reads(from);
        instruction.writes(to);
        const uint8_t* filler = padding.given ? padding.value : data_of(from);
        for (uint64_t at = 0; at < padded; ++at) {
            const bool is_data = at >= padding.left && at < padding.left + blocks.bytes;
            data_of(to)[at] = is_data ? data_of(from)[at - padding.left] : filler[at % element_bytes];
        }
        if (is_random) {
            const uint64_t behind = padding.left + blocks.bytes;
            to.bank->set_initialised(to.offset, padding.left, false);
            to.bank->set_initialised(to.offset + behind, padded - behind, false);
        }
    }
}

// asc-devkit:docs/zh/api/SIMD-API/基础API/矩阵计算（ISASI）/矩阵计算的搬入/DataCopy（GMToL1随路转换-ND2NZ搬运）.md
void copy_nd_to_nz(const Span& target, const Span& source, const AscendC::Nd2NzParams& params, uint32_t element_bytes) {
    Instruction instruction("DataCopy(Nd2NzParams)", copy_pipe("DataCopy(Nd2NzParams)", memory_of(source),
                                                               memory_of(target)));
    const uint64_t columns = GRANULE / element_bytes;  // of a block
    for (uint64_t matrix = 0; matrix < params.ndNum; ++matrix) {
        for (uint64_t row = 0; row < params.nValue; ++row) {
            const uint64_t begin =
                (matrix * params.srcNdMatrixStride + row * params.srcDValue) * static_cast<uint64_t>(element_bytes);
            const Span from = part(source, begin, params.dValue * static_cast<uint64_t>(element_bytes));
            instruction.reads(from);
            for (uint64_t column = 0; column < params.dValue; column += columns) {
                const uint64_t place = matrix * params.dstNzMatrixStride * element_bytes +
                                       column / columns * params.dstNzC0Stride * GRANULE +
                                       row * params.dstNzNStride * GRANULE;
                const Span to = part(target, place, GRANULE);
                instruction.writes(to);
                const uint64_t bytes = std::min(columns, params.dValue - column) * element_bytes;
                std::memcpy(data_of(to), data_of(from) + column * element_bytes, bytes);
                std::memset(data_of(to) + bytes, 0, GRANULE - bytes);
            }
        }
    }
}

void fill_global(const char* api, const Span& target, const uint8_t* value, uint32_t element_bytes) {
    Instruction instruction(api, Pipe::MTE3);
    std::vector<uint8_t> values(target.bytes);
    for (uint64_t at = 0; at < target.bytes; ++at) {
        values[at] = value[at % element_bytes];
    }
    instruction.stores(target, values.data());
    std::memcpy(data_of(target), values.data(), values.size());
}

}  // namespace coopdraw::sim
