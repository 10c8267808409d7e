// Requests and answers are JSON, one a line. The second request loads a graph and runs nothing:
//   {"id": 1, "graph": "sampling", "inputs": "in.npz", "outputs": "out.npz"}
//     {"id": 1, "done": 1, "steps": 20}, ... and last {"id": 1, "ok": true} or {"id": 1, "error": "..."}
//   {"id": 2, "graph": "text_encoder"}
//     {"id": 2, "ok": true} or {"id": 2, "error": "..."}
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <map>
#include <memory>

#include "error.h"
#include "file.h"
#include "json.h"
#include "runner.h"

namespace coopdraw {
namespace {

class Server {
 public:
  Server(const std::string& bundle, const SessionOptions& options, int answers, const QuietLog& log)
      : bundle_(bundle), options_(options), answers_(answers), log_(log) {}

  void answer(const std::string& line) {
    id_ = "null";
    log_.forget();
    try {
      const Json request = Json::parse(line, "the request", "see docs/embedding.md");
      id_ = std::to_string(request.at("id").integer(0, INT64_MAX));
      run(request);
      send("\"ok\": true");
    } catch (const Error& error) {
      send("\"error\": " + quoted(error.what() + log_.first_error(error)));
    } catch (const std::exception& error) {
      send("\"error\": " + quoted(std::string("the run failed (") + error.what() + "); free memory or restart"));
    }
  }

 private:
  void run(const Json& request) {
    Session& session = opened(request.at("graph"));
    if (!request.has("inputs")) return;
    const Arrays outputs = run_on(session, read_npz(request.at("inputs").text()), [this](int done, int steps) {
      send("\"done\": " + std::to_string(done) + ", \"steps\": " + std::to_string(steps));
      return true;
    });
    overwrite_file(request.at("outputs").text(), npz_bytes(outputs));
  }

  Session& opened(const Json& name) {
    SessionOptions options = options_;
    if (name.text() == "text_encoder") {
      options.graph = COOPDRAW_TEXT_ENCODER;
    } else if (name.text() != "sampling") {
      name.refuse("sampling or text_encoder");
    }
    auto& session = sessions_[options.graph];
    if (!session) session = std::make_unique<Session>(bundle_, options);
    return *session;
  }

  void send(const std::string& members) const {
    const std::string line = "{\"id\": " + id_ + ", " + members + "}\n";
    for (size_t sent = 0; sent < line.size();) {
      const ssize_t count = write(answers_, line.data() + sent, line.size() - sent);
      if (count < 0 && errno == EINTR) continue;
      // Nobody reads answers any more, so nobody waits for the run.
      if (count <= 0) _exit(0);
      sent += static_cast<size_t>(count);
    }
  }

  const std::string bundle_;
  const SessionOptions options_;
  const int answers_;
  const QuietLog& log_;
  std::string id_;
  std::map<coopdraw_graph, std::unique_ptr<Session>> sessions_;
};

}  // namespace

void serve(const std::string& bundle, const SessionOptions& options, int answers, const QuietLog& log) {
  Server server(bundle, options, answers, log);
  std::string line;
  while (std::getline(std::cin, line)) server.answer(line);
}

}  // namespace coopdraw
