#include "npz.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "error.h"
#include "file.h"
#include "npy.h"

namespace coopdraw {
namespace {

// Signatures and sizes of the records of a zip archive (PKWARE APPNOTE 4.3).
constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56;
constexpr uint32_t kIn64 = 0xFFFFFFFF;
constexpr size_t kLargest = size_t{1} << 33;
constexpr size_t kMostComment = 65535;

uint32_t crc32(const char* data, size_t bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t index = 0; index < 256; ++index) {
      made[index] = index;
      for (int bit = 0; bit < 8; ++bit) made[index] = made[index] >> 1 ^ (made[index] & 1 ? 0xEDB88320 : 0);
    }
    return made;
  }();
  uint32_t crc = 0xFFFFFFFF;
  for (size_t index = 0; index < bytes; ++index) {
    crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(data[index])) & 255];
  }
  return ~crc;
}

struct Member {
  std::string name;
  uint64_t offset, bytes;  // of its local record; of its content
  uint32_t crc;
};

class Archive {
 public:
  Archive(const Bytes& data, const std::string& path) : data_(data), path_(path) {}

  Arrays read() const {
    Arrays arrays;
    std::unordered_set<std::string> names;
    uint64_t total = 0;
    for (const Member& member : members()) {
      // Members that share bytes would make a small file a large allocation.
      total += std::min<uint64_t>(member.bytes, data_.size() + 1);
      if (total > data_.size()) fail("is damaged");
      const std::string suffix = ".npy";
      if (member.name.size() <= suffix.size() ||
          member.name.compare(member.name.size() - suffix.size(), suffix.size(), suffix) != 0) {
        fail("has a member that is no array");
      }
      const std::string name = member.name.substr(0, member.name.size() - suffix.size());
      if (!names.insert(name).second) fail("has the array " + name + " twice");
      const char* content = content_of(member);
      if (crc32(content, member.bytes) != member.crc) fail("is damaged in the array " + name);
      arrays.emplace_back(name, read_npy(content, member.bytes, name + " of " + path_));
    }
    return arrays;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    bad_input(path_ + " " + problem + "; save named arrays with numpy.savez");
  }

  // A little-endian number of `count` bytes; fails beyond the end.
  uint64_t number(uint64_t offset, size_t count) const {
    need(offset, count);
    uint64_t value = 0;
    for (size_t index = count; index-- > 0;) value = value << 8 | static_cast<unsigned char>(data_[offset + index]);
    return value;
  }

  void need(uint64_t offset, uint64_t bytes) const {
    if (offset > data_.size() || bytes > data_.size() - offset) fail("is damaged or no .npz file");
  }

  uint64_t find_end() const {
    if (data_.size() >= kEndBytes) {
      const size_t last = data_.size() - kEndBytes, first = last - std::min(last, kMostComment);
      for (size_t offset = last + 1; offset-- > first;) {
        if (number(offset, 4) == kEnd && number(offset + 20, 2) == last - offset) return offset;
      }
    }
    fail("is damaged or no .npz file");
  }

  std::vector<Member> members() const {
    const uint64_t end = find_end();
    uint64_t count = number(end + 10, 2), offset = number(end + 16, 4);
    if (end >= kLocatorBytes && number(end - kLocatorBytes, 4) == kLocator64) {
      const uint64_t end64 = number(end - kLocatorBytes + 8, 8);
      need(end64, kEnd64Bytes);
      if (number(end64, 4) != kEnd64) fail("is damaged");
      count = number(end64 + 32, 8), offset = number(end64 + 48, 8);
    }
    std::vector<Member> found;
    for (uint64_t index = 0; index < count; ++index) {
      need(offset, kCentralBytes);
      if (number(offset, 4) != kCentral) fail("is damaged");
      const size_t name = number(offset + 28, 2), extra = number(offset + 30, 2), comment = number(offset + 32, 2);
      need(offset, kCentralBytes + name + extra + comment);
      found.push_back(member(offset, name, extra));
      offset += kCentralBytes + name + extra + comment;
    }
    return found;
  }

  Member member(uint64_t offset, size_t name, size_t extra) const {
    Member found{std::string(data_.data() + offset + kCentralBytes, name), number(offset + 42, 4),
                 number(offset + 24, 4), static_cast<uint32_t>(number(offset + 16, 4))};
    uint64_t compressed = number(offset + 20, 4);
    const uint64_t flags = number(offset + 8, 2);
    if (flags & 1) fail("is encrypted");
    if (number(offset + 10, 2) != 0) fail("is compressed (numpy.savez_compressed)");
    // Numbers that don't fit are in the extra field, in this order.
    uint64_t next = offset + kCentralBytes + name;
    const uint64_t end = next + extra;
    while (next + 4 <= end) {
      const uint64_t tag = number(next, 2), length = number(next + 2, 2);
      uint64_t position = next + 4;
      next = position + length;
      if (next > end) fail("is damaged");
      if (tag != 1) continue;
      for (uint64_t* value : {&found.bytes, &compressed, &found.offset}) {
        if (*value != kIn64) continue;
        if (position + 8 > next) fail("is damaged");
        *value = number(position, 8);
        position += 8;
      }
    }
    if (compressed != found.bytes) fail("is damaged");
    return found;
  }

  const char* content_of(const Member& member) const {
    need(member.offset, kLocalBytes);
    if (number(member.offset, 4) != kLocal) fail("is damaged");
    const uint64_t start =
        member.offset + kLocalBytes + number(member.offset + 26, 2) + number(member.offset + 28, 2);
    need(start, member.bytes);
    return data_.data() + start;
  }

  const Bytes& data_;
  const std::string& path_;
};

class ArchiveWriter {
 public:
  void add(const std::string& name, const Array& array) {
    const std::string header = npy_header(array.type);
    Bytes content(header.begin(), header.end());
    content.insert(content.end(), array.data.begin(), array.data.end());
    const size_t offset = data_.size();
    if (offset + content.size() > kIn64 - (size_t{1} << 20)) bad_input("the outputs are too large for one .npz file");
    std::string record;
    put(record, 20, 2);                                      // version needed
    put(record, 0x0800, 2);                                  // names are UTF-8
    put(record, 0, 2);                                       // stored
    put(record, 0, 2), put(record, 1 << 5 | 1, 2);           // 1980-01-01
    put(record, crc32(content.data(), content.size()), 4);
    put(record, content.size(), 4), put(record, content.size(), 4);
    put(record, name.size(), 2);
    put(record, 0, 2);  // no extra field
    std::string local, central;
    put(local, kLocal, 4);
    put(central, kCentral, 4), put(central, 20, 2);
    local += record + name;
    central += record;
    put(central, 0, 2), put(central, 0, 2), put(central, 0, 2), put(central, 0, 4);
    put(central, offset, 4);
    directory_ += central + name;
    data_.insert(data_.end(), local.begin(), local.end());
    data_.insert(data_.end(), content.begin(), content.end());
    ++count_;
  }

  Bytes finish() {
    std::string end;
    put(end, kEnd, 4), put(end, 0, 4), put(end, count_, 2), put(end, count_, 2);
    put(end, directory_.size(), 4), put(end, data_.size(), 4), put(end, 0, 2);
    data_.insert(data_.end(), directory_.begin(), directory_.end());
    data_.insert(data_.end(), end.begin(), end.end());
    return std::move(data_);
  }

 private:
  static void put(std::string& text, uint64_t value, int bytes) {
    for (int index = 0; index < bytes; ++index) text += static_cast<char>(value >> 8 * index & 255);
  }

  Bytes data_;
  std::string directory_;
  uint64_t count_ = 0;
};

}  // namespace

Arrays read_npz(const std::string& path) {
  const Bytes data = File(path, COOPDRAW_BAD_INPUT).read_all(kLargest);
  return Archive(data, path).read();
}

Bytes npz_bytes(const Arrays& arrays) {
  ArchiveWriter writer;
  for (const auto& [name, array] : arrays) writer.add(name + ".npy", array);
  return writer.finish();
}

}  // namespace coopdraw
