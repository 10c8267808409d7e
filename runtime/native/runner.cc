#include "runner.h"

#include <algorithm>
#include <cstring>

#include "error.h"

namespace coopdraw {
namespace {

Bytes narrowed(const Array& array) {
  Bytes floats(array.type.elements() * sizeof(float));
  for (size_t index = 0; index < array.type.elements(); ++index) {
    double wide;
    std::memcpy(&wide, array.data.data() + index * sizeof(wide), sizeof(wide));
    const auto narrow = static_cast<float>(wide);
    std::memcpy(floats.data() + index * sizeof(narrow), &narrow, sizeof(narrow));
  }
  return floats;
}

void set_input(Session& session, const TensorSpec& spec, const Array& array) {
  const bool wide = spec.type.dtype == COOPDRAW_FLOAT32 && array.type.dtype == COOPDRAW_FLOAT64;
  if ((spec.type.dtype != array.type.dtype && !wide) || spec.type.shape != array.type.shape) {
    bad_input("input " + spec.name + " must be " + spec.type.text() + ", but is " + array.type.text() + "; " +
              spec.meaning);
  }
  const Bytes& data = wide ? narrowed(array) : array.data;
  session.set(spec.name, data.data(), data.size());
}

}  // namespace

Arrays run_on(Session& session, const Arrays& arrays, const Progress& progress) {
  for (const auto& [name, array] : arrays) {
    const auto spec = std::find_if(session.inputs().begin(), session.inputs().end(),
                                   [&name = name](const TensorSpec& known) { return known.name == name; });
    if (spec == session.inputs().end()) bad_input("there is no input " + name + "; leave it out");
    set_input(session, *spec, array);
  }
  if (arrays.size() != session.inputs().size()) {
    for (const TensorSpec& spec : session.inputs()) {
      const bool given =
          std::any_of(arrays.begin(), arrays.end(), [&spec](const auto& array) { return array.first == spec.name; });
      if (!given) bad_input("input " + spec.name + " is missing; " + spec.meaning);
    }
  }
  session.run(progress);
  Arrays outputs;
  for (size_t index = 0; index < session.outputs().size(); ++index) {
    const TensorSpec& spec = session.outputs()[index];
    outputs.emplace_back(spec.name, Array{spec.type, *session.output(index)});
  }
  return outputs;
}

}  // namespace coopdraw
