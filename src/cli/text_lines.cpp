#include "cli/text_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace tern::cli {
namespace {

// More is no line of a text: /dev/zero has no end.
constexpr std::size_t kMostLineBytes = std::size_t{256} << 20;
constexpr std::size_t kPart = std::size_t{1} << 20;

}  // namespace

Result<TextLines> TextLines::open(const std::string& path) {
  const bool standard = path == "-";
  TextLines lines;
  lines.name_ = standard ? "standard input" : path;
  const int fd = standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)    // NOLINT: variadic
                          : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);  // NOLINT: variadic
  if (fd < 0) return io_error(lines.name_, "cannot open", errno);
  lines.file_ = FileDescriptor(fd);
  return lines;
}

Result<std::optional<TextLines::Line>> TextLines::next() {
  for (;;) {
    const std::size_t end = buffer_.find('\n', begin_ + searched_);
    if (end != std::string::npos || (at_end_ && begin_ < buffer_.size())) {
      const bool has_end = end != std::string::npos;
      const std::size_t until = has_end ? end : buffer_.size();
      const Line line{std::string_view(buffer_).substr(begin_, until - begin_), has_end};
      begin_ = has_end ? until + 1 : until;
      searched_ = 0;
      return std::optional(line);
    }
    if (at_end_) return std::optional<Line>();
    buffer_.erase(0, std::exchange(begin_, 0));
    searched_ = buffer_.size();
    if (searched_ > kMostLineBytes) {
      return Error{ErrorCode::kUsage,
                   "expected lines of at most " + std::to_string(kMostLineBytes >> 20) +
                       " MiB, found a longer one",
                   name_};
    }
    buffer_.resize(searched_ + kPart);
    const ssize_t count = ::read(file_.get(), buffer_.data() + searched_, kPart);
    const int error = errno;
    buffer_.resize(searched_ + static_cast<std::size_t>(count > 0 ? count : 0));
    if (count < 0 && error != EINTR) return io_error(name_, "cannot read", error);
    at_end_ = count == 0;
  }
}

}  // namespace tern::cli
