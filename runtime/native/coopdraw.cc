// The C interface: sessions behind opaque pointers, exceptions become a status and a text.
#include "coopdraw.h"

#include <cstring>
#include <new>

#include "error.h"
#include "session.h"

struct coopdraw_session {
  explicit coopdraw_session(const char* bundle, const coopdraw::SessionOptions& options) : session(bundle, options) {
    describe(session.inputs(), inputs);
    describe(session.outputs(), outputs);
  }

  static void describe(const std::vector<coopdraw::TensorSpec>& specs, std::vector<coopdraw_tensor>& tensors) {
    for (const coopdraw::TensorSpec& spec : specs) {
      tensors.push_back({spec.name.c_str(), spec.meaning.c_str(), spec.type.dtype,
                         static_cast<int>(spec.type.shape.size()), spec.type.shape.data(), spec.type.bytes()});
    }
  }

  coopdraw::Session session;
  std::vector<coopdraw_tensor> inputs, outputs;
};

namespace {

std::string& last_error() {
  static thread_local std::string text;
  return text;
}

coopdraw_status report(coopdraw_status status, const char* text) noexcept {
  try {
    last_error() = text;
  } catch (...) {  // no memory for the text: the status alone has to do
  }
  return status;
}

template <class Action>
coopdraw_status guarded(Action action) noexcept {
  try {
    action();
    return COOPDRAW_OK;
  } catch (const coopdraw::Error& error) {
    return report(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return report(COOPDRAW_NO_MEMORY, "there is not enough memory; free some or use a smaller bundle");
  } catch (const std::exception& error) {
    return report(COOPDRAW_DEVICE, error.what());
  }
}

void require(bool condition, const char* what) {
  if (!condition) coopdraw::bad_input(std::string(what) + " is NULL; see coopdraw.h");
}

coopdraw::SessionOptions options_of(const coopdraw_options* given) {
  coopdraw::SessionOptions options;
  if (given == nullptr) return options;
  options.graph = given->graph;
  options.trust_files = given->trust_files != 0;
  options.model_file = given->model_file == nullptr ? "" : given->model_file;
  options.model.threads = given->threads;
  options.model.device = given->device;
  options.model.config_file = given->config_file == nullptr ? "" : given->config_file;
  return options;
}

}  // namespace

coopdraw_status coopdraw_open(const char* bundle, const coopdraw_options* options, coopdraw_session** session) {
  return guarded([&] {
    require(session != nullptr, "session");
    *session = nullptr;
    require(bundle != nullptr, "bundle");
    *session = new coopdraw_session(bundle, options_of(options));
  });
}

size_t coopdraw_input_count(const coopdraw_session* session) { return session->inputs.size(); }

size_t coopdraw_output_count(const coopdraw_session* session) { return session->outputs.size(); }

const coopdraw_tensor* coopdraw_input(const coopdraw_session* session, size_t index) {
  return index < session->inputs.size() ? &session->inputs[index] : nullptr;
}

const coopdraw_tensor* coopdraw_output(const coopdraw_session* session, size_t index) {
  return index < session->outputs.size() ? &session->outputs[index] : nullptr;
}

coopdraw_status coopdraw_set(coopdraw_session* session, const char* name, const void* data, size_t bytes) {
  return guarded([&] {
    require(session != nullptr, "session");
    require(name != nullptr, "name");
    require(data != nullptr, "data");
    session->session.set(name, data, bytes);
  });
}

coopdraw_status coopdraw_set_caption(coopdraw_session* session, size_t row, const char* caption) {
  return guarded([&] {
    require(session != nullptr, "session");
    require(caption != nullptr, "caption");
    session->session.set_caption(row, caption);
  });
}

coopdraw_status coopdraw_run(coopdraw_session* session, coopdraw_progress progress, void* context) {
  return guarded([&] {
    require(session != nullptr, "session");
    const auto go_on = [&](int done, int steps) { return progress == nullptr || progress(done, steps, context) == 0; };
    session->session.run(go_on);
  });
}

void coopdraw_cancel(coopdraw_session* session) {
  if (session != nullptr) session->session.cancel();
}

coopdraw_status coopdraw_get(const coopdraw_session* session, const char* name, void* data, size_t bytes) {
  return guarded([&] {
    require(session != nullptr, "session");
    require(name != nullptr, "name");
    require(data != nullptr, "data");
    const coopdraw::Bytes* output = session->session.output(session->session.output_index(name));
    if (output == nullptr) coopdraw::bad_input("there are no outputs; call coopdraw_run first");
    if (output->size() != bytes) {
      coopdraw::bad_input("output " + std::string(name) + " has " + std::to_string(output->size()) + " bytes, not " +
                          std::to_string(bytes) + "; give a buffer of its size");
    }
    std::memcpy(data, output->data(), bytes);
  });
}

const void* coopdraw_output_data(const coopdraw_session* session, size_t index) {
  const coopdraw::Bytes* output = session->session.output(index);
  return output == nullptr ? nullptr : output->data();
}

const char* coopdraw_error(void) { return last_error().c_str(); }

void coopdraw_close(coopdraw_session* session) { delete session; }
