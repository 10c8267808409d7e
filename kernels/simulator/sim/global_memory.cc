#include "global_memory.h"

#include <sys/mman.h>

#include <cstdio>

#include "report.h"
#include "tensor.h"

namespace coopdraw::sim {

namespace {

constexpr uint64_t GUARD = uint64_t{1} << 30;  // address space before and behind each argument that nobody may touch
constexpr uint64_t PAGE = 4096;

struct Argument {
    std::string name;
    std::unique_ptr<GlobalBank> bank;
};

std::vector<std::unique_ptr<Argument>>& arguments() {
    static std::vector<std::unique_ptr<Argument>> all;
    return all;
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_file(const char* path, const char* mode) {
    File file(std::fopen(path, mode), std::fclose);
    if (!file) {
        fail(Kind::memory, "the file %s of an argument cannot be opened", path);
    }
    return file;
}

}  // namespace

Bank& add_argument(const std::string& name, uint64_t bytes, bool initialised) {
    const uint64_t usable = (bytes + PAGE - 1) / PAGE * PAGE;
    void* reserved = mmap(nullptr, usable + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    auto* data = static_cast<uint8_t*>(reserved) + GUARD;
    if (reserved == MAP_FAILED || (usable != 0 && mprotect(data, usable, PROT_READ | PROT_WRITE) != 0)) {
        fail(Kind::memory, "%llu bytes for %s cannot be reserved", static_cast<unsigned long long>(bytes), name.c_str());
    }
    auto& added = arguments().emplace_back(std::make_unique<Argument>());
    added->name = name;
    added->bank = std::make_unique<GlobalBank>(added->name.c_str(), data, bytes, initialised);
    return *added->bank;
}

Bank* bank_at(const void* pointer) {
    const auto* address = static_cast<const uint8_t*>(pointer);
    for (const auto& argument : arguments()) {
        const Bank& bank = *argument->bank;
        if (address >= bank.data - GUARD && address < bank.data + bank.bytes + GUARD) {
            return argument->bank.get();
        }
    }
    return nullptr;
}

void fill_from_file(Bank& bank, const char* path) {
    const File file = open_file(path, "rb");
    if (std::fread(bank.data, 1, bank.bytes, file.get()) != bank.bytes || std::fgetc(file.get()) != EOF) {
        fail(Kind::memory, "the file %s does not have the %llu bytes of %s", path,
             static_cast<unsigned long long>(bank.bytes), bank.name);
    }
}

void save_to_file(const Bank& bank, const char* path) {
    const File file = open_file(path, "wb");
    if (std::fwrite(bank.data, 1, bank.bytes, file.get()) != bank.bytes) {
        fail(Kind::memory, "the file %s of an argument cannot be written", path);
    }
}

}  // namespace coopdraw::sim
