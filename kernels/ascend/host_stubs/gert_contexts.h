// The part of gert and ge that generated op_host code uses, with the documented semantics: enough to run an operator's
// tiling and its inference of shapes without CANN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fe {
// What PlatformAscendC reads.
struct PlatFormInfos {
    bool is_310p = false;
    uint32_t vector_cores = 0;
    uint64_t ub_bytes = 0;
    uint64_t l1_bytes = 0;
    uint64_t l0a_bytes = 0;
    uint64_t l0b_bytes = 0;
    uint64_t l0c_bytes = 0;
    uint64_t l2_bytes = 0;
    uint32_t cube_cores = 0;
};
} // namespace fe

namespace ge {
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0;
constexpr graphStatus GRAPH_FAILED = 0xFFFFFFFF;

enum DataType { DT_FLOAT = 0, DT_FLOAT16 = 1, DT_UNDEFINED = 28 };
enum Format { FORMAT_ND = 2 };
} // namespace ge

namespace gert {
class Shape {
public:
    Shape() = default;
    explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

    size_t GetDimNum() const { return dims_.size(); }
    int64_t GetDim(size_t axis) const { return dims_.at(axis); }
    void SetDim(size_t axis, int64_t value) { dims_.at(axis) = value; }
    void SetDimNum(size_t count) { dims_.resize(count); }

    void AppendDim(int64_t value) { dims_.push_back(value); }
    int64_t GetShapeSize() const
    {
        int64_t size = 1;
        for (const int64_t dim : dims_) {
            size *= dim;
        }
        return size;
    }
    bool operator==(const Shape& other) const { return dims_ == other.dims_; }
    bool operator!=(const Shape& other) const { return dims_ != other.dims_; }

private:
    std::vector<int64_t> dims_;
};

class StorageShape {
public:
    explicit StorageShape(Shape shape) : shape_(std::move(shape)) {}
    const Shape& GetOriginShape() const { return shape_; }
    const Shape& GetStorageShape() const { return shape_; }

private:
    Shape shape_;
};

class CompileTimeTensorDesc {
public:
    explicit CompileTimeTensorDesc(ge::DataType type) : type_(type) {}
    ge::DataType GetDataType() const { return type_; }

private:
    ge::DataType type_;
};

template <typename T>
class TypedContinuousVector {
public:
    explicit TypedContinuousVector(std::vector<T> values) : values_(std::move(values)) {}
    size_t GetSize() const { return values_.size(); }
    const T* GetData() const { return values_.data(); }

private:
    std::vector<T> values_;
};

// One attribute; the members that are not of its type stay empty, so that asking for the wrong type gives nullptr.
struct AttributeValue {
    std::optional<int64_t> integer;
    std::optional<float> number;
    std::optional<bool> flag;
    std::optional<TypedContinuousVector<float>> numbers;
    std::optional<TypedContinuousVector<int64_t>> integers;
};

// Attributes in the order of the operator's definition.
class RuntimeAttrs {
public:
    std::vector<AttributeValue> values;

    const int64_t* GetInt(size_t index) const { return Pointer(index, &AttributeValue::integer); }
    const float* GetFloat(size_t index) const { return Pointer(index, &AttributeValue::number); }
    const bool* GetBool(size_t index) const { return Pointer(index, &AttributeValue::flag); }
    const TypedContinuousVector<float>* GetListFloat(size_t index) const
    {
        return Pointer(index, &AttributeValue::numbers);
    }
    const TypedContinuousVector<int64_t>* GetListInt(size_t index) const
    {
        return Pointer(index, &AttributeValue::integers);
    }

private:
    template <typename T>
    const T* Pointer(size_t index, std::optional<T> AttributeValue::*member) const
    {
        return index < values.size() && (values[index].*member) ? &*(values[index].*member) : nullptr;
    }
};

// One input or output of a call.
struct Tensor {
    StorageShape shape;
    CompileTimeTensorDesc description;
};

// What a node was called with. `inputs` has an entry for every input of the definition, empty for one left out.
struct Call {
    std::vector<std::optional<Tensor>> inputs;
    RuntimeAttrs attributes;
    fe::PlatFormInfos platform;
};

// Inputs by their place among those that were given, and optional ones by their place in the definition.
class InputContext {
public:
    explicit InputContext(Call& call) : call_(call)
    {
        for (auto& input : call.inputs) {
            if (input) {
                given_.push_back(&*input);
            }
        }
    }
    const RuntimeAttrs* GetAttrs() const { return &call_.attributes; }
    size_t GetComputeNodeInputNum() const { return given_.size(); }

protected:
    const Tensor* Given(size_t index) const { return index < given_.size() ? given_[index] : nullptr; }
    const Tensor* Defined(size_t index) const
    {
        return index < call_.inputs.size() && call_.inputs[index] ? &*call_.inputs[index] : nullptr;
    }

    Call& call_;

private:
    std::vector<const Tensor*> given_;
};

class TilingData {
public:
    void* GetData() { return bytes_.data(); }
    size_t GetCapacity() const { return bytes_.size() * sizeof(bytes_[0]); }
    size_t GetDataSize() const { return size_; }
    void SetDataSize(size_t size) { size_ = size; }

private:
    std::vector<uint64_t> bytes_ = std::vector<uint64_t>(256, 0xA5A5A5A5A5A5A5A5); // a field left unset shows
    size_t size_ = 0;
};

class TilingContext : public InputContext {
public:
    using InputContext::InputContext;

    const StorageShape* GetInputShape(size_t index) const { return ShapeOf(Given(index)); }
    const StorageShape* GetOptionalInputShape(size_t index) const { return ShapeOf(Defined(index)); }
    const CompileTimeTensorDesc* GetInputDesc(size_t index) const { return DescriptionOf(Given(index)); }
    const CompileTimeTensorDesc* GetOptionalInputDesc(size_t index) const { return DescriptionOf(Defined(index)); }
    fe::PlatFormInfos* GetPlatformInfo() const { return &call_.platform; }

    template <typename T>
    T* GetTilingData()
    {
        static_assert(std::is_trivially_copyable_v<T>, "the device gets the struct's bytes");
        if (sizeof(T) > tiling.GetCapacity()) {
            return nullptr;
        }
        tiling.SetDataSize(sizeof(T));
        return static_cast<T*>(tiling.GetData());
    }
    TilingData* GetRawTilingData() { return &tiling; }
    ge::graphStatus SetBlockDim(uint32_t cores)
    {
        block_dim = cores;
        return ge::GRAPH_SUCCESS;
    }
    ge::graphStatus SetTilingKey(uint64_t value)
    {
        key = value;
        return ge::GRAPH_SUCCESS;
    }
    ge::graphStatus SetScheduleMode(uint32_t mode)
    {
        schedule_mode = mode;
        return ge::GRAPH_SUCCESS;
    }
    size_t* GetWorkspaceSizes(size_t count)
    {
        workspaces.assign(count, 0);
        return workspaces.data();
    }

    TilingData tiling;
    uint32_t block_dim = 0;
    uint64_t key = 0;
    uint32_t schedule_mode = 0;
    std::vector<size_t> workspaces;

private:
    static const StorageShape* ShapeOf(const Tensor* tensor) { return tensor ? &tensor->shape : nullptr; }
    static const CompileTimeTensorDesc* DescriptionOf(const Tensor* tensor)
    {
        return tensor ? &tensor->description : nullptr;
    }
};

class InferShapeContext : public InputContext {
public:
    InferShapeContext(Call& call, size_t count) : InputContext(call), outputs(count) {}

    const Shape* GetInputShape(size_t index) const { return ShapeOf(Given(index)); }
    const Shape* GetOptionalInputShape(size_t index) const { return ShapeOf(Defined(index)); }
    Shape* GetOutputShape(size_t index) { return index < outputs.size() ? &outputs[index] : nullptr; }

    std::vector<Shape> outputs;

private:
    static const Shape* ShapeOf(const Tensor* tensor) { return tensor ? &tensor->shape.GetOriginShape() : nullptr; }
};

class InferDataTypeContext : public InputContext {
public:
    InferDataTypeContext(Call& call, size_t count) : InputContext(call), outputs(count, ge::DT_UNDEFINED) {}

    ge::DataType GetInputDataType(size_t index) const
    {
        const Tensor* tensor = Given(index);
        return tensor ? tensor->description.GetDataType() : ge::DT_UNDEFINED;
    }
    ge::graphStatus SetOutputDataType(size_t index, ge::DataType type)
    {
        if (index >= outputs.size()) {
            return ge::GRAPH_FAILED;
        }
        outputs[index] = type;
        return ge::GRAPH_SUCCESS;
    }

    std::vector<ge::DataType> outputs;
};
} // namespace gert
