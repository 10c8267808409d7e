// The C interface on a bundle of tests/runtime/lite_bundle.py with fake models:  interface_check BUNDLE SLOW_BUNDLE
// Ends with status 0 if everything is as coopdraw.h says; the first difference is named.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "coopdraw.h"

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, coopdraw_error()); \
      std::exit(1);                                                            \
    }                                                                          \
  } while (0)

namespace {

constexpr size_t kElements = 6;
constexpr int kSteps = 5;
const float kNoise[kElements] = {1, 2, 3, 4, 5, 6};
const float kContext[kElements] = {0.5f, 0, -0.5f, 1, 2, 3};

bool says(const char* text) { return std::strstr(coopdraw_error(), text) != nullptr; }

coopdraw_session* open(const char* bundle, coopdraw_graph graph = COOPDRAW_SAMPLING) {
  coopdraw_options options = {};
  options.graph = graph;
  coopdraw_session* session = nullptr;
  CHECK(coopdraw_open(bundle, &options, &session) == COOPDRAW_OK);
  return session;
}

void set_all(coopdraw_session* session) {
  CHECK(coopdraw_set(session, "noise", kNoise, sizeof(kNoise)) == COOPDRAW_OK);
  CHECK(coopdraw_set(session, "context.text", kContext, sizeof(kContext)) == COOPDRAW_OK);
}

void check_outputs(const coopdraw_session* session) {
  float image[kElements], latent[kElements];
  CHECK(coopdraw_get(session, "image", image, sizeof(image)) == COOPDRAW_OK);
  CHECK(coopdraw_get(session, "latent", latent, sizeof(latent)) == COOPDRAW_OK);
  CHECK(std::memcmp(coopdraw_output_data(session, 0), image, sizeof(image)) == 0);
  for (size_t index = 0; index < kElements; ++index) {
    float expected = kNoise[index];
    const float scale = 0.5f + 0.2f * static_cast<float>(index);
    for (int step = 0; step + 1 < kSteps; ++step) expected = expected * scale + kContext[index];
    CHECK(std::fabs(latent[index] - expected) < 1e-5f * std::fabs(expected) + 1e-5f);
    CHECK(image[index] == latent[index] + kNoise[index]);
  }
}

void check_opening(const char* bundle) {
  coopdraw_session* session = reinterpret_cast<coopdraw_session*>(1);
  CHECK(coopdraw_open("no such folder", nullptr, &session) == COOPDRAW_BAD_BUNDLE);
  CHECK(session == nullptr);
  CHECK(says("no such folder/manifest.json"));
  CHECK(coopdraw_open(nullptr, nullptr, &session) == COOPDRAW_BAD_INPUT);
  CHECK(coopdraw_open(bundle, nullptr, nullptr) == COOPDRAW_BAD_INPUT);
  coopdraw_options options = {};
  options.model_file = "no such model";
  CHECK(coopdraw_open(bundle, &options, &session) == COOPDRAW_DEVICE);
  CHECK(session == nullptr);
  coopdraw_close(nullptr);
}

void check_description(const char* bundle) {
  coopdraw_session* session = open(bundle);
  CHECK(coopdraw_input_count(session) == 2 && coopdraw_output_count(session) == 2);
  const coopdraw_tensor* noise = coopdraw_input(session, 0);
  CHECK(std::string(noise->name) == "noise" && std::string(noise->meaning) == "the noise");
  CHECK(noise->dtype == COOPDRAW_FLOAT32 && noise->rank == 2 && noise->bytes == sizeof(kNoise));
  CHECK(noise->shape[0] == 2 && noise->shape[1] == 3);
  CHECK(std::string(coopdraw_output(session, 1)->name) == "latent");
  CHECK(coopdraw_input(session, 2) == nullptr && coopdraw_output(session, 2) == nullptr);
  coopdraw_close(session);
}

void check_refusals(const char* bundle) {
  coopdraw_session* session = open(bundle);
  float value[kElements] = {};
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_BAD_INPUT && says("noise is missing"));
  CHECK(coopdraw_get(session, "image", value, sizeof(value)) == COOPDRAW_BAD_INPUT && says("coopdraw_run first"));
  CHECK(coopdraw_output_data(session, 0) == nullptr && coopdraw_output_data(session, 9) == nullptr);
  CHECK(coopdraw_set(session, "nois", kNoise, sizeof(kNoise)) == COOPDRAW_BAD_INPUT && says("noise, context.text"));
  CHECK(coopdraw_set(session, "noise", kNoise, sizeof(kNoise) - 1) == COOPDRAW_BAD_INPUT && says("float32 (2, 3)"));
  CHECK(coopdraw_set(session, "noise", nullptr, sizeof(kNoise)) == COOPDRAW_BAD_INPUT);
  value[3] = NAN;
  CHECK(coopdraw_set(session, "noise", value, sizeof(value)) == COOPDRAW_BAD_INPUT && says("finite"));
  value[3] = -INFINITY;
  CHECK(coopdraw_set(session, "noise", value, sizeof(value)) == COOPDRAW_BAD_INPUT);
  set_all(session);
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  CHECK(coopdraw_get(session, "picture", value, sizeof(value)) == COOPDRAW_BAD_INPUT && says("image, latent"));
  CHECK(coopdraw_get(session, "image", value, sizeof(value) + 1) == COOPDRAW_BAD_INPUT && says("24 bytes"));
  check_outputs(session);
  coopdraw_close(session);
}

void check_tokens(const char* bundle) {
  coopdraw_session* session = open(bundle, COOPDRAW_TEXT_ENCODER);
  int32_t tokens[kElements] = {0, 1, 2, 3, 0, 0};
  CHECK(coopdraw_set(session, "tokens", tokens, sizeof(tokens)) == COOPDRAW_OK);
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  int32_t context[kElements];
  CHECK(coopdraw_get(session, "context", context, sizeof(context)) == COOPDRAW_OK && context[3] == 6);
  for (const int32_t outside : {-1, 4}) {
    tokens[5] = outside;
    CHECK(coopdraw_set(session, "tokens", tokens, sizeof(tokens)) == COOPDRAW_BAD_INPUT && says("from 0 to 3"));
  }
  CHECK(coopdraw_set_caption(session, 1, " blue\tred ") == COOPDRAW_OK);
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  CHECK(coopdraw_get(session, "context", context, sizeof(context)) == COOPDRAW_OK);
  const int32_t expected[kElements] = {0, 2, 4, 6, 2, 0};  // the fake doubles tokens
  CHECK(std::memcmp(context, expected, sizeof(expected)) == 0);
  CHECK(coopdraw_set_caption(session, 0, "red pink") == COOPDRAW_BAD_INPUT && says("the word \"pink\""));
  CHECK(coopdraw_set_caption(session, 0, "<pad>") == COOPDRAW_BAD_INPUT);
  CHECK(coopdraw_set_caption(session, 0, "red red red red") == COOPDRAW_BAD_INPUT && says("has 4 words"));
  CHECK(coopdraw_set_caption(session, 2, "red") == COOPDRAW_BAD_INPUT && says("batch of 2"));
  CHECK(coopdraw_set_caption(session, 0, nullptr) == COOPDRAW_BAD_INPUT);
  coopdraw_close(session);
  session = open(bundle, COOPDRAW_TEXT_ENCODER);
  CHECK(coopdraw_set_caption(session, 1, "green") == COOPDRAW_OK);
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  const auto* doubled = static_cast<const int32_t*>(coopdraw_output_data(session, 0));
  CHECK(doubled[0] == 0 && doubled[3] == 4 && doubled[4] == 0);
  coopdraw_close(session);
  session = open(bundle);
  CHECK(coopdraw_set_caption(session, 0, "red") == COOPDRAW_BAD_INPUT && says("COOPDRAW_TEXT_ENCODER"));
  coopdraw_close(session);
}

struct Seen {
  int calls = 0;
  int stop_at = 0;
  bool in_order = true;
};

int watch(int done, int steps, void* context) {
  auto* seen = static_cast<Seen*>(context);
  seen->in_order = seen->in_order && done == ++seen->calls && steps == kSteps;
  return done == seen->stop_at;
}

void check_progress(const char* bundle) {
  coopdraw_session* session = open(bundle);
  set_all(session);
  Seen all;
  CHECK(coopdraw_run(session, watch, &all) == COOPDRAW_OK && all.calls == kSteps && all.in_order);
  Seen stopped;
  stopped.stop_at = 2;
  CHECK(coopdraw_run(session, watch, &stopped) == COOPDRAW_CANCELLED && stopped.calls == 2 && says("cancelled"));
  CHECK(coopdraw_output_data(session, 0) == nullptr);
  coopdraw_cancel(session);  // no effect between runs
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  check_outputs(session);
  coopdraw_close(session);
}

int announce(int, int, void* context) {
  static_cast<std::atomic<bool>*>(context)->store(true);
  return 0;
}

void check_cancel(const char* slow) {
  coopdraw_session* session = open(slow);
  set_all(session);
  std::atomic<bool> started{false};
  std::thread other([&] {
    while (!started) std::this_thread::yield();
    coopdraw_cancel(session);
  });
  CHECK(coopdraw_run(session, announce, &started) == COOPDRAW_CANCELLED);
  other.join();
  CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
  check_outputs(session);
  coopdraw_close(session);
}

void check_threads(const char* bundle) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([bundle, thread] {
      coopdraw_session* session = open(bundle);
      set_all(session);
      for (int run = 0; run < 50; ++run) {
        CHECK(coopdraw_run(session, nullptr, nullptr) == COOPDRAW_OK);
        check_outputs(session);
        const std::string wrong = "input" + std::to_string(thread);
        CHECK(coopdraw_set(session, wrong.c_str(), kNoise, sizeof(kNoise)) == COOPDRAW_BAD_INPUT);
        CHECK(says(wrong.c_str()));
      }
      coopdraw_close(session);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  check_opening(arguments[1]);
  check_description(arguments[1]);
  check_refusals(arguments[1]);
  check_tokens(arguments[1]);
  check_progress(arguments[1]);
  check_cancel(arguments[2]);
  check_threads(arguments[1]);
  return 0;
}
