// Models of MindSpore Lite 2, on its CPU or, built with COOPDRAW_ASCEND, on an Ascend NPU.
//
// Of Lite's classes only members are used that pass no std::string through the library: those work with either ABI of
// libstdc++ (include/api/dual_abi_helper.h), so this builds with any compiler.

#include <algorithm>
#include <cstring>
#include <mutex>

#include "error.h"
#include "include/api/context.h"
#include "include/api/model.h"
#include "model.h"

namespace coopdraw {
namespace {

namespace lite = mindspore;

[[noreturn]] void fail(const std::string& path, const std::string& problem) {
  throw Error(COOPDRAW_DEVICE, "MindSpore Lite " + problem + " " + path + "; set GLOG_v=2 to see its log");
}

lite::DataType type_of(coopdraw_dtype dtype) {
  switch (dtype) {
    case COOPDRAW_FLOAT16:
      return lite::DataType::kNumberTypeFloat16;
    case COOPDRAW_FLOAT32:
      return lite::DataType::kNumberTypeFloat32;
    case COOPDRAW_FLOAT64:
      return lite::DataType::kNumberTypeFloat64;
    case COOPDRAW_INT8:
      return lite::DataType::kNumberTypeInt8;
    case COOPDRAW_UINT8:
      return lite::DataType::kNumberTypeUInt8;
    case COOPDRAW_INT32:
      return lite::DataType::kNumberTypeInt32;
    case COOPDRAW_INT64:
      return lite::DataType::kNumberTypeInt64;
    case COOPDRAW_BOOL:
      return lite::DataType::kNumberTypeBool;
  }
  return lite::DataType::kTypeUnknown;
}

std::shared_ptr<lite::Context> make_context(const ModelOptions& options) {
  auto context = std::make_shared<lite::Context>();
  if (options.threads > 0) context->SetThreadNum(options.threads);
#ifdef COOPDRAW_ASCEND
  auto device = std::make_shared<lite::AscendDeviceInfo>();
  device->SetDeviceID(static_cast<uint32_t>(options.device));
#else
  auto device = std::make_shared<lite::CPUDeviceInfo>();
#endif
  context->MutableDeviceInfo().push_back(device);
  return context;
}

// Lite builds and drops models with tables that all of them share.
std::mutex& registry() {
  static std::mutex mutex;
  return mutex;
}

class LiteModel : public Model {
 public:
  LiteModel(const std::string& path, const ModelPorts& ports, const ModelOptions& options)
      : path_(path), output_types_(ports.outputs) {
    const std::lock_guard<std::mutex> lock(registry());
    model_ = std::make_unique<lite::Model>();
    if (!options.config_file.empty() && model_->LoadConfig(options.config_file).IsError()) {
      fail(options.config_file, "does not take the configuration");
    }
    if (model_->Build(path, lite::ModelType::kMindIR, make_context(options)).IsError()) fail(path, "cannot load");
    inputs_ = model_->GetInputs();
    // Handles of the same tensors, which `run` fills in the caller's order.
    ordered_ = by_name(ports.input_names);
    check(ordered_, ports.inputs, "takes other inputs in");
  }

  ~LiteModel() override {
    const std::lock_guard<std::mutex> lock(registry());
    ordered_.clear();
    inputs_.clear();
    outputs_.clear();
    model_.reset();
  }

  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) override {
    for (size_t index = 0; index < inputs.size(); ++index) {
      void* data = ordered_[index].MutableData();
      if (data == nullptr) fail(path_, "has no memory for");
      std::memcpy(data, inputs[index], ordered_[index].DataSize());
    }
    outputs_.clear();
    if (model_->Predict(inputs_, &outputs_).IsError()) fail(path_, "failed in");
    check(outputs_, output_types_, "gave other outputs in");
    for (size_t index = 0; index < outputs.size(); ++index) {
      const void* data = outputs_[index].MutableData();
      if (data == nullptr) fail(path_, "gave no data in");
      std::memcpy(outputs[index], data, outputs_[index].DataSize());
    }
  }

 private:
  std::vector<lite::MSTensor> by_name(const std::vector<std::string>& names) const {
    std::vector<lite::MSTensor> found;
    for (const std::string& name : names) {
      const auto input = std::find_if(inputs_.begin(), inputs_.end(),
                                      [&name](const lite::MSTensor& known) { return known.Name() == name; });
      if (input == inputs_.end()) return inputs_;
      found.push_back(*input);
    }
    return found.size() == inputs_.size() ? found : inputs_;
  }

  void check(const std::vector<lite::MSTensor>& found, const std::vector<TensorType>& wanted,
             const char* problem) const {
    bool agree = found.size() == wanted.size();
    for (size_t index = 0; agree && index < found.size(); ++index) {
      agree = found[index].DataType() == type_of(wanted[index].dtype) && found[index].Shape() == wanted[index].shape &&
              found[index].DataSize() == wanted[index].bytes();
    }
    if (!agree) fail(path_, problem);
  }

  const std::string path_;
  const std::vector<TensorType> output_types_;
  std::unique_ptr<lite::Model> model_;
  std::vector<lite::MSTensor> inputs_, ordered_, outputs_;
};

}  // namespace

std::unique_ptr<Model> load_model(const std::string& path, const ModelPorts& ports, const ModelOptions& options) {
  return std::make_unique<LiteModel>(path, ports, options);
}

}  // namespace coopdraw
