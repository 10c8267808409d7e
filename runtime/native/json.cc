#include "json.h"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "error.h"

namespace coopdraw {

constexpr int kDeepest = 64;

class JsonParser {
 public:
  JsonParser(const std::string& text, const std::string& source, const char* fix)
      : text_(text), source_(source), fix_(fix) {}

  Json parse() {
    Json value = parse_value(source_, kDeepest);
    skip_space();
    if (position_ != text_.size()) fail("something follows the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    bad_bundle(source_ + " is not valid JSON (" + problem + " at byte " + std::to_string(position_) +
               "); " + fix_);
  }

  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  }

  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  void expect(char c) {
    if (peek() != c) fail(std::string("expected ") + c);
    ++position_;
  }

  void expect_word(const char* word) {
    const std::string wanted = word;
    if (text_.compare(position_, wanted.size(), wanted) != 0) fail("expected a value");
    position_ += wanted.size();
  }

  Json parse_value(const std::string& place, int depth) {
    if (depth == 0) fail("it nests too deeply");
    skip_space();
    Json value;
    value.place_ = place;
    value.fix_ = fix_;
    switch (peek()) {
      case '{':
        parse_object(value, depth);
        break;
      case '[':
        parse_array(value, depth);
        break;
      case '"':
        value.kind_ = Json::kText;
        value.text_ = parse_text();
        break;
      case 't':
        expect_word("true");
        value.kind_ = Json::kBool;
        value.integer_ = 1;
        break;
      case 'f':
        expect_word("false");
        value.kind_ = Json::kBool;
        break;
      case 'n':
        expect_word("null");
        break;
      default:
        parse_number(value);
    }
    return value;
  }

  void parse_object(Json& value, int depth) {
    value.kind_ = Json::kObject;
    expect('{');
    std::unordered_set<std::string> keys;
    skip_space();
    if (peek() != '}') {
      do {
        skip_space();
        std::string key = parse_text();
        if (!keys.insert(key).second) fail("key " + quoted(key) + " is there twice");
        skip_space();
        expect(':');
        Json member = parse_value(value.place_ + "." + key, depth - 1);
        value.members_.emplace_back(std::move(key), std::move(member));
        skip_space();
      } while (more());
    }
    expect('}');
  }

  void parse_array(Json& value, int depth) {
    value.kind_ = Json::kArray;
    expect('[');
    skip_space();
    if (peek() != ']') {
      do {
        value.items_.push_back(parse_value(value.place_ + "[" + std::to_string(value.items_.size()) + "]", depth - 1));
        skip_space();
      } while (more());
    }
    expect(']');
  }

  bool more() {
    if (peek() != ',') return false;
    ++position_;
    return true;
  }

  // Fractions are only checked: nothing here needs their value, and reading it would depend on the locale.
  void parse_number(Json& value) {
    const size_t start = position_;
    if (peek() == '-') ++position_;
    if (!is_digit(peek())) fail("expected a value");
    if (peek() == '0') {
      ++position_;
    } else {
      skip_digits();
    }
    value.kind_ = Json::kInteger;
    if (peek() == '.') {
      value.kind_ = Json::kNumber;
      ++position_;
      skip_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      value.kind_ = Json::kNumber;
      ++position_;
      if (peek() == '+' || peek() == '-') ++position_;
      skip_digits();
    }
    if (value.kind_ == Json::kInteger) value.integer_ = to_integer(start);
  }

  void skip_digits() {
    if (!is_digit(peek())) fail("expected a digit");
    while (is_digit(peek())) ++position_;
  }

  int64_t to_integer(size_t start) const {
    const bool negative = text_[start] == '-';
    uint64_t magnitude = 0;
    for (size_t index = start + negative; index < position_; ++index) {
      const uint64_t digit = static_cast<uint64_t>(text_[index] - '0');
      if (magnitude > (static_cast<uint64_t>(INT64_MAX) - digit) / 10) fail("an integer has more than 64 bits");
      magnitude = magnitude * 10 + digit;
    }
    return negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  }

  std::string parse_text() {
    expect('"');
    std::string result;
    while (peek() != '"') {
      if (position_ >= text_.size()) fail("a string has no end");
      if (peek() == '\\') {
        ++position_;
        append(result, parse_escape());
      } else {
        append(result, parse_utf8());
      }
    }
    ++position_;
    return result;
  }

  uint32_t parse_escape() {
    const char c = peek();
    ++position_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        return static_cast<uint32_t>(c);
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case 'r':
        return '\r';
      case 'u':
        return parse_unicode();
      default:
        fail("an escape is unknown");
    }
  }

  uint32_t parse_unicode() {
    const uint32_t high = parse_hex();
    if (high < 0xD800 || high >= 0xDC00) return high;
    if (text_.compare(position_, 2, "\\u") != 0) fail("half of a surrogate pair is missing");
    position_ += 2;
    const uint32_t low = parse_hex();
    if (low < 0xDC00 || low >= 0xE000) fail("half of a surrogate pair is missing");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  uint32_t parse_hex() {
    uint32_t value = 0;
    for (int index = 0; index < 4; ++index, ++position_) {
      const char c = peek();
      if (is_digit(c)) {
        value = value * 16 + static_cast<uint32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        value = value * 16 + static_cast<uint32_t>((c | 0x20) - 'a' + 10);
      } else {
        fail("expected four hexadecimal digits");
      }
    }
    return value;
  }

  uint32_t parse_utf8() {
    const auto byte = [this](size_t offset) -> uint32_t {
      return position_ + offset < text_.size() ? static_cast<unsigned char>(text_[position_ + offset]) : 0;
    };
    const uint32_t first = byte(0);
    if (first < 32) fail("a string has control characters");
    const int length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0) fail("it is not UTF-8");
    uint32_t code = length == 1 ? first : first & (0x7Fu >> length);
    for (int index = 1; index < length; ++index) {
      const uint32_t next = byte(static_cast<size_t>(index));
      if ((next & 0xC0) != 0x80) fail("it is not UTF-8");
      code = code << 6 | (next & 0x3F);
    }
    // Longer forms than needed, and what lies beyond Unicode.
    if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10FFFF))) fail("it is not UTF-8");
    position_ += static_cast<size_t>(length);
    return code;
  }

  // Text from a bundle is printed on terminals, which would obey escape sequences.
  void append(std::string& text, uint32_t code) const {
    if ((code < 32 && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0) ||
        (code >= 0xD800 && code < 0xE000)) {
      fail("a string has control characters");
    }
    const auto put = [&text](uint32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xC0 | code >> 6);
      put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      put(0xE0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3F));
      put(0x80 | (code & 0x3F));
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
      put(0x80 | (code >> 6 & 0x3F));
      put(0x80 | (code & 0x3F));
    }
  }

  const std::string& text_;
  const std::string source_;
  const char* const fix_;
  size_t position_ = 0;
};

Json Json::parse(const std::string& text, const std::string& source, const char* fix) {
  return JsonParser(text, source, fix).parse();
}

void Json::refuse(const std::string& wanted) const {
  bad_bundle(place_ + " must be " + wanted + "; " + fix_);
}

bool Json::has(const std::string& key) const {
  return std::any_of(members_.begin(), members_.end(), [&key](const auto& member) { return member.first == key; });
}

const Json& Json::at(const std::string& key) const {
  for (const auto& member : object()) {
    if (member.first == key) return member.second;
  }
  bad_bundle(place_ + " has no " + quoted(key) + "; " + fix_);
}

const std::string& Json::text() const {
  if (kind_ != kText || text_.empty()) refuse("a string that is not empty");
  return text_;
}

int64_t Json::integer(int64_t least, int64_t most) const {
  if (kind_ != kInteger || integer_ < least || integer_ > most) {
    refuse("an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return integer_;
}

const std::vector<Json>& Json::array() const {
  if (kind_ != kArray) refuse("a list");
  return items_;
}

const std::vector<std::pair<std::string, Json>>& Json::object() const {
  if (kind_ != kObject) refuse("an object");
  return members_;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 32) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
      result += escape;
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace coopdraw
