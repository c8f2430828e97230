#include "core/file_descriptor.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tern {

FileDescriptor::~FileDescriptor() { close(); }

int FileDescriptor::close() {
  if (fd_ < 0) return 0;
  return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
}

Error io_error(const std::filesystem::path& path, const char* what, int error_number) {
  return Error{ErrorCode::kIo, std::string(what) + ": " + std::strerror(error_number),
               path.string()};
}

Result<void> write_all(int fd, std::span<const std::byte> bytes,
                       const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return io_error(path, "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> write_all_at(int fd, std::uint64_t offset, std::span<const std::byte> bytes,
                          const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_error(path, "cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<void> read_all_at(int fd, std::uint64_t offset, std::span<std::byte> bytes,
                         const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      return io_error(path, "cannot read", errno);
    }
    if (count == 0) {
      return Error{ErrorCode::kIo,
                   "expected " + std::to_string(bytes.size()) + " bytes more at offset " +
                       std::to_string(offset) + ", found the end of the file",
                   path.string()};
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<void> sync_directory(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) return io_error(path, "cannot sync the directory", errno);
  return {};
}

}  // namespace tern
