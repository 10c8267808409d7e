// Memory banks of the device and the shadow that says, for every range, who wrote and read it last.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace coopdraw::sim {

enum class Pipe : uint8_t { S, V, M, MTE1, MTE2, MTE3, FIX };
constexpr int PIPES = 7;
const char* name_of(Pipe pipe);

enum class Memory : uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF };
constexpr int MEMORIES = 8;
const char* name_of(Memory memory);

constexpr uint64_t GRANULE = 32;  // bytes: the block of UB and of DataCopy

struct Access;  // hazard.h

// One local memory of one core, or one argument in global memory. `data` is what kernels compute on.
class Bank {
public:
    Bank(Memory memory, const char* name, uint8_t* data, uint64_t bytes, bool initialised);
    virtual ~Bank() = default;
    Bank(const Bank&) = delete;
    Bank& operator=(const Bank&) = delete;

    const Memory memory;
    const char* const name;  // "UB", "argument 2"
    uint8_t* const data;
    const uint64_t bytes;

    void set_initialised(uint64_t offset, uint64_t length, bool value);
    uint64_t first_uninitialised(uint64_t offset, uint64_t length) const;  // offset + length when there is none

    // Check that the access is ordered after what it depends on, and remember it. The range is inside the bank.
    virtual void read(const Access& access, uint64_t offset, uint64_t length) = 0;
    virtual void write(const Access& access, uint64_t offset, uint64_t length, const uint8_t* values) = 0;

private:
    std::vector<uint32_t> initialised_;  // one bit a byte, one word a granule; empty when all of it is initialised
};

// A memory of one core. Per granule and pipe the newest read and write; granules of which only a part was touched
// are kept byte by byte beside that, and looked at when the granule as a whole seems to be in conflict.
class LocalBank : public Bank {
public:
    LocalBank(Memory memory, const char* name, uint8_t* data, uint64_t bytes);
    void read(const Access& access, uint64_t offset, uint64_t length) override;
    void write(const Access& access, uint64_t offset, uint64_t length, const uint8_t* values) override;

private:
    using Marks = std::array<std::vector<uint32_t>, PIPES>;  // newest sequence number per granule
    struct Fine {
        std::array<std::array<uint32_t, GRANULE>, PIPES> written{}, read{};
    };

    void check(const Access& access, uint64_t offset, uint64_t length, bool against_reads);
    void check_granule(const Access& access, uint64_t granule, uint64_t offset, uint64_t length, int pipe,
                       bool against_reads);
    void mark(const Access& access, uint64_t offset, uint64_t length, bool is_write);
    void mark_part(const Access& access, uint64_t granule, uint64_t first, uint64_t last, bool is_write);
    void mark_whole(const Access& access, uint64_t first, uint64_t last, bool is_write);
    Fine& split(uint64_t granule);

    Marks written_, read_;
    std::unordered_map<uint64_t, Fine> fine_;
    std::vector<uint64_t> is_fine_;  // one bit a granule
};

// Who touched a piece of global memory, packed: sequence number, pipe, core, atomic or not; 0 is nobody.
using Stamp = uint64_t;

// One argument in global memory, shared by the cores.
class GlobalBank : public Bank {
public:
    GlobalBank(const char* name, uint8_t* data, uint64_t bytes, bool initialised);
    void read(const Access& access, uint64_t offset, uint64_t length) override;
    void write(const Access& access, uint64_t offset, uint64_t length, const uint8_t* values) override;

private:
    // Newest writer; a second one when both are atomic; two readers since the last write.
    struct History {
        Stamp writers[2] = {}, readers[2] = {};
    };
    using Fine = std::array<History, GRANULE>;

    template <typename Visit>
    void visit(uint64_t offset, uint64_t length, bool merge, Visit&& each);

    std::vector<History> history_;
    std::unordered_map<uint64_t, Fine> fine_;
    std::vector<bool> is_fine_;
};

// A byte range of a bank. Not checked when it is made; an Instruction checks it.
struct Span {
    Bank* bank;
    uint64_t offset;  // in bytes, from the start of the bank
    uint64_t bytes;
    uint64_t limit;  // end of the tensor that the range belongs to, in bytes from the start of the bank
};

}  // namespace coopdraw::sim
