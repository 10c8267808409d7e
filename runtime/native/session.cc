#include "session.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "file.h"

namespace coopdraw {
namespace {

// By step: the values that can go when it is done. Inputs, constants and the graph's outputs stay.
std::vector<std::vector<size_t>> last_uses(const Plan& plan) {
  std::vector<size_t> last(plan.values.size());
  std::vector<bool> made(plan.values.size());
  for (size_t index = 0; index < plan.steps.size(); ++index) {
    for (const size_t value : plan.steps[index].inputs) last[value] = index;
    for (const size_t value : plan.steps[index].outputs) last[value] = index, made[value] = true;
  }
  for (const size_t value : plan.outputs) made[value] = false;
  std::vector<std::vector<size_t>> ends(plan.steps.size());
  for (size_t value = 0; value < plan.values.size(); ++value) {
    if (made[value]) ends[last[value]].push_back(value);
  }
  return ends;
}

int64_t token_at(const TensorType& type, const void* data, size_t index) {
  int32_t narrow;
  int64_t wide;
  if (type.dtype == COOPDRAW_INT32) {
    std::memcpy(&narrow, static_cast<const char*>(data) + index * sizeof(narrow), sizeof(narrow));
    return narrow;
  }
  std::memcpy(&wide, static_cast<const char*>(data) + index * sizeof(wide), sizeof(wide));
  return wide;
}

// A gather outside its table reads foreign memory on some devices.
void check_tokens(const TensorType& type, const void* data, size_t words) {
  for (size_t index = 0; index < type.elements(); ++index) {
    const int64_t token = token_at(type, data, index);
    if (token < 0 || static_cast<uint64_t>(token) >= words) {
      bad_input("tokens must be from 0 to " + std::to_string(words - 1) + "; use the bundle's own words");
    }
  }
}

// Token ids of a caption's words, which white space separates.
std::vector<size_t> tokens_of(const std::string& caption, const std::vector<std::string>& words, size_t most) {
  std::vector<size_t> tokens;
  const char* const space = " \t\n\r\f\v";
  for (size_t start = caption.find_first_not_of(space); start != std::string::npos;) {
    const size_t end = std::min(caption.find_first_of(space, start), caption.size());
    const std::string word = caption.substr(start, end - start);
    const auto found = std::find(words.begin() + 1, words.end(), word);
    if (found == words.end()) {
      bad_input("the text encoder doesn't know the word " + quoted(word) + "; use its own words");
    }
    tokens.push_back(static_cast<size_t>(found - words.begin()));
    start = caption.find_first_not_of(space, end);
  }
  if (tokens.size() > most) {
    bad_input("the caption has " + std::to_string(tokens.size()) + " words, but the text encoder takes " +
              std::to_string(most) + "; shorten it");
  }
  return tokens;
}

size_t find(const std::vector<TensorSpec>& specs, const std::string& name, const char* kind) {
  std::string names;
  for (size_t index = 0; index < specs.size(); ++index) {
    if (specs[index].name == name) return index;
    names += (names.empty() ? "" : ", ") + specs[index].name;
  }
  bad_input("there is no " + std::string(kind) + " " + name + "; there are " + names);
}

}  // namespace

Session::Session(const std::string& folder, const SessionOptions& options) {
  const Bundle bundle = open_bundle(folder, options.graph, options.trust_files);
  graph_ = bundle.graph;
  plan_ = options.model_file.empty() ? read_plan(bundle) : single_model(graph_, options.model_file);
  values_.resize(plan_.values.size());
  given_.resize(graph_.inputs.size());
  ends_ = last_uses(plan_);
  for (const Constant& constant : plan_.constants) {
    values_[constant.value].resize(plan_.values[constant.value].bytes());
    File(constant.path, COOPDRAW_BAD_BUNDLE, false)
        .read(constant.offset, values_[constant.value].data(), values_[constant.value].size());
  }
  for (const PlannedModel& model : plan_.models) {
    models_.push_back(load_model(model.path, model.ports, options.model));
  }
}

void Session::set(const std::string& name, const void* data, size_t bytes) {
  const size_t index = find(graph_.inputs, name, "input");
  const TensorSpec& spec = graph_.inputs[index];
  if (bytes != spec.type.bytes()) {
    bad_input("input " + name + " must be " + spec.type.text() + ", " + std::to_string(spec.type.bytes()) +
              " bytes, but has " + std::to_string(bytes) + "; " + spec.meaning);
  }
  if (!has_plain_values(spec.type.dtype, data, spec.type.elements())) {
    bad_input("input " + name + " has values that are not finite, or bools that are not 0 or 1; give finite numbers");
  }
  if (!graph_.words.empty()) check_tokens(spec.type, data, graph_.words.size());
  const char* start = static_cast<const char*>(data);
  values_[plan_.inputs[index]].assign(start, start + bytes);
  given_[index] = true;
}

void Session::set_caption(size_t row, const std::string& caption) {
  if (graph_.words.empty()) bad_input("only a text encoder takes captions; open the bundle's COOPDRAW_TEXT_ENCODER");
  const TensorType& type = graph_.inputs[0].type;
  const auto rows = static_cast<size_t>(type.shape[0]), length = static_cast<size_t>(type.shape[1]);
  if (row >= rows) bad_input("row " + std::to_string(row) + " is outside of the batch of " + std::to_string(rows));
  const std::vector<size_t> tokens = tokens_of(caption, graph_.words, length);
  Bytes& values = values_[plan_.inputs[0]];
  values.resize(type.bytes());  // padding is token 0
  const size_t width = element_bytes(type.dtype);
  for (size_t position = 0; position < length; ++position) {
    const int64_t wide = position < tokens.size() ? static_cast<int64_t>(tokens[position]) : 0;
    const auto narrow = static_cast<int32_t>(wide);
    const void* token = type.dtype == COOPDRAW_INT32 ? static_cast<const void*>(&narrow) : &wide;
    std::memcpy(values.data() + (row * length + position) * width, token, width);
  }
  given_[0] = true;
}

void Session::run(const Progress& progress) {
  cancelled_ = false;
  has_outputs_ = false;
  for (size_t index = 0; index < given_.size(); ++index) {
    if (!given_[index]) bad_input("input " + graph_.inputs[index].name + " is missing; set every input before the run");
  }
  const int steps = static_cast<int>(plan_.steps.size());
  for (int step = 0; step < steps; ++step) {
    run_step(static_cast<size_t>(step));
    const bool go_on = !progress || progress(step + 1, steps);
    if ((!go_on || cancelled_) && step + 1 < steps) throw Error(COOPDRAW_CANCELLED, "the run was cancelled");
  }
  has_outputs_ = true;
}

void Session::run_step(size_t index) {
  const PlannedStep& step = plan_.steps[index];
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  for (const size_t value : step.inputs) inputs.push_back(values_[value].data());
  for (const size_t value : step.outputs) {
    values_[value].resize(plan_.values[value].bytes());
    outputs.push_back(values_[value].data());
  }
  models_[step.model]->run(inputs, outputs);
  for (const size_t value : ends_[index]) Bytes().swap(values_[value]);
}

const Bytes* Session::output(size_t index) const {
  return has_outputs_ && index < plan_.outputs.size() ? &values_[plan_.outputs[index]] : nullptr;
}

size_t Session::output_index(const std::string& name) const { return find(graph_.outputs, name, "output"); }

}  // namespace coopdraw
