// What runs one model. Lite's classes are behind this, so that everything else can be tested without them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tensor.h"

namespace coopdraw {

class Model {
 public:
  virtual ~Model() = default;
  // Dense arrays of the types given to load_model, in their order; throws Error with COOPDRAW_DEVICE.
  virtual void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) = 0;
};

struct ModelOptions {
  int threads = 0;
  int device = 0;
  std::string config_file;
};

// What a model takes and gives, in the order in which `run` is called.
struct ModelPorts {
  std::vector<TensorType> inputs, outputs;
  // Converters may change the order of inputs: with names that the model has, its inputs are found by name.
  std::vector<std::string> input_names;
};

// Throws Error with COOPDRAW_DEVICE if it can't be loaded or takes other tensors than these.
std::unique_ptr<Model> load_model(const std::string& path, const ModelPorts& ports, const ModelOptions& options);

}  // namespace coopdraw
