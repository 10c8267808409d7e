#include "plan.h"

#include "error.h"
#include "file.h"
#include "json.h"

namespace coopdraw {
namespace {

constexpr size_t kLargestPlan = size_t{64} << 20;

class PlanReader {
 public:
  PlanReader(const Bundle& bundle, const Json& json) : bundle_(bundle), json_(json) {}

  Plan read() {
    check_version();
    for (const Json& type : json_.at("values").array()) {
      plan_.values.push_back(read_type(item(type, 0, 2), item(type, 1, 2)));
    }
    defined_.resize(plan_.values.size());
    for (const Json& model : json_.at("models").array()) plan_.models.push_back({file_path(model), {}});
    described_.resize(plan_.models.size());
    plan_.inputs = read_ports(json_.at("inputs"), bundle_.graph.inputs, true);
    for (const Json& constant : json_.at("constants").array()) read_constant(constant);
    for (const Json& step : json_.at("steps").array()) read_step(step);
    plan_.outputs = read_ports(json_.at("outputs"), bundle_.graph.outputs, false);
    if (plan_.steps.empty()) json_.at("steps").refuse("a list that is not empty");
    for (size_t model = 0; model < plan_.models.size(); ++model) {
      if (!described_[model]) json_.at("models").refuse("a list of models that are all run");
    }
    return std::move(plan_);
  }

 private:
  void check_version() const {
    if (json_.at("format").text() != "coopdraw-plan" || json_.at("version").integer(0, INT64_MAX) != 1) {
      bad_bundle(bundle_.graph.path + " is no plan of version 1; use the version of coopdraw that wrote the bundle");
    }
  }

  // Element `index` of a list of `count`.
  static const Json& item(const Json& list, size_t index, size_t count) {
    if (list.array().size() != count) list.refuse("a list of " + std::to_string(count) + " items");
    return list.array()[index];
  }

  // A path relative to the plan, as a file of the bundle.
  std::string file_path(const Json& json) const {
    const size_t slash = bundle_.graph.path.rfind('/');
    const std::string path = (slash == std::string::npos ? "" : bundle_.graph.path.substr(0, slash + 1)) + json.text();
    if (!is_safe_path(json.text()) || bundle_.files.count(path) == 0) json.refuse("the path of a file of the bundle");
    return bundle_.folder + "/" + path;
  }

  size_t index_of(const Json& json, size_t count) const {
    const int64_t index = json.integer(0, INT64_MAX);
    if (static_cast<uint64_t>(index) >= count) json.refuse("less than " + std::to_string(count));
    return static_cast<size_t>(index);
  }

  size_t define(const Json& json) {
    const size_t value = index_of(json, plan_.values.size());
    if (defined_[value]) json.refuse("a value that nothing else makes");
    defined_[value] = true;
    return value;
  }

  size_t use(const Json& json) const {
    const size_t value = index_of(json, plan_.values.size());
    if (!defined_[value]) json.refuse("a value that was made before");
    return value;
  }

  std::vector<size_t> read_ports(const Json& json, const std::vector<TensorSpec>& specs, bool inputs) {
    std::vector<size_t> values;
    if (json.array().size() != specs.size()) json.refuse("those of the manifest");
    for (size_t index = 0; index < specs.size(); ++index) {
      const Json& port = json.array()[index];
      const size_t value = inputs ? define(item(port, 1, 2)) : use(item(port, 1, 2));
      if (item(port, 0, 2).text() != specs[index].name || plan_.values[value] != specs[index].type) {
        port.refuse("the manifest's " + specs[index].name + ", " + specs[index].type.text());
      }
      values.push_back(value);
    }
    return values;
  }

  void read_constant(const Json& json) {
    const size_t value = define(item(json, 0, 3));
    const std::string path = file_path(item(json, 1, 3));
    const size_t size = File(path, COOPDRAW_BAD_BUNDLE, false).size(), bytes = plan_.values[value].bytes();
    const Json& offset = item(json, 2, 3);
    const auto start = static_cast<size_t>(offset.integer(0, INT64_MAX));
    if (start > size || bytes > size - start) {
      offset.refuse("the place of " + plan_.values[value].text() + " in its file");
    }
    plan_.constants.push_back({value, path, start});
  }

  void read_step(const Json& json) {
    PlannedStep step{index_of(item(json, 0, 3), plan_.models.size()), {}, {}};
    std::vector<TensorType> inputs, outputs;
    for (const Json& value : item(json, 1, 3).array()) {
      step.inputs.push_back(use(value));
      inputs.push_back(plan_.values[step.inputs.back()]);
    }
    for (const Json& value : item(json, 2, 3).array()) {
      step.outputs.push_back(define(value));
      outputs.push_back(plan_.values[step.outputs.back()]);
    }
    ModelPorts& ports = plan_.models[step.model].ports;
    if (!described_[step.model]) {
      ports.inputs = std::move(inputs);
      ports.outputs = std::move(outputs);
      described_[step.model] = true;
    } else if (ports.inputs != inputs || ports.outputs != outputs) {
      json.refuse("of the same types as the model's other steps");
    }
    plan_.steps.push_back(std::move(step));
  }

  const Bundle& bundle_;
  const Json& json_;
  Plan plan_;
  std::vector<bool> defined_, described_;
};

}  // namespace

Plan read_plan(const Bundle& bundle) {
  if (bundle.graph.path.empty()) {
    bad_bundle(bundle.folder + " has no form for MindSpore Lite; compile it with forms = [\"lite\"] in [target]");
  }
  const Bytes data = File(bundle.folder + "/" + bundle.graph.path, COOPDRAW_BAD_BUNDLE, false).read_all(kLargestPlan);
  const Json json = Json::parse(std::string(data.begin(), data.end()), bundle.graph.path);
  return PlanReader(bundle, json).read();
}

Plan single_model(const GraphSpec& graph, const std::string& path) {
  Plan plan;
  plan.models.push_back({path, {}});
  ModelPorts& ports = plan.models[0].ports;
  plan.steps.push_back({0, {}, {}});
  for (const TensorSpec& spec : graph.inputs) {
    plan.inputs.push_back(plan.values.size());
    plan.values.push_back(spec.type);
    ports.inputs.push_back(spec.type);
    ports.input_names.push_back(spec.name);
  }
  for (const TensorSpec& spec : graph.outputs) {
    plan.outputs.push_back(plan.values.size());
    plan.values.push_back(spec.type);
    ports.outputs.push_back(spec.type);
  }
  plan.steps[0].inputs = plan.inputs;
  plan.steps[0].outputs = plan.outputs;
  return plan;
}

}  // namespace coopdraw
