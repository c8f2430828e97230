#include "telemetry/line_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <optional>
#include <string_view>
#include <utility>

namespace tern::telemetry {
namespace {

using std::chrono::steady_clock;

constexpr int kLookMs = 50;  // how often a writer that waits looks whether it is to end
constexpr std::chrono::seconds kLastWords{1};

// Whether a file's last line has no end, as when its writer died in the middle of it. What cannot
// be read may be so.
bool ends_in_a_line(int file) {
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0) return false;
  char path[32] = "/proc/self/fd/";
  std::to_chars(path + std::string_view(path).size(), path + sizeof(path) - 1, file);
  const FileDescriptor reading(::open(path, O_RDONLY | O_CLOEXEC));  // NOLINT: variadic
  char end = 0;
  return ::pread(reading.get(), &end, 1, facts.st_size - 1) != 1 || end != '\n';
}

}  // namespace

LineLog::LineLog(const Bounds& bounds, Counter& dropped)
    : bounds_(bounds), dropped_(dropped), thread_([this] { run(); }) {}

LineLog::~LineLog() { close(); }

void LineLog::close() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  const std::lock_guard lock(mutex_);
  dropped_.add(lines_.size());
}

void LineLog::write_to(std::shared_ptr<FileDescriptor> file) {
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
}

void LineLog::receive(const Event& event) {
  {
    const std::lock_guard lock(mutex_);
    if (!file_ || ending_) return;
  }
  std::string line = json_line(event);
  const std::lock_guard lock(mutex_);
  if (lines_.size() >= bounds_.lines || bytes_ + line.size() > bounds_.bytes) {
    return dropped_.add();
  }
  const std::size_t size = line.size();
  lines_.push_back(std::move(line));
  bytes_ += size;
  changed_.notify_all();
}

// Allocates nothing: there is nobody to tell that it failed.
void LineLog::run() {
  std::weak_ptr<FileDescriptor> last;
  bool torn = false;  // the last file ends within a line
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !lines_.empty(); });
    if (lines_.empty()) return;
    const std::string& line = lines_.front();  // stays where it is: others only add behind it
    const std::shared_ptr<FileDescriptor> file = file_;
    lock.unlock();
    if (file && file != last.lock()) {
      last = file;
      torn = ends_in_a_line(file->get());
    }
    std::string_view end = torn ? "\n" : "";
    std::string_view left = line;
    const bool written = file && write(*file, end) && write(*file, left);
    const bool touched = left.size() < line.size();
    if (touched || end.empty()) torn = touched && !written;
    lock.lock();
    if (!written && !touched && file_ != file && file_) continue;  // it is for the new file
    bytes_ -= line.size();
    lines_.pop_front();
    if (written) continue;
    dropped_.add();
    if (ending_) return;
  }
}

// Takes from the line what is written. False where that is not all: the file fails or is no longer
// the log's, or its reader does not read while the log ends. A pipe that can be written to takes
// PIPE_BUF bytes without waiting, a file all of them.
bool LineLog::write(const FileDescriptor& file, std::string_view& line) {
  std::optional<steady_clock::time_point> until;
  while (!line.empty()) {
    pollfd look{file.get(), POLLOUT, 0};
    if (::poll(&look, 1, kLookMs) > 0) {
      const ssize_t count =
          ::write(file.get(), line.data(), std::min<std::size_t>(line.size(), PIPE_BUF));
      if (count < 0 && errno != EINTR && errno != EAGAIN) return false;
      if (count > 0) {
        line.remove_prefix(static_cast<std::size_t>(count));
        until.reset();
      }
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (file_.get() != &file) return false;
    if (!ending_) continue;
    if (!until) until = steady_clock::now() + kLastWords;
    if (steady_clock::now() >= *until) return false;
  }
  return true;
}

}  // namespace tern::telemetry
