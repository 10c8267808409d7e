// How a graph is run: models that are called one after the other, and where their inputs come from.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bundle.h"
#include "model.h"

namespace coopdraw {

struct PlannedModel {
  std::string path;
  ModelPorts ports;
};

struct Constant {
  size_t value;
  std::string path;
  size_t offset;
};

// Indices are into Plan::models and Plan::values.
struct PlannedStep {
  size_t model;
  std::vector<size_t> inputs, outputs;
};

struct Plan {
  std::vector<PlannedModel> models;
  std::vector<TensorType> values;
  std::vector<size_t> inputs, outputs;  // in the order of the graph's
  std::vector<Constant> constants;
  std::vector<PlannedStep> steps;
};

// Reads the plan of the bundle's graph and checks all of it: every value is made once and before it is read, types
// agree, files are in the manifest. Throws Error with COOPDRAW_BAD_BUNDLE.
Plan read_plan(const Bundle& bundle);

// The plan of a graph that is one model, which lies outside of the bundle.
Plan single_model(const GraphSpec& graph, const std::string& path);

}  // namespace coopdraw
