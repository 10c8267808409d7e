// A compiled bundle on disk: what of its manifest a run needs, and whether its files are those of the manifest.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor.h"

namespace coopdraw {

struct TensorSpec {
  std::string name;
  std::string meaning;
  TensorType type;
};

// One graph of a bundle in the form for MindSpore Lite.
struct GraphSpec {
  std::string path;  // of its plan in the bundle; empty if the bundle lacks this form
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<std::string> words;  // of a text encoder, by token; the first is the padding
};

struct Bundle {
  std::string folder;
  std::map<std::string, std::string> files;  // sha256 of every file but the manifest, by relative path
  GraphSpec graph;
};

// Throws Error with COOPDRAW_BAD_BUNDLE for a folder that is not exactly what its manifest says, or without this graph.
// `trust_files`: don't read the files to compare their hashes.
Bundle open_bundle(const std::string& folder, coopdraw_graph graph, bool trust_files);

// Whether `path` is a normalised relative POSIX path that stays in its folder.
bool is_safe_path(const std::string& path);

}  // namespace coopdraw
