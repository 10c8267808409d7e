#include "bundle.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <tuple>

#include "file.h"
#include "json.h"

namespace coopdraw {
namespace {

constexpr char kManifest[] = "manifest.json";
constexpr int64_t kFormat = 1;
// The manifest of a pipeline with thousands of weights has about 1 MB; more than this is no manifest.
constexpr size_t kLargestManifest = size_t{64} << 20;

TensorSpec read_spec(const Json& json) {
  return {json.at("name").text(), json.at("meaning").text(), read_type(json.at("dtype"), json.at("shape"))};
}

std::vector<TensorSpec> read_specs(const Json& json) {
  std::vector<TensorSpec> specs;
  std::set<std::string> names;
  for (const Json& item : json.array()) {
    specs.push_back(read_spec(item));
    if (!names.insert(specs.back().name).second) json.refuse("a list of different names");
  }
  return specs;
}

std::map<std::string, std::string> read_files(const Json& json) {
  std::map<std::string, std::string> files;
  for (const auto& [path, hash] : json.object()) {
    if (!is_safe_path(path) || path == kManifest) json.refuse("an object of paths inside the bundle");
    const std::string& digits = hash.text();
    if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
      hash.refuse("64 hexadecimal digits");
    }
    files[path] = digits;
  }
  return files;
}

std::string graph_path(const Json& manifest, const char* key, const std::map<std::string, std::string>& files) {
  if (!manifest.has("forms") || !manifest.at("forms").has("lite")) return "";
  const Json& path = manifest.at("forms").at("lite").at(key);
  if (files.count(path.text()) == 0) path.refuse("a path of files");
  return path.text();
}

GraphSpec read_graph(const Json& manifest, coopdraw_graph graph, const std::map<std::string, std::string>& files) {
  if (graph == COOPDRAW_SAMPLING) {
    const std::string path = graph_path(manifest, "graph", files);
    return {path, read_specs(manifest.at("inputs")), read_specs(manifest.at("outputs")), {}};
  }
  const Json& encoder = manifest.at("text_encoder");
  if (encoder.kind() == Json::kNull) {
    bad_bundle("the bundle has no text encoder; compile it with pipeline.text_encoder");
  }
  const TensorSpec tokens = read_spec(encoder.at("tokens"));
  if (tokens.type.dtype != COOPDRAW_INT32 && tokens.type.dtype != COOPDRAW_INT64) {
    encoder.at("tokens").refuse("of type int32 or int64");
  }
  if (tokens.type.shape.size() != 2) encoder.at("tokens").refuse("of two dimensions");
  std::vector<std::string> words;
  for (const Json& word : encoder.at("words").array()) words.push_back(word.text());
  if (words.size() < 2) encoder.at("words").refuse("a list of at least two words");
  return {graph_path(manifest, "text_encoder", files), {tokens}, read_specs(encoder.at("outputs")), words};
}

// Relative paths of all files below a folder; links and devices are errors.
class Walk {
 public:
  explicit Walk(const std::string& root) : root_(root) { visit(""); }
  std::set<std::string> files;

 private:
  void visit(const std::string& folder) {
    const std::string full = root_ + "/" + folder;
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(full.c_str()), closedir);
    if (!listing) bad_bundle(full + " cannot be read (" + system_error() + "); give the folder of a bundle");
    while (const dirent* entry = readdir(listing.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const std::string path = folder + name;
      struct stat information;
      if (lstat((root_ + "/" + path).c_str(), &information) != 0) bad_bundle(path + " vanished while it was read");
      if (S_ISDIR(information.st_mode)) {
        visit(path + "/");
      } else if (S_ISREG(information.st_mode)) {
        files.insert(path);
      } else {
        bad_bundle(root_ + "/" + path + " is not a plain file; a bundle has no links, copy it with `cp -rL`");
      }
    }
  }

  const std::string root_;
};

// Hard links of one file are read once.
class Hashes {
 public:
  void check(const std::string& path, const std::string& expected) {
    const File file(path, COOPDRAW_BAD_BUNDLE, false);
    struct stat information;
    if (lstat(path.c_str(), &information) != 0) bad_bundle(path + " vanished while it was read");
    auto& known = known_[{information.st_dev, information.st_ino}];
    if (known.empty()) known = file.sha256();
    if (known != expected) {
      bad_bundle(path + " is damaged: its sha256 is not the manifest's; copy the bundle again or compile it");
    }
  }

 private:
  std::map<std::tuple<dev_t, ino_t>, std::string> known_;
};

void check_files(const Bundle& bundle, bool trust_files) {
  std::set<std::string> found = Walk(bundle.folder).files;
  found.erase(kManifest);
  for (const auto& [path, hash] : bundle.files) {
    if (found.erase(path) == 0) {
      bad_bundle(bundle.folder + "/" + path + " is missing; copy the whole bundle or compile it again");
    }
  }
  if (!found.empty()) {
    bad_bundle(bundle.folder + "/" + *found.begin() +
               " is not listed in manifest.json; remove it or compile the bundle again");
  }
  Hashes hashes;
  if (trust_files) return;
  for (const auto& [path, hash] : bundle.files) hashes.check(bundle.folder + "/" + path, hash);
}

}  // namespace

bool is_safe_path(const std::string& path) {
  for (const char c : path) {
    if (c == '\\' || c == ':' || static_cast<unsigned char>(c) < 32) return false;
  }
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return true;
}

Bundle open_bundle(const std::string& folder, coopdraw_graph graph, bool trust_files) {
  const Bytes data = File(folder + "/" + kManifest, COOPDRAW_BAD_BUNDLE, false).read_all(kLargestManifest);
  const Json manifest = Json::parse(std::string(data.begin(), data.end()), kManifest);
  if (manifest.at("format").integer(0, INT64_MAX) != kFormat) {
    bad_bundle("manifest.json has another format than this version reads; use the version of coopdraw that wrote it");
  }
  Bundle bundle{folder, read_files(manifest.at("files")), {}};
  bundle.graph = read_graph(manifest, graph, bundle.files);
  check_files(bundle, trust_files);
  return bundle;
}

}  // namespace coopdraw
