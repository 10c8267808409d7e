// Element-wise loops over contiguous runs that the compiler vectorises, and the instruction around them.
#pragma once

#include "vector_lanes.h"

namespace coopdraw::sim {

// Whole runs between float and half (round to nearest even) or bfloat16. vector_convert.cc
void widen(const half* from, float* to, size_t elements);
void narrow(const float* from, half* to, size_t elements);

// The type an operation computes in: half has no arithmetic of its own on the host, and float is wide enough that one
// rounding of a sum, product, quotient or root of halves gives the correctly rounded half.
template <typename T>
using Computed = std::conditional_t<std::is_same_v<T, half>, float, T>;

constexpr size_t CHUNK = 256;

template <typename T>
struct Chunk {
    alignas(64) Computed<T> values[CHUNK];
};

template <typename T>
const Computed<T>* loaded(const T* from, [[maybe_unused]] Chunk<T>& buffer, [[maybe_unused]] size_t elements) {
    if constexpr (std::is_same_v<T, half>) {
        widen(from, buffer.values, elements);
        return buffer.values;
    } else {
        return from;
    }
}

// out[i] = operation(sources[i]...) for a run. The operation takes and returns Computed values; a half result is
// rounded to half once. Source and destination may be the same run.
template <typename Operation, typename D, typename... S>
void map(size_t elements, Operation operation, D* out, const S*... sources) {
    if constexpr (!(std::is_same_v<D, half> || ... || std::is_same_v<S, half>)) {
#pragma GCC ivdep
        for (size_t i = 0; i < elements; ++i) {
            out[i] = static_cast<D>(operation(sources[i]...));
        }
    } else {
        std::tuple<Chunk<S>...> buffers;
        Chunk<D> results;
        for (size_t start = 0; start < elements; start += CHUNK) {
            const size_t count = std::min(CHUNK, elements - start);
            std::apply(
                [&](Chunk<S>&... buffer) {
                    auto compute = [&](Computed<D>* to, const Computed<S>*... from) {
#pragma GCC ivdep
                        for (size_t i = 0; i < count; ++i) {
                            to[i] = static_cast<Computed<D>>(operation(from[i]...));
                        }
                    };
                    if constexpr (std::is_same_v<D, half>) {
                        compute(results.values, loaded(sources + start, buffer, count)...);
                        narrow(results.values, out + start, count);
                    } else {
                        compute(out + start, loaded(sources + start, buffer, count)...);
                    }
                },
                buffers);
        }
    }
}

// One vector instruction out = operation(sources...) over the lanes. `out_is_source` for the operations that also read
// their destination: the operation's last argument is then the old destination. `last_rule` is for the last source.
template <bool out_is_source, typename Operation, typename D, typename... S>
void elementwise(const char* api, const Lanes& lanes, Overlap last_rule, Operation operation, const Operand<D>& out,
                 const Operand<S>&... sources) {
    if (lanes.empty()) {
        return;  // documented as no operation for count, mask or repeatTime of 0
    }
    size_t left = sizeof...(S);
    (check_overlap(api, lanes, out.walk, sources.walk, --left == 0 ? last_rule : Overlap::same_or_apart), ...);
    Instruction instruction(api, Pipe::V);
    const auto undefined = [&] {
        if constexpr (out_is_source) {
            return UndefinedResults(instruction, lanes, out.walk, {sources.walk..., out.walk});
        } else {
            return UndefinedResults(instruction, lanes, out.walk, {sources.walk...});
        }
    }();
    write_operand(instruction, lanes, out.walk);
    undefined.mark(instruction);
    instruction.counts_vector(lanes.active(), std::max({sizeof(D), sizeof(S)...}), lanes.repeats);
    const auto run = [&]<size_t... I>(std::index_sequence<I...>) {
        for_each_run(lanes, std::array{out.walk, sources.walk...}, [&](size_t elements, const auto& offsets) {
            D* to = out.at(offsets[0]);
            if constexpr (out_is_source) {
                map(elements, operation, to, static_cast<const S*>(sources.at(offsets[I + 1]))...,
                    static_cast<const D*>(to));
            } else {
                map(elements, operation, to, static_cast<const S*>(sources.at(offsets[I + 1]))...);
            }
        });
    };
    run(std::index_sequence_for<S...>{});
}

// The SoC that this kernel is built for documents one of these element types for the API.
template <typename T, typename... Supported>
constexpr bool one_of = (std::is_same_v<T, Supported> || ...);

}  // namespace coopdraw::sim
