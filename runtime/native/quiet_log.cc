#include "quiet_log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace coopdraw {

QuietLog::QuietLog() : terminal_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) {
  if (std::getenv("GLOG_v") != nullptr) return;
  log_ = memfd_create("log", MFD_CLOEXEC);
  if (log_ < 0) return;
  fcntl(log_, F_SETFL, O_APPEND);  // so that `forget` leaves no hole
  dup2(log_, STDERR_FILENO);
}

void QuietLog::say(const std::string& text) const {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = write(terminal_, text.data() + sent, text.size() - sent);
    if (count <= 0) return;
    sent += static_cast<size_t>(count);
  }
}

bool QuietLog::is_terminal() const { return isatty(terminal_) != 0; }

std::string QuietLog::first_error(const Error& failure) const {
  char text[65536];
  if (failure.status() != COOPDRAW_DEVICE || log_ < 0) return "";
  const ssize_t count = pread(log_, text, sizeof(text), 0);
  const std::string log(text, count > 0 ? static_cast<size_t>(count) : 0);
  const size_t error = log.find("[ERROR]");
  if (error == std::string::npos) return "";
  const std::string line = log.substr(error, log.find('\n', error) - error);
  const size_t message = line.rfind("] ");  // after time, file and function
  return " (Lite: " + (message == std::string::npos ? line : line.substr(message + 2)) + ")";
}

void QuietLog::forget() const {
  if (log_ >= 0 && ftruncate(log_, 0) != 0) return;  // then it only grows
}

}  // namespace coopdraw
