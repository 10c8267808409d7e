// OpDef and its registration (asc-devkit:docs/zh/api/Utils-API/原型注册与管理).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "../gert_contexts.h"

namespace ops {
enum Option { REQUIRED, OPTIONAL };

class OpParamDef {
public:
    explicit OpParamDef(std::string parameter) : name(std::move(parameter)) {}
    OpParamDef& ParamType(Option value)
    {
        option = value;
        return *this;
    }
    OpParamDef& DataType(std::vector<ge::DataType> values)
    {
        types = std::move(values);
        return *this;
    }
    OpParamDef& Format(std::vector<ge::Format> values)
    {
        formats = std::move(values);
        return *this;
    }

    std::string name;
    Option option = REQUIRED;
    std::vector<ge::DataType> types;
    std::vector<ge::Format> formats;
};

class OpAttrDef {
public:
    explicit OpAttrDef(std::string attribute) : name(std::move(attribute)) {}
    OpAttrDef& AttrType(Option value)
    {
        option = value;
        return *this;
    }
    OpAttrDef& Int() { return Typed("Int"); }
    OpAttrDef& Int(int64_t value)
    {
        default_value.integer = value;
        return Typed("Int");
    }
    OpAttrDef& Float() { return Typed("Float"); }
    OpAttrDef& Float(float value)
    {
        default_value.number = value;
        return Typed("Float");
    }
    OpAttrDef& Bool() { return Typed("Bool"); }
    OpAttrDef& Bool(bool value)
    {
        default_value.flag = value;
        return Typed("Bool");
    }
    OpAttrDef& ListFloat() { return Typed("ListFloat"); }
    OpAttrDef& ListInt() { return Typed("ListInt"); }

    std::string name;
    Option option = REQUIRED;
    std::string kind;
    gert::AttributeValue default_value;

private:
    OpAttrDef& Typed(const char* value)
    {
        kind = value;
        return *this;
    }
};

class OpAICoreDef {
public:
    OpAICoreDef& SetTiling(ge::graphStatus (*function)(gert::TilingContext*))
    {
        tiling = function;
        return *this;
    }
    OpAICoreDef& AddConfig(const char* soc)
    {
        socs.emplace_back(soc);
        return *this;
    }

    ge::graphStatus (*tiling)(gert::TilingContext*) = nullptr;
    std::vector<std::string> socs;
};

class OpDef {
public:
    explicit OpDef(const char* type) : name(type) {}
    OpParamDef& Input(const char* parameter) { return inputs.emplace_back(parameter); }
    OpParamDef& Output(const char* parameter) { return outputs.emplace_back(parameter); }
    OpAttrDef& Attr(const char* attribute) { return attributes.emplace_back(attribute); }
    OpDef& SetInferShape(ge::graphStatus (*function)(gert::InferShapeContext*))
    {
        infer_shape = function;
        return *this;
    }
    OpDef& SetInferDataType(ge::graphStatus (*function)(gert::InferDataTypeContext*))
    {
        infer_data_type = function;
        return *this;
    }
    OpAICoreDef& AICore() { return ai_core; }

    std::string name;
    std::vector<OpParamDef> inputs;
    std::vector<OpParamDef> outputs;
    std::vector<OpAttrDef> attributes;
    OpAICoreDef ai_core;
    ge::graphStatus (*infer_shape)(gert::InferShapeContext*) = nullptr;
    ge::graphStatus (*infer_data_type)(gert::InferDataTypeContext*) = nullptr;
};

// Every operator of the program, by type.
inline std::map<std::string, OpDef>& Registry()
{
    static std::map<std::string, OpDef> registry;
    return registry;
}
} // namespace ops

#define OP_ADD(op_type) static const bool op_type##_is_registered = Registry().emplace(#op_type, op_type(#op_type)).second
