// The readers of files that nobody vouches for:
//   reader_check json            for each line of standard input: `yes` if it is JSON, else `no`
//   reader_check npz IN OUT      reads arrays and writes them again
//   reader_check damage-npz IN   reads IN with bytes changed in several ways, and beginnings of it
//   reader_check damage-bundle FOLDER FILE   the same for a JSON file of a bundle, then opening it as a session would
//   reader_check sha256 IN
// Refusals must be Errors; anything else ends the program.
#include <unistd.h>

#include <functional>
#include <iostream>

#include "bundle.h"
#include "error.h"
#include "file.h"
#include "json.h"
#include "npz.h"
#include "plan.h"

using coopdraw::Bytes;
using coopdraw::Error;

namespace {

bool accepted(const std::function<void()>& action) {
  try {
    action();
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Calls `check` for changed copies of `data`.
void damage(const Bytes& data, const std::function<void(const Bytes&)>& check) {
  const size_t stride = data.size() / 700 + 1;
  for (size_t position = 0; position < data.size(); position += stride) {
    for (const int flip : {1, 128, 255}) {
      Bytes changed = data;
      changed[position] = static_cast<char>(changed[position] ^ flip);
      check(changed);
    }
    check(Bytes(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(position)));
  }
}

void damage_npz(const std::string& path) {
  const Bytes data = coopdraw::File(path, COOPDRAW_BAD_INPUT).read_all(1 << 20);
  const std::string copy = path + ".changed";
  coopdraw::replace_file(copy, data);
  size_t refused = 0, all = 0;
  damage(data, [&](const Bytes& changed) {
    coopdraw::overwrite_file(copy, changed);
    refused += !accepted([&copy] { coopdraw::read_npz(copy); });
    ++all;
  });
  std::cout << refused << " of " << all << "\n";
}

void damage_bundle(const std::string& folder, const std::string& file) {
  const std::string path = folder + "/" + file;
  const Bytes data = coopdraw::File(path, COOPDRAW_BAD_INPUT).read_all(1 << 20);
  size_t refused = 0, all = 0;
  damage(data, [&](const Bytes& changed) {
    coopdraw::overwrite_file(path, changed);
    // Hashes would refuse everything; the readers are to be seen.
    refused += !accepted([&folder] { coopdraw::read_plan(coopdraw::open_bundle(folder, COOPDRAW_SAMPLING, true)); });
    ++all;
  });
  coopdraw::overwrite_file(path, data);
  std::cout << refused << " of " << all << "\n";
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  try {
    if (what == "json") {
      for (std::string line; std::getline(std::cin, line);) {
        std::cout << (accepted([&line] { coopdraw::Json::parse(line, "line"); }) ? "yes\n" : "no\n");
      }
    } else if (what == "npz" && count == 4) {
      coopdraw::replace_file(arguments[3], coopdraw::npz_bytes(coopdraw::read_npz(arguments[2])));
    } else if (what == "damage-npz" && count == 3) {
      damage_npz(arguments[2]);
    } else if (what == "damage-bundle" && count == 4) {
      damage_bundle(arguments[2], arguments[3]);
    } else if (what == "sha256" && count == 3) {
      std::cout << coopdraw::File(arguments[2], COOPDRAW_BAD_INPUT).sha256() << "\n";
    } else {
      return 3;
    }
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
