// Tiling structs by macro (asc-devkit:docs/zh/api/Utils-API/Tiling数据结构注册/TilingData结构定义.md): fields lie in the order
// of their definition, each at a multiple of its size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace optiling {
class TilingDef {
public:
    size_t GetDataSize() const { return bytes_.size(); }
    void SaveToBuffer(void* buffer, size_t capacity) const
    {
        if (bytes_.size() <= capacity) {
            std::memcpy(buffer, bytes_.data(), bytes_.size());
        }
    }

protected:
    size_t Place(size_t item_bytes, size_t count)
    {
        const size_t offset = (bytes_.size() + item_bytes - 1) / item_bytes * item_bytes;
        bytes_.resize(offset + item_bytes * count, 0xA5); // a field left unset shows
        return offset;
    }

    std::vector<uint8_t> bytes_;
};
} // namespace optiling

#define BEGIN_TILING_DATA_DEF(class_name) class class_name : public optiling::TilingDef {
#define TILING_DATA_FIELD_DEF(data_type, field_name)                                                                   \
    const size_t field_name##_offset_ = Place(sizeof(data_type), 1);                                                   \
                                                                                                                       \
public:                                                                                                                \
    void set_##field_name(data_type value) { std::memcpy(&bytes_[field_name##_offset_], &value, sizeof(value)); }      \
                                                                                                                       \
private:
#define TILING_DATA_FIELD_DEF_ARR(data_type, array_size, field_name)                                                   \
    const size_t field_name##_offset_ = Place(sizeof(data_type), array_size);                                          \
                                                                                                                       \
public:                                                                                                                \
    void set_##field_name(const data_type* values)                                                                     \
    {                                                                                                                  \
        std::memcpy(&bytes_[field_name##_offset_], values, sizeof(data_type) * (array_size));                          \
    }                                                                                                                  \
                                                                                                                       \
private:
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(op_type, class_name) static_assert(sizeof(class_name) > 0);
