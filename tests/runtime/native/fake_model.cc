// Stands in for MindSpore Lite, so that all other code can run under sanitizers. A model is a text file: the element
// type (float32 or int32), then nodes such as `Mul 0 1` on earlier values; the last node is the output. Other words:
// `fail_load` in place of the type; nodes `Fail 0 0`, `Wait 0 0` (20 ms) and `Abort 0 0`.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "error.h"
#include "model.h"

namespace coopdraw {
namespace {

struct Node {
  std::string name;
  size_t left, right;
};

class FakeModel : public Model {
 public:
  FakeModel(const std::string& path, const std::vector<TensorType>& inputs) : type_(inputs.at(0)) {
    std::ifstream file(path);
    std::string dtype;
    file >> dtype;
    if (dtype != dtype_name(type_.dtype)) throw Error(COOPDRAW_DEVICE, "the fake cannot load " + path);
    for (Node node; file >> node.name >> node.left >> node.right;) nodes_.push_back(node);
  }

  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) override {
    type_.dtype == COOPDRAW_FLOAT32 ? compute<float>(inputs, outputs) : compute<int32_t>(inputs, outputs);
  }

 private:
  template <class Element>
  void compute(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) const {
    std::vector<std::vector<Element>> values;
    for (const void* input : inputs) {
      const auto* data = static_cast<const Element*>(input);
      values.emplace_back(data, data + type_.elements());
    }
    for (const Node& node : nodes_) {
      if (node.name == "Fail") throw Error(COOPDRAW_DEVICE, "the fake failed as it was told");
      if (node.name == "Abort") std::abort();
      if (node.name == "Wait") std::this_thread::sleep_for(std::chrono::milliseconds(20));
      std::vector<Element> result = values.at(node.left);
      for (size_t index = 0; index < result.size(); ++index) {
        if (node.name == "Add") result[index] += values.at(node.right)[index];
        if (node.name == "Mul") result[index] *= values.at(node.right)[index];
      }
      values.push_back(std::move(result));
    }
    std::copy(values.back().begin(), values.back().end(), static_cast<Element*>(outputs.at(0)));
  }

  TensorType type_;
  std::vector<Node> nodes_;
};

}  // namespace

std::unique_ptr<Model> load_model(const std::string& path, const ModelPorts& ports, const ModelOptions&) {
  return std::make_unique<FakeModel>(path, ports.inputs);
}

}  // namespace coopdraw
