#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/file_place.h"

namespace tern {
namespace {

Result<void> sync_parent(const std::filesystem::path& path) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return io_error(parent, "cannot open the directory", errno);
  return sync_directory(directory.get(), parent);
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  TERN_TRY(check_file_place(path));
  const std::string stem = path.string() + ".tmp-" + std::to_string(::getpid()) + "-";
  for (unsigned attempt = 0;; ++attempt) {
    std::string beside = stem + std::to_string(attempt);
    FileDescriptor fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.is_open()) return AtomicFile(path, std::move(beside), std::move(fd));
    if (errno != EEXIST) return io_error(path, "cannot create a file beside it", errno);
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      beside_(std::exchange(other.beside_, {})),
      fd_(std::move(other.fd_)),
      size_(other.size_) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(beside_, other.beside_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

Result<void> AtomicFile::require_space(std::uint64_t bytes) const {
  struct statvfs room {};
  if (::fstatvfs(fd_.get(), &room) != 0) return io_error(path_, "cannot ask for free space", errno);
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (bytes <= free) return {};
  return Error{ErrorCode::kIo,
               "the file needs " + std::to_string(bytes) + " bytes and its file system has " +
                   std::to_string(free) + " free; free some, or write elsewhere",
               path_.string()};
}

Result<void> AtomicFile::restrict_to_owner() const {
  if (::fchmod(fd_.get(), S_IRUSR | S_IWUSR) != 0) {
    return io_error(path_, "cannot keep others from the file", errno);
  }
  return {};
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  TERN_TRY(write_all(fd_.get(), bytes, path_));
  size_ += bytes.size();
  return {};
}

Result<void> AtomicFile::commit() {
  if (::fsync(fd_.get()) != 0) return io_error(path_, "cannot sync", errno);
  if (const int failed = fd_.close(); failed != 0) return io_error(path_, "cannot close", failed);
  if (::rename(beside_.c_str(), path_.c_str()) != 0) {
    return io_error(path_, "cannot rename the finished file", errno);
  }
  beside_.clear();
  return sync_parent(path_);
}

}  // namespace tern
