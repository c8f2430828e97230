#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace tern {
namespace {

Error io_error(const std::filesystem::path& path, const char* what, int error_number) {
  return Error{ErrorCode::kIo, std::string(what) + ": " + std::strerror(error_number),
               path.string()};
}

Result<void> sync_directory(const std::filesystem::path& path) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const int fd = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return io_error(parent, "cannot open the directory", errno);
  const int status = ::fsync(fd);
  const int error_number = errno;
  ::close(fd);
  if (status != 0) return io_error(parent, "cannot sync the directory", error_number);
  return {};
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  const std::string stem = path.string() + ".tmp-" + std::to_string(::getpid()) + "-";
  for (unsigned attempt = 0;; ++attempt) {
    std::string beside = stem + std::to_string(attempt);
    const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return AtomicFile(path, std::move(beside), fd);
    if (errno != EEXIST) return io_error(path, "cannot create a file beside it", errno);
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      beside_(std::exchange(other.beside_, {})),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(beside_, other.beside_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

Result<void> AtomicFile::require_space(std::uint64_t bytes) const {
  struct statvfs room {};
  if (::fstatvfs(fd_, &room) != 0) return io_error(path_, "cannot ask for free space", errno);
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (bytes <= free) return {};
  return Error{ErrorCode::kIo,
               "the file needs " + std::to_string(bytes) + " bytes and its file system has " +
                   std::to_string(free) + " free; free some, or write elsewhere",
               path_.string()};
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return io_error(path_, "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<void> AtomicFile::commit() {
  if (::fsync(fd_) != 0) return io_error(path_, "cannot sync", errno);
  if (::close(std::exchange(fd_, -1)) != 0) return io_error(path_, "cannot close", errno);
  if (::rename(beside_.c_str(), path_.c_str()) != 0) {
    return io_error(path_, "cannot rename the finished file", errno);
  }
  beside_.clear();
  return sync_directory(path_);
}

}  // namespace tern
