// A bundle's graph, loaded and ready to run.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bundle.h"
#include "model.h"
#include "plan.h"

namespace coopdraw {

struct SessionOptions {
  coopdraw_graph graph = COOPDRAW_SAMPLING;
  bool trust_files = false;
  std::string model_file;  // instead of the bundle's own form
  ModelOptions model;
};

// After each step: done, steps; returns whether to go on.
using Progress = std::function<bool(int, int)>;

class Session {
 public:
  // Checks the bundle before it loads anything; throws Error.
  Session(const std::string& bundle, const SessionOptions& options);

  const std::vector<TensorSpec>& inputs() const { return graph_.inputs; }
  const std::vector<TensorSpec>& outputs() const { return graph_.outputs; }

  void set(const std::string& name, const void* data, size_t bytes);
  // Of a text encoder: makes a caption's words one row of its input. Rows that were never set are empty captions.
  void set_caption(size_t row, const std::string& caption);
  void run(const Progress& progress);
  void cancel() { cancelled_ = true; }

  // Of the last run; null if there was none or it failed.
  const Bytes* output(size_t index) const;
  // Throws Error for a name that is no output.
  size_t output_index(const std::string& name) const;

 private:
  void run_step(size_t index);

  GraphSpec graph_;
  Plan plan_;
  std::vector<std::unique_ptr<Model>> models_;
  std::vector<Bytes> values_;             // those that are alive
  std::vector<bool> given_;               // which inputs were set
  std::vector<std::vector<size_t>> ends_;  // values that no step after this one reads
  std::atomic<bool> cancelled_{false};
  bool has_outputs_ = false;
};

}  // namespace coopdraw
