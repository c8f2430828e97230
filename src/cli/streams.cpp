#include "cli/streams.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace tern::cli {
namespace {

// More is no text that a command works on: /dev/zero has no end.
constexpr std::size_t kMostTextBytes = std::size_t{512} << 20;

std::string reason(int error) { return std::generic_category().message(error); }

// 0 or the errno of the failure.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // a caller made the stream non-blocking
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

void prepare_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1) continue;
    // Opened so that using it fails, as using the closed one would. The lowest free number is fd.
    const int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", flags) == -1) return;  // NOLINT: open() is variadic
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files
}

Result<void> Output::write(std::string_view text) {
  if (failure_.empty()) {
    const int error = write_all(STDOUT_FILENO, text);
    if (error == 0) return {};
    reader_gone_ = error == EPIPE;
    failure_ = reason(error);
  }
  return Error{ErrorCode::kIo, "cannot write: " + failure_, "standard output"};
}

bool Output::is_terminal() const { return ::isatty(STDOUT_FILENO) == 1; }

void write_stderr(std::string_view text) { write_all(STDERR_FILENO, text); }

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

Result<std::string> read_all(const std::string& path) {
  const bool standard = path == "-";
  const std::string name = standard ? "standard input" : path;
  const int fd = standard ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);  // NOLINT
  if (fd == -1) return Error{ErrorCode::kIo, "cannot open: " + reason(errno), name};
  std::string text;
  std::array<char, 1 << 16> part{};
  ssize_t count = 0;
  do {
    count = ::read(fd, part.data(), part.size());
    if (count > 0) text.append(part.data(), static_cast<std::size_t>(count));
  } while (text.size() <= kMostTextBytes && (count > 0 || (count == -1 && errno == EINTR)));
  const int error = count == -1 ? errno : 0;
  if (!standard) ::close(fd);
  if (error != 0) return Error{ErrorCode::kIo, "cannot read: " + reason(error), name};
  if (text.size() > kMostTextBytes) {
    return Error{
        ErrorCode::kUsage,
        "expected at most " + std::to_string(kMostTextBytes >> 20) + " MiB, found more; divide it",
        name};
  }
  return text;
}

}  // namespace tern::cli
