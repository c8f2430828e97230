// Writes a file so that its path holds either the former content or the whole new one, whatever
// happens in between: the bytes go to a file beside it, which is synced and then renamed.
// Move-only; a file that is not committed is removed by the destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern {

class AtomicFile {
 public:
  // Errors of all functions: kIo, naming the path; kUsage of this one where no file can stand.
  static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // An error where the file system has no room for `bytes` more: better known before an hour's work
  // than behind it.
  Result<void> require_space(std::uint64_t bytes) const;

  // Nobody else may read or write the file (mode 0600). Call before the first byte.
  Result<void> restrict_to_owner() const;

  Result<void> write(std::span<const std::byte> bytes);

  // The bytes written so far.
  std::uint64_t size() const { return size_; }

  // Syncs the bytes, puts them at the path, syncs the directory. Nothing can be written after it.
  Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::string beside, FileDescriptor fd)
      : path_(std::move(path)), beside_(std::move(beside)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  std::string beside_;  // empty once it no longer exists
  FileDescriptor fd_;
  std::uint64_t size_ = 0;
};

}  // namespace tern
