// Runs TilingFunc, InferShape and InferDataType of the operators it is built with, for calls from standard input.
//
// A call is a line of words:
//   TYPE IS_310P VECTOR_CORES CUBE_CORES UB L1 L0A L0B L0C L2 input... / attribute...
// with a word for every input of the definition, `-` or DTYPE:DIM,DIM,..., and one for every attribute, `-` for its default:
// integers, floats and lists VALUE,VALUE,... The answer is a line:
//   STATUS CORES KEY SCHEDULE_MODE WORKSPACE LIBRARY_WORKSPACE TILING_HEX DTYPE:DIM,... ...
// or `failed` when tiling refuses, or `invalid` and why when the call doesn't fit the definition.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "register/op_def_registry.h"
#include "tiling/platform/platform_ascendc.h"

namespace {
const std::map<std::string, ge::DataType> DATA_TYPES = {{"float16", ge::DT_FLOAT16}, {"float32", ge::DT_FLOAT}};

template <typename T>
std::vector<T> Numbers(const std::string& text)
{
    std::vector<T> numbers;
    std::istringstream words(text);
    std::string word;
    while (std::getline(words, word, ',')) {
        char* end = nullptr;
        if constexpr (std::is_floating_point_v<T>) {
            numbers.push_back(std::strtof(word.c_str(), &end));
        } else {
            numbers.push_back(std::strtoll(word.c_str(), &end, 10));
        }
        if (word.empty() || *end != '\0') {
            throw std::invalid_argument("no number: " + word);
        }
    }
    return numbers;
}

gert::Tensor ReadTensor(const std::string& word, const ops::OpParamDef& definition)
{
    const size_t colon = word.find(':');
    const auto type = DATA_TYPES.find(word.substr(0, colon));
    if (colon == std::string::npos || type == DATA_TYPES.end()) {
        throw std::invalid_argument("no tensor: " + word);
    }
    bool defined = false;
    for (const ge::DataType candidate : definition.types) {
        defined = defined || candidate == type->second;
    }
    if (!defined || definition.types.size() != definition.formats.size()) {
        throw std::invalid_argument(definition.name + " is not defined for " + type->first);
    }
    return {gert::StorageShape(gert::Shape(Numbers<int64_t>(word.substr(colon + 1)))),
            gert::CompileTimeTensorDesc(type->second)};
}

gert::AttributeValue ReadAttribute(const std::string& word, const ops::OpAttrDef& definition)
{
    if (word == "-") {
        if (definition.option == ops::REQUIRED) {
            throw std::invalid_argument("attribute " + definition.name + " is required");
        }
        return definition.default_value;
    }
    gert::AttributeValue value;
    if (definition.kind == "Int") {
        value.integer = Numbers<int64_t>(word).at(0);
    } else if (definition.kind == "Float") {
        value.number = Numbers<float>(word).at(0);
    } else if (definition.kind == "Bool") {
        value.flag = Numbers<int64_t>(word).at(0) != 0;
    } else if (definition.kind == "ListFloat") {
        value.numbers.emplace(Numbers<float>(word));
    } else if (definition.kind == "ListInt") {
        value.integers.emplace(Numbers<int64_t>(word));
    } else {
        throw std::invalid_argument("attribute " + definition.name + " has no type");
    }
    return value;
}

gert::Call ReadCall(std::istringstream& words, const ops::OpDef& definition)
{
    gert::Call call;
    fe::PlatFormInfos& platform = call.platform;
    words >> platform.is_310p >> platform.vector_cores >> platform.cube_cores >> platform.ub_bytes >>
        platform.l1_bytes >> platform.l0a_bytes >> platform.l0b_bytes >> platform.l0c_bytes >> platform.l2_bytes;
    std::string word;
    for (const ops::OpParamDef& input : definition.inputs) {
        if (!(words >> word) || word == "/" || (word == "-" && input.option == ops::REQUIRED)) {
            throw std::invalid_argument("input " + input.name + " is required");
        }
        call.inputs.push_back(word == "-" ? std::nullopt : std::optional(ReadTensor(word, input)));
    }
    if (!(words >> word) || word != "/") {
        throw std::invalid_argument("there are more inputs than the definition has");
    }
    for (const ops::OpAttrDef& attribute : definition.attributes) {
        call.attributes.values.push_back(ReadAttribute(words >> word ? word : "-", attribute));
    }
    if (words >> word) {
        throw std::invalid_argument("there are more attributes than the definition has");
    }
    return call;
}

void PrintOutputs(gert::Call& call, const ops::OpDef& definition)
{
    gert::InferShapeContext shapes(call, definition.outputs.size());
    gert::InferDataTypeContext types(call, definition.outputs.size());
    if (definition.infer_shape(&shapes) != ge::GRAPH_SUCCESS ||
        definition.infer_data_type(&types) != ge::GRAPH_SUCCESS) {
        throw std::invalid_argument("inference of shapes failed");
    }
    for (size_t output = 0; output < definition.outputs.size(); ++output) {
        for (const auto& [name, type] : DATA_TYPES) {
            if (type == types.outputs[output]) {
                std::printf(" %s:", name.c_str());
            }
        }
        for (size_t axis = 0; axis < shapes.outputs[output].GetDimNum(); ++axis) {
            std::printf(axis == 0 ? "%ld" : ",%ld", static_cast<long>(shapes.outputs[output].GetDim(axis)));
        }
    }
}

void Run(std::istringstream& words, const ops::OpDef& definition)
{
    gert::Call call = ReadCall(words, definition);
    gert::TilingContext context(call);
    if (definition.ai_core.tiling(&context) != ge::GRAPH_SUCCESS) {
        std::puts("failed");
        return;
    }
    const uint32_t library = platform_ascendc::PlatformAscendC(&call.platform).GetLibApiWorkSpaceSize();
    std::printf("ok %u %lu %u %zu %u ", context.block_dim, static_cast<unsigned long>(context.key),
                context.schedule_mode, context.workspaces.at(0), library);
    const auto* bytes = static_cast<const uint8_t*>(context.tiling.GetData());
    for (size_t index = 0; index < context.tiling.GetDataSize(); ++index) {
        std::printf("%02x", bytes[index]);
    }
    PrintOutputs(call, definition);
    std::puts("");
}
} // namespace

int main()
{
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string type;
        words >> type;
        try {
            const auto definition = ops::Registry().find(type);
            if (definition == ops::Registry().end()) {
                throw std::invalid_argument("there is no operator " + type);
            }
            Run(words, definition->second);
        } catch (const std::invalid_argument& error) {
            std::printf("invalid %s\n", error.what());
        }
    }
    return 0;
}
