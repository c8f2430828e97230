// An open file that closes itself, and reading and writing of whole ranges of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "core/result.h"

namespace tern {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  // 0, or the errno of a write that fails only now.
  int close();

 private:
  int fd_;
};

// kIo: "what: the system's reason", at the path.
Error io_error(const std::filesystem::path& path, const char* what, int error_number);

// Errors of these: kIo, naming the path.
Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);
Result<void> write_all_at(int fd, std::uint64_t offset, std::span<const std::byte> bytes,
                          const std::filesystem::path& path);
// All of `bytes` from `offset` on; an end of the file before that is an error, too.
Result<void> read_all_at(int fd, std::uint64_t offset, std::span<std::byte> bytes,
                         const std::filesystem::path& path);
// Makes new, renamed and removed names of an open directory last.
Result<void> sync_directory(int fd, const std::filesystem::path& path);

}  // namespace tern
