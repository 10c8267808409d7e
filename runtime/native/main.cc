// coopdraw-run: runs a bundle on tensors, once or as often as asked.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "error.h"
#include "file.h"
#include "quiet_log.h"
#include "runner.h"

namespace {

using coopdraw::bad_input;

constexpr char kUsage[] =
    "usage: coopdraw-run BUNDLE --inputs IN.npz --outputs OUT.npz [options]\n"
    "       coopdraw-run BUNDLE --serve [options]\n"
    "  --text-encoder   run the text encoder, not the sampling graph\n"
    "  --threads N      threads of MindSpore Lite (default: its choice)\n"
    "  --device N       number of the NPU\n"
    "  --model FILE     a model that converter_lite made of the graph, instead of the one in the bundle\n"
    "  --config FILE    configuration of MindSpore Lite\n"
    "  --trust-files    don't compare the files with their hashes\n"
    "  --serve          answer requests from standard input, one JSON object a line\n";

struct Command {
  std::string bundle, inputs, outputs;
  bool serve = false;
  coopdraw::SessionOptions options;
};

int number(const std::string& option, const char* text, int least) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < least || value > 4096) {
    bad_input(option + " " + text + " must be a number from " + std::to_string(least) + " to 4096");
  }
  return static_cast<int>(value);
}

Command parse(int count, char** arguments) {
  Command command;
  for (int index = 1; index < count; ++index) {
    const std::string option = arguments[index];
    const auto value = [&]() -> const char* {
      if (++index == count) bad_input(option + " needs a value; see coopdraw-run --help");
      return arguments[index];
    };
    if (option == "--inputs") {
      command.inputs = value();
    } else if (option == "--outputs") {
      command.outputs = value();
    } else if (option == "--serve") {
      command.serve = true;
    } else if (option == "--text-encoder") {
      command.options.graph = COOPDRAW_TEXT_ENCODER;
    } else if (option == "--trust-files") {
      command.options.trust_files = true;
    } else if (option == "--threads") {
      command.options.model.threads = number(option, value(), 1);
    } else if (option == "--device") {
      command.options.model.device = number(option, value(), 0);
    } else if (option == "--model") {
      command.options.model_file = value();
    } else if (option == "--config") {
      command.options.model.config_file = value();
    } else if (option.rfind("-", 0) == 0 || !command.bundle.empty()) {
      bad_input(option + " is not an option of coopdraw-run; see coopdraw-run --help");
    } else {
      command.bundle = option;
    }
  }
  if (command.bundle.empty()) bad_input("the bundle is missing; see coopdraw-run --help");
  if (command.serve != (command.inputs.empty() && command.outputs.empty()) ||
      (!command.serve && (command.inputs.empty() || command.outputs.empty()))) {
    bad_input("give --inputs and --outputs, or --serve; see coopdraw-run --help");
  }
  return command;
}

void run_once(const Command& command, const coopdraw::QuietLog& log) {
  coopdraw::Session session(command.bundle, command.options);
  const bool show = log.is_terminal();
  const auto outputs = coopdraw::run_on(session, coopdraw::read_npz(command.inputs), [&](int done, int steps) {
    if (show) log.say("\rstep " + std::to_string(done) + " of " + std::to_string(steps) + (done == steps ? "\n" : ""));
    return true;
  });
  coopdraw::replace_file(command.outputs, coopdraw::npz_bytes(outputs));
}

int run(int count, char** arguments, const coopdraw::QuietLog& log) {
  try {
    const Command command = parse(count, arguments);
    if (!command.serve) {
      run_once(command, log);
      return 0;
    }
    // Libraries that print to standard output must not disturb the answers.
    const int answers = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    coopdraw::serve(command.bundle, command.options, answers, log);
    return 0;
  } catch (const coopdraw::Error& error) {
    log.say(std::string("error: ") + error.what() + log.first_error(error) + "\n");
  } catch (const std::exception& error) {
    log.say(std::string("error: ") + error.what() + "\n");
  }
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--help") == 0) {
    std::cout << kUsage << std::flush;
    return 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const int status = run(count, arguments, coopdraw::QuietLog());
  // Lite's libraries have crashed in their destructors; everything of ours is closed.
  _exit(status);
}
