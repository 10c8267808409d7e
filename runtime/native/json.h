// Strict JSON, for files that nobody vouches for.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace coopdraw {

class Json {
 public:
  enum Kind { kNull, kBool, kInteger, kNumber, kText, kArray, kObject };

  // Throws Error with COOPDRAW_BAD_BUNDLE for bad syntax, duplicate keys, deep nesting, bad UTF-8, control characters,
  // and integers of more than 64 bits. `source` is what messages name, `fix` how they end.
  static Json parse(const std::string& text, const std::string& source, const char* fix = "compile the bundle again");

  Kind kind() const { return kind_; }
  bool has(const std::string& key) const;

  // Each throws, naming the member's path, if it is missing or not of this type.
  const Json& at(const std::string& key) const;
  const std::string& text() const;  // not empty
  int64_t integer(int64_t least, int64_t most) const;
  const std::vector<Json>& array() const;
  const std::vector<std::pair<std::string, Json>>& object() const;

  [[noreturn]] void refuse(const std::string& wanted) const;

 private:
  friend class JsonParser;

  Kind kind_ = kNull;
  int64_t integer_ = 0;
  std::string text_;  // of a text
  std::vector<Json> items_;
  std::vector<std::pair<std::string, Json>> members_;
  std::string place_;  // source and path
  const char* fix_ = "";
};

// A JSON string with its quotes.
std::string quoted(const std::string& text);

}  // namespace coopdraw
