#include "cli/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace tern::cli {

Result<LogFile> open_log(const std::string& path) {
  if (path.empty()) return LogFile();
  const int fd = path == "-" ? ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)  // NOLINT: variadic
                             : ::open(path.c_str(),                        // NOLINT: variadic
                                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd < 0 && errno == ENXIO) {
    return Error{ErrorCode::kIo, "nobody reads this pipe; start its reader before", path};
  }
  if (fd < 0) return io_error(path, "cannot open for writing", errno);
  return std::make_shared<FileDescriptor>(fd);
}

Result<void> check_log(const std::string& path) {
  std::error_code failed;
  if (path.empty() || path == "-" || std::filesystem::exists(path, failed)) {
    TERN_TRY(open_log(path));
    return {};
  }
  const std::filesystem::path given(path);
  const std::filesystem::path folder = given.has_parent_path() ? given.parent_path() : ".";
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return io_error(path, "cannot make the file", errno);
}

void AccessLog::receive(const telemetry::Event& event) {
  if (event.name == "http.request") lines_.receive(event);
}

std::optional<std::string> AccessLog::losses() {
  constexpr auto kPause = std::chrono::minutes(1);
  const std::uint64_t lost = dropped_.value();
  const auto now = std::chrono::steady_clock::now();
  if (lost == told_ || (told_at_ && now - *told_at_ < kPause)) return std::nullopt;
  const std::uint64_t fresh = lost - told_;
  told_ = lost;
  told_at_ = now;
  return fmt::format(
      "WARNING: {} lines of the access log are lost: its disk is full, it cannot be written, or "
      "its reader is too slow; make room (the log then goes on by itself), or send SIGHUP to have "
      "it opened again",
      fresh);
}

}  // namespace tern::cli
